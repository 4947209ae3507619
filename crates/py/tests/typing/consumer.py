"""What a user writes, as both type checkers must see it. Nothing here runs; a line that a checker must refuse says
so, and a comment that refuses nothing is an error itself."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportPrivateUsage=false
from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import libmigrate as lm
from libmigrate import aio, events


class Disk:
    size = 1 << 20

    def readinto(self, offset: int, buffer: memoryview, /) -> None:
        buffer[:] = bytes(len(buffer))


class NoDisk:
    size = 1 << 20


class Credential:
    def get_token(self, *scopes: str, claims: str | None = None) -> object: ...


def blocking(path: Path, pathlike: os.PathLike[str]) -> None:
    settings = {"state_dir": path}
    with lm.Engine(settings) as same, lm.Engine(state_dir=path, bytes_per_second=None) as engine:
        source: lm.Source = engine.open_source(pathlike, format="raw", may_change=True)
        disk: lm.Source = engine.open_source(nbd="nbd://host/disk", ca_file=path)
        target = lm.Target("https://a/b", credential=Credential(), private_link={"required": False})
        with engine.open_replica(target, Disk()) as replica:
            point: lm.RecoveryPoint = replica.replicate(source, kind="final", change_id="7")
            sealed: datetime = point.sealed_at
            sent: int = point.counts.sent
            equal: bool = replica.verify(disk, subject={"cycle": 1}, sample={"damaged_share": 0.1}).equal
            deleted: list[int] = replica.prune(newest=1)
            with replica.begin(lm.Source.pushed(1, zero=[(0, 1), lm.Extent(0, 1)])) as cycle:
                for offset, length in cycle:
                    cycle.push(offset, bytearray(length))
                    cycle.push(offset, memoryview(bytes(length)))
                last: lm.RecoveryPoint = cycle.seal()
        found: Iterator[lm.Event] = engine.events()
        for event in found:
            if isinstance(event, events.Progress):
                left: int | None = event.seconds_left
                print(left)
        print(same, sealed, sent, equal, deleted, last)


async def asynchronous() -> None:
    async with aio.Engine() as engine:
        source = await engine.open_source("a")
        async with await engine.open_replica("b", source) as replica:
            point: lm.RecoveryPoint = await replica.replicate(source)
            async for extent in await replica.begin(source):
                length: int = extent.len
                print(length)
        found: AsyncIterator[lm.Event] = engine.events()
        print(point, [event.seq async for event in found])
        await asyncio.wait_for(replica.verify(), 5)


def errors() -> None:
    try:
        lm.Engine()
    except lm.RetryableError as error:
        code: str = error.code
        causes: tuple[str, ...] = error.causes
        print(code, causes)
    except (lm.TargetError, ValueError):
        pass


def refused(engine: lm.Engine, replica: lm.Replica, other: aio.Replica) -> None:
    lm.Engine(memory_limt=1)  # type: ignore[call-arg]
    lm.Target("https://a/b", credential=7)  # type: ignore[arg-type]
    lm.Engine(memory_limit="1")  # type: ignore[arg-type]
    engine.open_source("a", format="floppy")  # type: ignore[arg-type]
    engine.open_replica("a", NoDisk())  # type: ignore[arg-type]
    engine.open_replica(b"a", Disk())  # type: ignore[arg-type]
    replica.replicate(Disk(), kind="backwards")  # type: ignore[arg-type]
    replica.replicate(Disk()).cycle.bit_length()
    replica.replicate(Disk()).cykle  # type: ignore[attr-defined]
    replica.begin(Disk()).push(0, "text")  # type: ignore[arg-type]
    replica.roll_back("1")  # type: ignore[arg-type]
    other.replicate(Disk()).cycle  # type: ignore[attr-defined]
    with other:  # type: ignore[attr-defined]
        pass
