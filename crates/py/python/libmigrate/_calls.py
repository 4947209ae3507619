"""The calls of the engine, its replicas and their cycles, which the blocking and the asynchronous classes share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from . import _native, events
from ._call import Call, nothing
from ._ending import engines
from ._errors import Witness, checked, closed, wrong_type, wrong_value
from ._places import Source, SourceLike, Target, as_source, as_target
from ._served import Seen, TokenCredential, serve_tokens
from ._settings import ExtentLike, StrPath, extents, number, path, seconds, text, to_json
from .values import Extent, Finding, Garbage, NetworkReport, Outcome, RecoveryPoint, VerifyReport

T = TypeVar("T")


def _read(of: Callable[[Any], T]) -> Callable[[str], T]:
    return lambda answer: of(json.loads(answer))


def _each(of: Callable[[Any], T]) -> Callable[[str], list[T]]:
    return lambda answer: [of(item) for item in json.loads(answer)]


class EngineCalls:
    """An engine's."""

    def __init__(self, settings: Mapping[str, Any] | None, more: Mapping[str, Any]) -> None:
        if settings is not None and not isinstance(settings, Mapping):
            raise wrong_type("engine", f"it is a {type(settings).__name__}, not a mapping")
        self.native = checked(lambda: _native.Engine(to_json("engine", {**(settings or {}), **more})))
        engines.add(self)

    def open_source(self, place: StrPath | None, settings: Mapping[str, Any]) -> Call[Source]:
        fields = dict(settings)
        if place is not None:
            if "path" in fields:
                raise wrong_value("source.path", "there are two")
            fields["path"] = path("source.path", place)
        asked = to_json("source", fields)
        return Call(lambda: self.native.open_source(asked), Source._of)

    def open_replica(
        self, target: Target | StrPath, source: SourceLike, *, by_force: bool
    ) -> Call[ReplicaCalls]:
        to, of = as_target(target), as_source(source)
        open_it = self.native.take_over if by_force else self.native.open_replica
        witnesses: tuple[Witness, ...] = () if to._seen is None else (to._seen,)
        return Call(lambda: open_it(to._handle, of._handle), lambda replica: ReplicaCalls(replica, self, witnesses), witnesses)

    def open_project(
        self, wanted: Mapping[str, Any], credential: TokenCredential, more: Mapping[str, Any]
    ) -> ProjectCalls:
        if not isinstance(credential, TokenCredential):
            raise wrong_type("project.credential", f"a {type(credential).__name__} has no get_token()")
        given = {name: value for name, value in more.items() if value is not None}
        asked = to_json("project", {"settings": wanted, **given})
        seen = Seen(lambda code: code.partition(".")[0] == "arm")
        token, tokens = _native.Token.served()
        serve_tokens(tokens, credential, seen)
        return checked(lambda: ProjectCalls(_native.Project(self.native, asked, token), self, (seen,)))

    def events(self, after: int) -> _native.Events:
        return checked(lambda: self.native.events(number("after", after)))

    def preflight_network(
        self, targets: Iterable[str | Mapping[str, Any]], settings: Mapping[str, Any]
    ) -> Call[NetworkReport]:
        listed = [{"host": target} if isinstance(target, str) else target for target in targets]
        asked = to_json("preflight", {"targets": listed, **settings})
        return Call(lambda: self.native.preflight_network(asked), _read(NetworkReport.of))

    def set_bytes_per_second(self, limit: int | None) -> None:
        checked(lambda: self.native.set_bytes_per_second(None if limit is None else number("bytes_per_second", limit)))

    def set_schedule(self, schedule: Mapping[str, Any] | None) -> None:
        checked(lambda: self.native.set_schedule(None if schedule is None else to_json("schedule", schedule)))

    def close(self, limit: float) -> None:
        limit = seconds("timeout", limit)
        checked(lambda: self.native.close(limit))


class ReplicaCalls:
    """A replica's."""

    def __init__(self, native: _native.Replica, engine: EngineCalls, witnesses: tuple[Witness, ...]) -> None:
        self.native = native
        # So that the end of the interpreter finds the engine.
        self.engine = engine
        self.witnesses = witnesses

    def _of_source(self, source: Source | None) -> tuple[Witness, ...]:
        seen = None if source is None else source._seen
        return self.witnesses if seen is None else (seen, *self.witnesses)

    def _list(self, start: Callable[[], _native.Job], of: Callable[[Any], T]) -> Call[list[T]]:
        return Call(start, _each(of), self.witnesses)

    def disk_bytes(self) -> Call[int]:
        return Call(self.native.disk_bytes, int, self.witnesses)

    def replicate(self, source: SourceLike, settings: Mapping[str, Any]) -> Call[RecoveryPoint]:
        of, asked = as_source(source), _cycle(settings)
        return Call(
            lambda: self.native.replicate(of._handle, asked), _read(RecoveryPoint.of), self._of_source(of)
        )

    def begin(self, source: SourceLike, settings: Mapping[str, Any]) -> Call[CycleCalls]:
        of, asked = as_source(source), _cycle(settings)
        witnesses = self._of_source(of)
        return Call(
            lambda: self.native.begin(of._handle, asked), lambda cycle: CycleCalls(cycle, self.engine, witnesses), witnesses
        )

    def verify(self, source: SourceLike | None, settings: Mapping[str, Any]) -> Call[VerifyReport]:
        of, asked = None if source is None else as_source(source), to_json("verify", settings)
        start = lambda: self.native.verify(None if of is None else of._handle, asked)  # noqa: E731
        return Call(start, _read(VerifyReport.of), self._of_source(of))

    def recovery_points(self) -> Call[list[RecoveryPoint]]:
        return self._list(self.native.recovery_points, RecoveryPoint.of)

    def history(self) -> Call[list[RecoveryPoint]]:
        return self._list(self.native.history, RecoveryPoint.of)

    def prune(self, rule: Mapping[str, Any]) -> Call[list[int]]:
        asked = to_json("keep", rule)
        return self._list(lambda: self.native.prune(asked), int)

    def roll_back(self, cycle: int) -> Call[RecoveryPoint]:
        to = number("cycle", cycle, 32)
        return Call(lambda: self.native.roll_back(to), _read(RecoveryPoint.of), self.witnesses)

    def export_proof(self, file: StrPath, settings: Mapping[str, Any]) -> Call[RecoveryPoint]:
        to, asked = path("path", file), to_json("proof", settings)
        return Call(lambda: self.native.export_proof(to, asked), _read(RecoveryPoint.of), self.witnesses)

    def garbage(self) -> Call[list[Garbage]]:
        return self._list(self.native.garbage, Garbage.of)

    def collect_garbage(self) -> Call[list[Garbage]]:
        return self._list(self.native.collect_garbage, Garbage.of)

    def close(self) -> Call[None]:
        return Call(self.native.close, nothing, self.witnesses)


def _cycle(settings: Mapping[str, Any]) -> str:
    """A cycle's settings; the extents of a change list may be in any of their forms."""
    changes = settings.get("changes")
    if isinstance(changes, Mapping) and "extents" in changes:
        listed: list[ExtentLike] = changes["extents"]
        settings = {**settings, "changes": {**changes, "extents": extents("cycle.changes.extents", listed)}}
    return to_json("cycle", settings)


class CycleCalls:
    """A cycle's."""

    def __init__(self, native: _native.Cycle, engine: EngineCalls, witnesses: tuple[Witness, ...]) -> None:
        self._native: _native.Cycle | None = native
        self.engine = engine
        self.witnesses = witnesses

    @property
    def native(self) -> _native.Cycle:
        if self._native is None:
            raise closed("cycle")
        return self._native

    def stop(self) -> None:
        if self._native is not None:
            self._native.stop()

    def leave(self) -> None:
        """Stops it and lets go of it, whoever else still refers to this, so that another can begin."""
        self.stop()
        self._native = None

    def next(self) -> Call[Extent | None]:
        return Call(lambda: self.native.next(), lambda wanted: wanted and Extent(*wanted), self.witnesses)

    def push(self, offset: int, data: bytes) -> Call[None]:
        return Call(lambda: self.native.push(offset, data), nothing, self.witnesses)

    def try_push(self, offset: int, data: bytes) -> bool:
        return checked(lambda: self.native.try_push(offset, data), self.witnesses)

    def room(self) -> Call[None]:
        return Call(lambda: self.native.room(), nothing, self.witnesses)

    def copy_from(self, source: SourceLike) -> Call[None]:
        of = as_source(source)
        witnesses = self.witnesses if of._seen is None else (of._seen, *self.witnesses)
        return Call(lambda: self.native.copy_from(of._handle), nothing, witnesses)

    def seal(self) -> Call[RecoveryPoint]:
        return Call(lambda: self.native.seal(), _read(RecoveryPoint.of), self.witnesses)


class ProjectCalls:
    """A project's."""

    def __init__(self, native: _native.Project, engine: EngineCalls, witnesses: tuple[Witness, ...]) -> None:
        self.native = native
        self.engine = engine
        self.witnesses = witnesses

    def preflight(self, settings: Mapping[str, Any]) -> Call[list[Finding]]:
        asked = to_json("preflight", settings)
        return Call(lambda: self.native.preflight(asked), _each(Finding.of), self.witnesses)

    def plan(self, goal: str, shut_down_source: bool | None) -> Call[dict[str, Any]]:
        more = {} if shut_down_source is None else {"shut_down_source": shut_down_source}
        asked = to_json("plan", {"goal": goal, **more})
        return Call(lambda: self.native.plan(asked), json.loads, self.witnesses)

    def ask(self, verb: str) -> Call[dict[str, Any]]:
        asked = to_json("ask", {"verb": verb})
        return Call(lambda: self.native.ask(asked), json.loads, self.witnesses)

    def template(self, plan: Mapping[str, Any]) -> Call[dict[str, Any]]:
        asked = to_json("template", {"plan": plan})
        return Call(lambda: self.native.template(asked), json.loads, self.witnesses)

    def hosts_lines(self) -> Call[str]:
        return Call(self.native.hosts_lines, json.loads, self.witnesses)

    def apply(self, plan: Mapping[str, Any], journal: StrPath, settings: Mapping[str, Any]) -> Call[Outcome]:
        given = {name: value for name, value in settings.items() if value is not None}
        asked = to_json("apply", {"plan": plan, "journal": path("apply.journal", journal), **given})
        return Call(lambda: self.native.apply(asked), _read(Outcome.of), self.witnesses)

    def cutover(self, do: Any, record: StrPath | None, settings: Mapping[str, Any]) -> Call[Any]:
        kept = {} if record is None else {"record": path("cutover.record", record)}
        asked = to_json("cutover", {"do": do, **kept, **settings})
        return Call(lambda: self.native.cutover(asked), json.loads, self.witnesses)

    def told(self) -> dict[str, Any] | None:
        told = self.native.next_told()
        return None if told is None else json.loads(told)


def piece(offset: int, data: Any) -> tuple[int, bytes]:
    """What is pushed. `bytes` are taken as they are; another buffer, which may change, is copied."""
    if isinstance(data, bytes):
        return number("offset", offset), data
    try:
        view = memoryview(data)
    except TypeError:
        raise wrong_type("data", f"a {type(data).__name__} holds no bytes") from None
    return number("offset", offset), view.tobytes()


def next_event(native: _native.Events) -> events.Event | None:
    """The next event, if there is one already."""
    told = checked(native.try_next)
    return None if told is None else events.of(json.loads(told))


def event_within(native: _native.Events, timeout: float) -> bool:
    """Waits for an event; whether there is one to take, or the engine was closed."""
    limit = seconds("timeout", timeout)
    return checked(lambda: native.wait().ends_within(limit))


def control(function: str, /, **input: Any) -> Any:
    """Asks the control plane's model one thing. Pure: nothing is sent, and the same input gives the same answer.

    `control("lifecycle")` is the state machine, `control("markdown", plan=...)` a plan as a text.
    """
    return checked(lambda: json.loads(_native.control(text("function", function), to_json("input", input))))
