"""Disks that Python reads."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from typing import Any

import libmigrate as lm
import pytest
from conftest import MIB, Disk, disk_of


def replicate(engine: lm.Engine, tmp_path: Path, disk: Any) -> lm.RecoveryPoint:
    with engine.open_replica(tmp_path / "r.vhd", disk) as replica:
        return replica.replicate(disk)


def test_what_is_known_to_be_zero_is_not_read(engine: lm.Engine, tmp_path: Path) -> None:
    class Sparse(Disk):
        def extents(self) -> list[tuple[int, int, bool]]:
            return [(0, 2 * MIB, True), (2 * MIB, MIB, False)]

    disk = Sparse(bytes(2 * MIB) + disk_of(MIB))
    point = replicate(engine, tmp_path, disk)
    assert point.counts.hole == 2 * MIB
    assert all(offset >= 2 * MIB for offset, _ in disk.reads)


def test_reads_come_one_at_a_time_unless_the_disk_says_otherwise(engine: lm.Engine, tmp_path: Path) -> None:
    class Counting(Disk):
        max_in_flight = 1
        now = most = 0
        lock = threading.Lock()

        def readinto(self, offset: int, buffer: memoryview) -> int:
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            time.sleep(0.02)
            with self.lock:
                self.now -= 1
            return super().readinto(offset, buffer)

    alone = Counting(disk_of(8 * MIB))
    replicate(engine, tmp_path, alone)
    assert alone.most == 1
    many = Counting(disk_of(8 * MIB), point="2")
    many.max_in_flight = 4
    (tmp_path / "many").mkdir()
    replicate(engine, tmp_path / "many", many)
    assert many.most > 1


def test_what_readinto_raises_is_the_cause(engine: lm.Engine, tmp_path: Path) -> None:
    class Broken(Disk):
        def readinto(self, offset: int, buffer: memoryview) -> int:
            raise OSError(5, "the snapshot is gone")

    with pytest.raises(lm.SourceError, match="the snapshot is gone") as raised:
        replicate(engine, tmp_path, Broken(disk_of(MIB)))
    assert raised.value.code == "source.custom"
    assert isinstance(raised.value.__cause__, OSError) and raised.value.__cause__.errno == 5


@pytest.mark.parametrize("count", [0, 4095, -1, "all"])
def test_a_read_that_is_not_whole_fails(engine: lm.Engine, tmp_path: Path, count: Any) -> None:
    class Short(Disk):
        def readinto(self, offset: int, buffer: memoryview) -> Any:
            return count

    with pytest.raises(lm.SourceError, match="readinto filled"):
        replicate(engine, tmp_path, Short(disk_of(4096)))


@pytest.mark.parametrize(
    "keep",
    [
        lambda view: view[10:],
        lambda view: view.cast("I"),
        lambda view: memoryview(view),
        lambda view: (__import__("ctypes").c_char * len(view)).from_buffer(view),
    ],
)
def test_a_buffer_that_is_kept_fails_the_read_and_stays_writable(
    engine: lm.Engine, tmp_path: Path, keep: Any
) -> None:
    class Keeping(Disk):
        kept: Any = None

        def readinto(self, offset: int, buffer: memoryview) -> int:
            self.kept = keep(buffer)
            return super().readinto(offset, buffer)

    disk = Keeping(disk_of(MIB))
    with pytest.raises(lm.SourceError, match="kept its buffer"):
        replicate(engine, tmp_path, disk)
    # Memory that was freed would make this a crash, or somebody else's change.
    memoryview(disk.kept).cast("B")[:4] = b"late"
    assert bytes(memoryview(disk.kept).cast("B")[:4]) == b"late"


def test_the_buffer_itself_is_of_no_use_afterwards(engine: lm.Engine, tmp_path: Path) -> None:
    class Keeping(Disk):
        kept: memoryview

        def readinto(self, offset: int, buffer: memoryview) -> int:
            self.kept = buffer
            return super().readinto(offset, buffer)

    disk = Keeping(disk_of(MIB))
    assert replicate(engine, tmp_path, disk).counts.sent == MIB
    with pytest.raises(ValueError, match="released"):
        disk.kept[0] = 1


def test_the_threads_of_a_source_end_with_it(engine: lm.Engine, tmp_path: Path) -> None:
    def readers() -> int:
        return sum(thread.name == "libmigrate-reads" for thread in threading.enumerate())

    before = readers()
    source = lm.Source.served(Disk(disk_of(MIB)))
    assert readers() == before + 1
    del source
    gc.collect()
    until = time.monotonic() + 10
    while readers() > before:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_reading_may_use_the_library(engine: lm.Engine, tmp_path: Path) -> None:
    class Nested(Disk):
        seen: list[str] = []

        def readinto(self, offset: int, buffer: memoryview) -> int:
            self.seen.extend(event.type for event in iter(engine.events().try_next, None))
            return super().readinto(offset, buffer)

    replicate(engine, tmp_path, Nested(disk_of(MIB)))
    assert "cycle_started" in Nested.seen
