"""The classes whose calls block. `libmigrate.aio` has the same ones to await."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _native
from ._call import Call, nothing
from ._calls import CycleCalls, EngineCalls, ProjectCalls, ReplicaCalls, event_within, next_event, piece
from ._errors import ClosedError, closed
from ._places import Source, SourceLike, Target
from ._served import TokenCredential
from ._settings import StrPath
from .events import Event
from .values import Extent, Finding, Garbage, NetworkReport, Outcome, RecoveryPoint, VerifyReport

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self, Unpack

    from ._settings import (
        ApplySettings,
        Connection,
        CutoverSettings,
        CutoverStep,
        CycleSettings,
        EngineSettings,
        Goal,
        NetworkSettings,
        PreflightSettings,
        SourceSettings,
        VerifySettings,
    )


class Engine:
    """An engine with threads of its own; use it in a `with` statement.

    Settings are keywords, or one mapping: `state_dir`, `memory_limit`, `bytes_per_second`, ...; the guide's page on
    Python lists them. It may be used from any thread. In a process that was forked later every call is refused.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None, /, **more: Unpack[EngineSettings]) -> None:
        self._calls = EngineCalls(settings, more)

    def open_source(self, place: StrPath | None = None, /, **settings: Unpack[SourceSettings]) -> Source:
        """Opens a disk image or device by its path, or a disk by `nbd=` and its URI."""
        return self._calls.open_source(place, settings).wait()

    def open_replica(self, target: Target | StrPath, source: SourceLike) -> Replica:
        """Opens the replica at the target, or makes it for this disk. When another writer holds it, this waits for
        the term of its lease and a little more, then raises `LeaseHeldError`."""
        return Replica(self._calls.open_replica(target, source, by_force=False).wait())

    def take_over(self, target: Target | StrPath, source: SourceLike) -> Replica:
        """The same, but breaks the lease of another writer instead of waiting for it."""
        return Replica(self._calls.open_replica(target, source, by_force=True).wait())

    def open_project(
        self,
        settings: Mapping[str, Any],
        *,
        credential: TokenCredential,
        connection: Connection | None = None,
        **more: Any,
    ) -> Project:
        """Opens the control plane of a migration, whose settings the guide's page on plans describes. Sends
        nothing. The credential is any object with `get_token()`."""
        return Project(self._calls.open_project(settings, credential, {"connection": connection, **more}))

    def events(self, after: int = 0) -> Events:
        """The events of all replicas that came after the one with this number; from the oldest that is kept."""
        return Events(self._calls.events(after), self._calls)

    def preflight_network(
        self, targets: Iterable[str | Mapping[str, Any]], **settings: Unpack[NetworkSettings]
    ) -> NetworkReport:
        """Checks the network to each target: a host name, or `{"host", "port", "expect"}`."""
        return self._calls.preflight_network(targets, settings).wait()

    def set_bytes_per_second(self, limit: int | None) -> None:
        """Changes the limit on what is sent, while running; `None` lifts it."""
        self._calls.set_bytes_per_second(limit)

    def set_schedule(self, schedule: Mapping[str, Any] | None) -> None:
        """Changes the schedule, while running."""
        self._calls.set_schedule(schedule)

    def close(self, timeout: float = 5.0) -> None:
        """Cancels what is under way and ends the engine's threads. Safe to repeat."""
        self._calls.close(timeout)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._calls.native.is_closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<libmigrate.Engine, closed>" if self.closed else "<libmigrate.Engine>"


class Events(Iterator[Event]):
    """An engine's events, in order; ends when the engine is closed and all were read."""

    def __init__(self, native: _native.Events, engine: EngineCalls) -> None:
        self._native = native
        # So that the end of the interpreter finds the engine.
        self._engine = engine

    def __next__(self) -> Event:
        while True:
            event = next_event(self._native)
            if event is not None:
                return event
            try:
                Call(self._native.wait, nothing).wait()
            except ClosedError:
                raise StopIteration from None

    def try_next(self) -> Event | None:
        """The next event, if there is one already."""
        return next_event(self._native)

    def next(self, timeout: float) -> Event | None:
        """The next event, if there is one within so many seconds. `ClosedError` when there will be none."""
        event = next_event(self._native)
        if event is None and event_within(self._native, timeout):
            event = next_event(self._native)
            if event is None:
                raise closed("engine")
        return event


class Replica:
    """The replica of one disk, open for writing by its engine alone; use it in a `with` statement, which gives the
    lease up at the end."""

    def __init__(self, calls: ReplicaCalls) -> None:
        self._calls = calls

    @property
    def location(self) -> str:
        """Where it is, without secrets."""
        return self._calls.native.location()

    def disk_bytes(self) -> int:
        """Its size: the source's, rounded up to whole MiB."""
        return self._calls.disk_bytes().wait()

    def replicate(self, source: SourceLike, **settings: Unpack[CycleSettings]) -> RecoveryPoint:
        """Brings the replica in step with the source and seals a recovery point. Safe to repeat: an interrupted
        cycle goes on, a sealed one is followed by a delta."""
        return self._calls.replicate(source, settings).wait()

    def begin(self, source: SourceLike, **settings: Unpack[CycleSettings]) -> Cycle:
        """Begins a cycle whose bytes are pushed, or goes on with the interrupted one at the same moment."""
        return Cycle(self._calls.begin(source, settings).wait())

    def verify(self, source: SourceLike | None = None, **settings: Unpack[VerifySettings]) -> VerifyReport:
        """Compares the replica with the source, or without one with its own sealed digest map. A difference is no
        exception; `bool(report)` tells."""
        return self._calls.verify(source, settings).wait()

    def recovery_points(self) -> list[RecoveryPoint]:
        """All recovery points, oldest first."""
        return self._calls.recovery_points().wait()

    def history(self) -> list[RecoveryPoint]:
        """Every cycle that was sealed here, oldest first: also of recovery points that are deleted."""
        return self._calls.history().wait()

    def prune(self, **rule: int | None) -> list[int]:
        """Deletes the recovery points that a rule does not keep (`newest`, how many, and `younger_than_seconds`),
        then the garbage. The cycles that were deleted."""
        return self._calls.prune(rule).wait()

    def roll_back(self, cycle: int) -> RecoveryPoint:
        """Takes the replica back to a recovery point, which becomes a new one."""
        return self._calls.roll_back(cycle).wait()

    def export_proof(self, path: StrPath, **settings: Unpack[VerifySettings]) -> RecoveryPoint:
        """Writes the proof of a recovery point to a file, whole or not at all."""
        return self._calls.export_proof(path, settings).wait()

    def garbage(self) -> list[Garbage]:
        """What lies at the target and nothing needs any more. Deletes nothing."""
        return self._calls.garbage().wait()

    def collect_garbage(self) -> list[Garbage]:
        """Deletes what `garbage` lists, and lists it."""
        return self._calls.collect_garbage().wait()

    def close(self) -> None:
        """Cancels what is under way at this replica, and gives the lease up. Safe to repeat."""
        self._calls.close().wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ClosedError:
            # The engine was closed before, and the replica with it.
            pass

    def __repr__(self) -> str:
        return f"<libmigrate.Replica {self.location}>"


class Project:
    """The control plane of one migration: what is wanted, and the service to ask. Plans are JSON, as the guide's
    page on plans describes them; `libmigrate.control("markdown", plan=plan)` is one as a text."""

    def __init__(self, calls: ProjectCalls) -> None:
        self._calls = calls

    def preflight(self, **settings: Unpack[PreflightSettings]) -> list[Finding]:
        """Reads what is there and says what is wrong. Changes nothing."""
        return self._calls.preflight(settings).wait()

    def plan(self, goal: Goal, *, shut_down_source: bool | None = None) -> dict[str, Any]:
        """The plan that leads from what is there to the goal. Changes nothing."""
        return self._calls.plan(goal, shut_down_source).wait()

    def ask(self, verb: str) -> dict[str, Any]:
        """The plan that asks one thing of each server."""
        return self._calls.ask(verb).wait()

    def template(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """What of a plan a template can make, as an ARM template."""
        return self._calls.template(plan).wait()

    def hosts_lines(self) -> str:
        """Lines of a hosts file with the addresses of the private endpoints: for tests."""
        return self._calls.hosts_lines().wait()

    def apply(self, plan: Mapping[str, Any], *, journal: StrPath, **settings: Unpack[ApplySettings]) -> Outcome:
        """Does what can be done now of a plan, and says what it waits for. The journal is a file: the same plan is
        given the same one again, and goes on from it when it was killed."""
        return self._calls.apply(plan, journal, settings).wait()

    def cutover(
        self, do: CutoverStep, *, record: StrPath | None = None, **settings: Unpack[CutoverSettings]
    ) -> Any:
        """Makes a machine in Azure of a server's sealed replicas, without the service, or takes it away again, as the
        guide's page on that describes it. Only `steps` sends nothing. The record is a file: what was made is in it, and
        the next call for the same machine is given the same one."""
        return self._calls.cutover(do, record, settings).wait()

    def told(self) -> dict[str, Any] | None:
        """The next thing that `apply` told of, if there is one already; the newest thousand are kept."""
        return self._calls.told()


class Cycle:
    """One pass of replication, whose bytes are pushed. Iterating over it gives what is wanted:

    ```python
    with replica.begin(source) as cycle:
        for offset, length in cycle:
            cycle.push(offset, read(offset, length))
        point = cycle.seal()
    ```

    Leaving the `with` statement without `seal()` stops it: what has settled stays, and nothing counts.
    """

    def __init__(self, calls: CycleCalls) -> None:
        self._calls = calls

    def next(self) -> Extent | None:
        """The next extent to push; none when everything was handed out."""
        return self._calls.next().wait()

    def push(self, offset: int, data: Buffer) -> None:
        """Pushes the bytes of an extent that `next` gave, in any order; returns when there was room for them.
        `bytes` are not copied; a buffer that may change is, once."""
        offset, data = piece(offset, data)
        if not self._calls.try_push(offset, data):
            self._calls.push(offset, data).wait()

    def try_push(self, offset: int, data: Buffer) -> bool:
        """The same without waiting: false when the memory limit is reached; push again after `room`."""
        return self._calls.try_push(*piece(offset, data))

    def room(self) -> None:
        """Returns when there is room for another push."""
        self._calls.room().wait()

    def copy_from(self, source: SourceLike) -> None:
        """Reads everything that the cycle wants from a source, which must be the one it was begun with."""
        self._calls.copy_from(source).wait()

    def seal(self) -> RecoveryPoint:
        """Makes the cycle a recovery point. The cycle is closed by it, whatever comes of it."""
        return self._calls.seal().wait()

    def stop(self) -> None:
        """Stops the cycle without sealing it. Never waits; safe to repeat."""
        self._calls.stop()

    def __iter__(self) -> Iterator[Extent]:
        while True:
            wanted = self.next()
            if wanted is None:
                return
            yield wanted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.leave()

    def __repr__(self) -> str:
        return "<libmigrate.Cycle>"
