"""The same with asyncio."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import libmigrate as lm
import pytest
from conftest import MIB, Disk, disk_of
from libmigrate import aio


def test_everything_that_waits_is_awaited(tmp_path: Path) -> None:
    content = disk_of(3 * MIB)
    (tmp_path / "web01.raw").write_bytes(content)

    async def main() -> None:
        async with aio.Engine(state_dir=tmp_path / "state") as engine:
            source = await engine.open_source(tmp_path / "web01.raw", format="raw")
            async with await engine.open_replica(tmp_path / "r.vhd", source) as replica:
                point = await replica.replicate(source)
                assert (point.kind, await replica.disk_bytes()) == ("initial", 3 * MIB)
                assert await replica.verify(source) and await replica.verify()
                assert await replica.recovery_points() == await replica.history() == [point]
                assert (await replica.roll_back(1)).cycle == 2
                await replica.export_proof(tmp_path / "proof.json")
                assert await replica.prune(newest=1) == [1]
                assert await replica.garbage() == await replica.collect_garbage() == []
                assert repr(replica).endswith("r.vhd>")
            async with await engine.take_over(tmp_path / "r.vhd", source) as replica:
                assert (await replica.replicate(source)).generation == 2
            assert (await engine.preflight_network(["not a name"])).findings
        assert engine.closed

    asyncio.run(main())
    assert (tmp_path / "r.vhd").read_bytes()[: 3 * MIB] == content


def test_a_disk_is_pushed(tmp_path: Path) -> None:
    content = disk_of(8 * MIB)

    async def main() -> None:
        async with aio.Engine(state_dir=tmp_path / "state", memory_limit=4 * MIB) as engine:
            source = lm.Source.pushed(len(content), point="1")
            async with await engine.open_replica(tmp_path / "r.vhd", source) as replica:
                async with await replica.begin(source) as cycle:
                    async for offset, length in cycle:
                        await cycle.push(offset, memoryview(content)[offset : offset + length])
                    assert (await cycle.seal()).counts.sent == len(content)
                with pytest.raises(lm.ClosedError):
                    await cycle.next()

    asyncio.run(main())
    assert (tmp_path / "r.vhd").read_bytes()[: len(content)] == content


def test_errors_are_those_of_the_blocking_calls(tmp_path: Path) -> None:
    class Broken(Disk):
        def readinto(self, offset: int, buffer: memoryview) -> int:
            raise OSError(5, "the snapshot is gone")

    async def main() -> None:
        async with aio.Engine(state_dir=tmp_path / "state") as engine:
            with pytest.raises(lm.SourceError) as raised:
                await engine.open_source("/nowhere/web01.raw", format="raw")
            assert raised.value.code == "source.open"
            with pytest.raises(lm.ArgumentError):
                await engine.open_source("a", sise=1)  # type: ignore[call-arg]
            async with await engine.open_replica(tmp_path / "r.vhd", Disk(bytes(4096))) as replica:
                with pytest.raises(lm.SourceError) as raised:
                    await replica.replicate(Broken(bytes(4096)))
                assert isinstance(raised.value.__cause__, OSError)

    asyncio.run(main())


async def slow(tmp_path: Path, during: Callable[[aio.Engine, aio.Replica, Disk], Awaitable[Any]]) -> Any:
    """Does something at a replica that takes in a MiB a second."""
    disk = Disk(disk_of(20 * MIB))
    async with aio.Engine(state_dir=tmp_path / "state", bytes_per_second=MIB) as engine:
        async with await engine.open_replica(tmp_path / "r.vhd", disk) as replica:
            return await during(engine, replica, disk)


def test_a_cancelled_task_cancels_its_job_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async def during(engine: aio.Engine, replica: aio.Replica, disk: Disk) -> None:
        task = asyncio.ensure_future(replica.replicate(disk))
        async for event in engine.events():
            if event.type == "progress":
                break
        asked = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - asked < 1.5
        engine.set_bytes_per_second(None)
        assert (await replica.replicate(disk)).cycle == 1
        types = [event.type for event in iter(engine.events().try_next, None)]
        assert "stopped" in types and types[-1] == "sealed"

    asyncio.run(slow(tmp_path, during))


def test_a_time_limit_is_one_of_asyncio(tmp_path: Path) -> None:
    async def during(_: aio.Engine, replica: aio.Replica, disk: Disk) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(replica.replicate(disk), 0.3)

    asyncio.run(slow(tmp_path, during))


def test_the_loop_runs_on_meanwhile(tmp_path: Path) -> None:
    async def during(_: aio.Engine, replica: aio.Replica, disk: Disk) -> int:
        task, turns = asyncio.ensure_future(replica.replicate(disk)), 0
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            await asyncio.sleep(0.001)
            turns += 1
        task.cancel()
        await asyncio.wait([task])
        return turns

    assert asyncio.run(slow(tmp_path, during)) > 50


def test_many_replicas_are_filled_at_once(tmp_path: Path) -> None:
    async def one(engine: aio.Engine, at: int) -> lm.RecoveryPoint:
        disk = Disk(disk_of(MIB, at))
        async with await engine.open_replica(tmp_path / f"{at}.vhd", disk) as replica:
            return await replica.replicate(disk)

    async def main() -> list[lm.RecoveryPoint]:
        async with aio.Engine(state_dir=tmp_path / "state") as engine:
            return await asyncio.gather(*(one(engine, at) for at in range(12)))

    assert [point.counts.sent for point in asyncio.run(main())] == [MIB] * 12


def test_two_loops_use_one_engine(tmp_path: Path) -> None:
    engine = aio.Engine(state_dir=tmp_path / "state")
    points: list[lm.RecoveryPoint] = []

    async def one(at: int) -> None:
        disk = Disk(disk_of(2 * MIB, at))
        async with await engine.open_replica(tmp_path / f"{at}.vhd", disk) as replica:
            points.append(await replica.replicate(disk))

    threads = [threading.Thread(target=asyncio.run, args=(one(at),)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # And a third after those two are closed.
    asyncio.run(one(2))
    asyncio.run(engine.close())
    assert len(points) == 3


def test_a_loop_that_cannot_watch_sockets_works_too(tmp_path: Path) -> None:
    class Proactor(asyncio.SelectorEventLoop):
        def add_reader(self, *_: Any) -> Any:
            if self.is_running():
                raise NotImplementedError
            return super().add_reader(*_)  # its own, for waking it up

        def _add_reader(self, *arguments: Any) -> Any:
            return super()._add_reader(*arguments)  # type: ignore[misc]

    async def main() -> lm.RecoveryPoint:
        disk = Disk(disk_of(MIB))
        async with aio.Engine(state_dir=tmp_path / "state") as engine:
            async with await engine.open_replica(tmp_path / "r.vhd", disk) as replica:
                return await replica.replicate(disk)

    loop = Proactor()
    try:
        assert loop.run_until_complete(main()).counts.sent == MIB
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def test_events_are_an_asynchronous_iterator_that_ends_with_the_engine(tmp_path: Path) -> None:
    seen: list[lm.Event] = []

    async def read(engine: aio.Engine) -> None:
        async for event in engine.events():
            seen.append(event)

    async def main() -> None:
        disk = Disk(disk_of(MIB))
        async with aio.Engine(state_dir=tmp_path / "state") as engine:
            reading = asyncio.ensure_future(read(engine))
            async with await engine.open_replica(tmp_path / "r.vhd", disk) as replica:
                await replica.replicate(disk)
        await asyncio.wait_for(reading, 10)

    asyncio.run(main())
    assert (seen[0].type, seen[-1].type) == ("opened", "sealed")


def test_a_loop_is_left_as_it_was_found(tmp_path: Path) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        before = len(loop._selector.get_map())
        disk = Disk(disk_of(MIB))
        async with aio.Engine(state_dir=tmp_path / "state") as engine:
            async with await engine.open_replica(tmp_path / "r.vhd", disk) as replica:
                await replica.replicate(disk)
        assert len(loop._selector.get_map()) == before

    asyncio.run(main())
    # Nothing that was left open complains; warnings are errors here.
    gc.collect()
