"""Whole cycles, blocking."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from pathlib import Path

import libmigrate as lm
import pytest
from conftest import MIB, Disk, disk_of


def test_an_image_is_replicated_verified_and_listed(engine: lm.Engine, tmp_path: Path) -> None:
    content = disk_of(3 * MIB)
    (tmp_path / "web01.raw").write_bytes(content)
    source = engine.open_source(tmp_path / "web01.raw", format="raw")
    assert (source.size_bytes, source.notes) == (3 * MIB, [])
    assert source.point is not None
    with engine.open_replica(tmp_path / "web01.vhd", source) as replica:
        assert replica.disk_bytes() == 3 * MIB
        point = replica.replicate(source)
        assert (point.kind, point.cycle, point.counts.sent, point.counts.done) == ("initial", 1, 3 * MIB, 3 * MIB)
        assert abs((datetime.now(timezone.utc) - point.sealed_at).total_seconds()) < 60
        report = replica.verify(source, subject="live")
        assert report and report.root == point.root and report.compared == report.blocks
        assert replica.recovery_points() == [point]
        assert replica.history() == [point]
        assert replica.garbage() == []
    assert (tmp_path / "web01.vhd").read_bytes()[: 3 * MIB] == content


def test_the_json_of_a_result_is_kept_with_fields_that_this_version_does_not_know() -> None:
    raw = {
        **dict(cycle=1, kind="initial", generation=1, sealed_at="2026-01-02T03:04:05.123456789Z", root="r"),
        **dict(change_id=None, crash_consistent=True, disk_bytes=1, source_bytes=1, change_list_ignored=None),
        "counts": dict.fromkeys(
            ["read", "hole", "unlisted", "sent", "cleared", "skipped", "hole_cleared", "puts", "clears"], 1
        ),
        "from_the_future": 7,
    }
    point = lm.RecoveryPoint.of(raw)
    assert point.raw["from_the_future"] == 7
    assert point.sealed_at == datetime(2026, 1, 2, 3, 4, 5, 123456, timezone.utc)
    with pytest.raises(AttributeError):
        point.cycle = 2  # type: ignore[misc]


def test_a_delta_by_a_change_list_reads_only_what_it_names(engine: lm.Engine, tmp_path: Path) -> None:
    disk = Disk(disk_of(4 * MIB))
    with engine.open_replica(tmp_path / "r.vhd", disk) as replica:
        replica.replicate(disk, change_id="7")
        disk.reads.clear()
        disk.point = "2"
        listed = {"base": "7", "end": "8", "extents": [(MIB, 65536), lm.Extent(2 * MIB, 65536)]}
        point = replica.replicate(disk, changes=listed)
        assert (point.change_id, point.counts.read) == ("8", 131072)
        assert {offset for offset, _ in disk.reads} == {MIB, 2 * MIB}


def test_a_disk_is_pushed_in_any_order_and_from_any_buffer(engine: lm.Engine, tmp_path: Path) -> None:
    content = disk_of(3 * MIB + 4096)
    source = lm.Source.pushed(len(content), point="1", zero=[(0, MIB)])
    kinds = [bytes, bytearray, memoryview, lambda part: memoryview(part * 2)[: len(part)]]
    with engine.open_replica(tmp_path / "r.vhd", source) as replica, replica.begin(source) as cycle:
        wanted = list(cycle)
        for at, (offset, length) in enumerate(reversed(wanted)):
            cycle.push(offset, kinds[at % len(kinds)](content[offset : offset + length]))
        point = cycle.seal()
    assert point.counts.hole >= MIB and len(wanted) >= 3
    assert (tmp_path / "r.vhd").read_bytes()[MIB : len(content)] == content[MIB:]


def test_a_buffer_may_be_used_again_as_soon_as_push_returns(engine: lm.Engine, tmp_path: Path) -> None:
    content = disk_of(8 * MIB)
    source = lm.Source.pushed(len(content), point="1")
    with engine.open_replica(tmp_path / "r.vhd", source) as replica, replica.begin(source) as cycle:
        buffer = bytearray(MIB)
        for offset, length in cycle:
            buffer[:length] = content[offset : offset + length]
            cycle.push(offset, memoryview(buffer)[:length])
            buffer[:] = b"\xff" * MIB
        cycle.seal()
    assert (tmp_path / "r.vhd").read_bytes()[: len(content)] == content


def test_pushing_without_waiting_says_when_there_is_no_room(tmp_path: Path) -> None:
    content, refused = disk_of(8 * MIB), 0
    source = lm.Source.pushed(len(content), point="1")
    with lm.Engine(state_dir=tmp_path / "s", memory_limit=4 * MIB, bytes_per_second=MIB) as engine:
        with engine.open_replica(tmp_path / "r.vhd", source) as replica, replica.begin(source) as cycle:
            for offset, length in cycle:
                while not cycle.try_push(offset, content[offset : offset + length]):
                    refused += 1
                    engine.set_bytes_per_second(None)
                    cycle.room()
            cycle.seal()
    assert refused > 0
    assert (tmp_path / "r.vhd").read_bytes()[: len(content)] == content


def test_a_cycle_that_is_left_without_a_seal_counts_for_nothing(engine: lm.Engine, tmp_path: Path) -> None:
    source = lm.Source.pushed(2 * MIB, point="1")
    with engine.open_replica(tmp_path / "r.vhd", source) as replica:
        with pytest.raises(ZeroDivisionError):
            with replica.begin(source) as cycle:
                1 / 0  # noqa: B018
        with pytest.raises(lm.ClosedError):
            cycle.next()
        assert replica.recovery_points() == []
        with replica.begin(source) as stopped:
            stopped.stop()
            with pytest.raises(lm.Cancelled):
                stopped.next()
        with replica.begin(source) as cycle:
            cycle.copy_from(Disk(bytes(2 * MIB)))
            assert cycle.seal().counts.done == 2 * MIB


def test_recovery_points_are_pruned_rolled_back_to_and_proved(engine: lm.Engine, tmp_path: Path) -> None:
    disk = Disk(disk_of(MIB))
    with engine.open_replica(tmp_path / "r.vhd", disk) as replica:
        first = replica.replicate(disk)
        changed = Disk(disk_of(MIB, 1), point="2")
        replica.replicate(changed)
        assert not replica.verify(disk)
        back = replica.roll_back(1)
        assert (back.cycle, back.root) == (3, first.root)
        assert replica.verify(disk)
        replica.export_proof(tmp_path / "proof.json", subject={"cycle": 3})
        assert (tmp_path / "proof.json").stat().st_size > 0
        assert replica.prune(newest=1) == [1, 2]
        assert replica.collect_garbage() == []


def test_engines_and_threads_work_side_by_side(tmp_path: Path) -> None:
    points: dict[int, lm.RecoveryPoint] = {}

    def run(engine: lm.Engine, at: int) -> None:
        disk = Disk(disk_of(2 * MIB, at))
        with engine.open_replica(tmp_path / f"{at}.vhd", disk) as replica:
            points[at] = replica.replicate(disk)

    with lm.Engine(state_dir=tmp_path / "a") as a, lm.Engine(state_dir=tmp_path / "b") as b:
        threads = [threading.Thread(target=run, args=([a, b][at % 2], at)) for at in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for at in range(6):
        assert points[at].kind == "initial"
        assert (tmp_path / f"{at}.vhd").read_bytes()[: 2 * MIB] == disk_of(2 * MIB, at)


def test_other_threads_run_while_one_waits(slow_engine: lm.Engine, tmp_path: Path) -> None:
    disk = Disk(disk_of(2 * MIB))
    counted, done = 0, threading.Event()

    def replicate() -> None:
        with slow_engine.open_replica(tmp_path / "r.vhd", disk) as replica:
            replica.replicate(disk)
        done.set()

    thread = threading.Thread(target=replicate)
    thread.start()
    while not done.is_set():
        counted += 1
    thread.join()
    # A second and more: had the wait kept the interpreter, there would be next to none.
    assert counted > 100_000


def test_a_take_over_fences_the_other_owner(tmp_path: Path) -> None:
    disk = Disk(disk_of(MIB))
    with lm.Engine(state_dir=tmp_path / "a") as engine:
        with engine.open_replica(tmp_path / "r.vhd", disk) as replica:
            replica.replicate(disk)
        with engine.take_over(tmp_path / "r.vhd", disk) as replica:
            assert replica.replicate(disk).generation == 2
        types = [event.type for event in iter(engine.events().try_next, None)]
    assert types.count("opened") == 2


def test_the_network_is_checked_and_what_is_wrong_is_a_finding(engine: lm.Engine) -> None:
    report = engine.preflight_network(["not a name"], time_limit_seconds=5)
    assert [finding.code for finding in report.findings] == ["name.invalid"]
    assert report.findings[0].severity == "error" and report.findings[0].remedy
    assert report.targets[0].host == "not a name"


def test_the_control_planes_model_is_asked() -> None:
    assert "vmware_agentless" in [scenario["name"] for scenario in lm.control("lifecycle")["scenarios"]]
    plan = {"scenario": "vmware_agentless", "settings": "", "steps": []}
    assert lm.control("markdown", plan=plan).startswith("#")


def test_the_version_and_the_reprs_are_told(engine: lm.Engine, tmp_path: Path) -> None:
    assert lm.__version__.count(".") == 2
    source = lm.Source.pushed(4096)
    assert repr(engine) == "<libmigrate.Engine>" and repr(source) == "<libmigrate.Source of 4096 bytes>"
    assert repr(lm.Target(tmp_path / "r.vhd")).endswith("r.vhd>")
