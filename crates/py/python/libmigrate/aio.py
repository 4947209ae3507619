"""The same classes as `libmigrate`'s, with calls to await.

```python
async with libmigrate.aio.Engine(state_dir="state") as engine:
    source = await engine.open_source("web01.vhdx")
    async with await engine.open_replica("web01.vhd", source) as replica:
        point = await replica.replicate(source)
```

Any number of event loops may be used, one after the other or in several threads. Cancelling an `await` cancels what it
waits for, and returns when that has ended: within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _native
from ._call import Call, nothing
from ._calls import CycleCalls, EngineCalls, ProjectCalls, ReplicaCalls, next_event, piece
from ._errors import ClosedError
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

__all__ = ["Cycle", "Engine", "Events", "Project", "Replica", "Source", "Target"]


class Engine:
    """`libmigrate.Engine`, to await; use it in an `async with` statement."""

    def __init__(self, settings: Mapping[str, Any] | None = None, /, **more: Unpack[EngineSettings]) -> None:
        self._calls = EngineCalls(settings, more)

    async def open_source(self, place: StrPath | None = None, /, **settings: Unpack[SourceSettings]) -> Source:
        """Opens a disk image or device by its path, or a disk by `nbd=` and its URI."""
        return await self._calls.open_source(place, settings)

    async def open_replica(self, target: Target | StrPath, source: SourceLike) -> Replica:
        """Opens the replica at the target, or makes it for this disk."""
        return Replica(await self._calls.open_replica(target, source, by_force=False))

    async def take_over(self, target: Target | StrPath, source: SourceLike) -> Replica:
        """The same, but breaks the lease of another writer instead of waiting for it."""
        return Replica(await self._calls.open_replica(target, source, by_force=True))

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

    async def preflight_network(
        self, targets: Iterable[str | Mapping[str, Any]], **settings: Unpack[NetworkSettings]
    ) -> NetworkReport:
        """Checks the network to each target: a host name, or `{"host", "port", "expect"}`."""
        return await self._calls.preflight_network(targets, settings)

    def set_bytes_per_second(self, limit: int | None) -> None:
        """Changes the limit on what is sent, while running; `None` lifts it."""
        self._calls.set_bytes_per_second(limit)

    def set_schedule(self, schedule: Mapping[str, Any] | None) -> None:
        """Changes the schedule, while running."""
        self._calls.set_schedule(schedule)

    async def close(self, timeout: float = 5.0) -> None:
        """Cancels what is under way and ends the engine's threads. Safe to repeat."""
        await asyncio.get_running_loop().run_in_executor(None, self._calls.close, timeout)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._calls.native.is_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return "<libmigrate.aio.Engine, closed>" if self.closed else "<libmigrate.aio.Engine>"


class Events(AsyncIterator[Event]):
    """An engine's events, in order; ends when the engine is closed and all were read."""

    def __init__(self, native: _native.Events, engine: EngineCalls) -> None:
        self._native = native
        # So that the end of the interpreter finds the engine.
        self._engine = engine

    async def __anext__(self) -> Event:
        while True:
            event = next_event(self._native)
            if event is not None:
                return event
            try:
                await Call(self._native.wait, nothing)
            except ClosedError:
                raise StopAsyncIteration from None

    def try_next(self) -> Event | None:
        """The next event, if there is one already."""
        return next_event(self._native)


class Replica:
    """`libmigrate.Replica`, to await; use it in an `async with` statement, which gives the lease up at the end."""

    def __init__(self, calls: ReplicaCalls) -> None:
        self._calls = calls

    @property
    def location(self) -> str:
        """Where it is, without secrets."""
        return self._calls.native.location()

    async def disk_bytes(self) -> int:
        """Its size: the source's, rounded up to whole MiB."""
        return await self._calls.disk_bytes()

    async def replicate(self, source: SourceLike, **settings: Unpack[CycleSettings]) -> RecoveryPoint:
        """Brings the replica in step with the source and seals a recovery point. Safe to repeat."""
        return await self._calls.replicate(source, settings)

    async def begin(self, source: SourceLike, **settings: Unpack[CycleSettings]) -> Cycle:
        """Begins a cycle whose bytes are pushed, or goes on with the interrupted one at the same moment."""
        return Cycle(await self._calls.begin(source, settings))

    async def verify(self, source: SourceLike | None = None, **settings: Unpack[VerifySettings]) -> VerifyReport:
        """Compares the replica with the source, or without one with its own sealed digest map."""
        return await self._calls.verify(source, settings)

    async def recovery_points(self) -> list[RecoveryPoint]:
        """All recovery points, oldest first."""
        return await self._calls.recovery_points()

    async def history(self) -> list[RecoveryPoint]:
        """Every cycle that was sealed here, oldest first."""
        return await self._calls.history()

    async def prune(self, **rule: int | None) -> list[int]:
        """Deletes the recovery points that a rule does not keep (`newest`, `younger_than_seconds`)."""
        return await self._calls.prune(rule)

    async def roll_back(self, cycle: int) -> RecoveryPoint:
        """Takes the replica back to a recovery point, which becomes a new one."""
        return await self._calls.roll_back(cycle)

    async def export_proof(self, path: StrPath, **settings: Unpack[VerifySettings]) -> RecoveryPoint:
        """Writes the proof of a recovery point to a file, whole or not at all."""
        return await self._calls.export_proof(path, settings)

    async def garbage(self) -> list[Garbage]:
        """What lies at the target and nothing needs any more. Deletes nothing."""
        return await self._calls.garbage()

    async def collect_garbage(self) -> list[Garbage]:
        """Deletes what `garbage` lists, and lists it."""
        return await self._calls.collect_garbage()

    async def close(self) -> None:
        """Cancels what is under way at this replica, and gives the lease up. Safe to repeat."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except ClosedError:
            # The engine was closed before, and the replica with it.
            pass

    def __repr__(self) -> str:
        return f"<libmigrate.aio.Replica {self.location}>"


class Project:
    """`libmigrate.Project`, to await."""

    def __init__(self, calls: ProjectCalls) -> None:
        self._calls = calls

    async def preflight(self, **settings: Unpack[PreflightSettings]) -> list[Finding]:
        """Reads what is there and says what is wrong. Changes nothing."""
        return await self._calls.preflight(settings)

    async def plan(self, goal: Goal, *, shut_down_source: bool | None = None) -> dict[str, Any]:
        """The plan that leads from what is there to the goal. Changes nothing."""
        return await self._calls.plan(goal, shut_down_source)

    async def ask(self, verb: str) -> dict[str, Any]:
        """The plan that asks one thing of each server."""
        return await self._calls.ask(verb)

    async def template(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """What of a plan a template can make, as an ARM template."""
        return await self._calls.template(plan)

    async def hosts_lines(self) -> str:
        """Lines of a hosts file with the addresses of the private endpoints: for tests."""
        return await self._calls.hosts_lines()

    async def apply(self, plan: Mapping[str, Any], *, journal: StrPath, **settings: Unpack[ApplySettings]) -> Outcome:
        """Does what can be done now of a plan, and says what it waits for. The journal is a file: the same plan is
        given the same one again, and goes on from it when it was killed."""
        return await self._calls.apply(plan, journal, settings)

    async def cutover(
        self, do: CutoverStep, *, record: StrPath | None = None, **settings: Unpack[CutoverSettings]
    ) -> Any:
        """Makes a machine in Azure of a server's sealed replicas, without the service, or takes it away again, as the
        guide's page on that describes it. Only `steps` sends nothing. The record is a file: what was made is in it, and
        the next call for the same machine is given the same one."""
        return await self._calls.cutover(do, record, settings)

    def told(self) -> dict[str, Any] | None:
        """The next thing that `apply` told of, if there is one already; the newest thousand are kept."""
        return self._calls.told()


class Cycle:
    """`libmigrate.Cycle`, to await: `async for offset, length in cycle`."""

    def __init__(self, calls: CycleCalls) -> None:
        self._calls = calls

    async def next(self) -> Extent | None:
        """The next extent to push; none when everything was handed out."""
        return await self._calls.next()

    async def push(self, offset: int, data: Buffer) -> None:
        """Pushes the bytes of an extent that `next` gave, in any order; returns when there was room for them.
        `bytes` are not copied; a buffer that may change is, once."""
        offset, data = piece(offset, data)
        if not self._calls.try_push(offset, data):
            await self._calls.push(offset, data)

    def try_push(self, offset: int, data: Buffer) -> bool:
        """The same without waiting: false when the memory limit is reached; push again after `room`."""
        return self._calls.try_push(*piece(offset, data))

    async def room(self) -> None:
        """Returns when there is room for another push."""
        await self._calls.room()

    async def copy_from(self, source: SourceLike) -> None:
        """Reads everything that the cycle wants from a source, which must be the one it was begun with."""
        await self._calls.copy_from(source)

    async def seal(self) -> RecoveryPoint:
        """Makes the cycle a recovery point. The cycle is closed by it, whatever comes of it."""
        return await self._calls.seal()

    def stop(self) -> None:
        """Stops the cycle without sealing it. Never waits; safe to repeat."""
        self._calls.stop()

    async def __aiter__(self) -> AsyncIterator[Extent]:
        while True:
            wanted = await self.next()
            if wanted is None:
                return
            yield wanted

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.leave()

    def __repr__(self) -> str:
        return "<libmigrate.aio.Cycle>"
