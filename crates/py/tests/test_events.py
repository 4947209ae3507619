"""Events as objects."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import libmigrate as lm
import pytest
from conftest import MIB, Disk, disk_of
from libmigrate import events


def test_events_tell_of_a_whole_cycle(engine: lm.Engine, tmp_path: Path) -> None:
    disk = Disk(disk_of(2 * MIB))
    with engine.open_replica(tmp_path / "r.vhd", disk) as replica:
        point = replica.replicate(disk)
    seen = list(iter(engine.events().try_next, None))
    opened, started, sealed = seen[0], seen[1], seen[-1]
    assert isinstance(opened, events.Opened) and opened.sealed_cycle is None and opened.generation == 1
    assert isinstance(started, events.CycleStarted) and (started.kind, started.disk) == ("initial", 2 * MIB)
    assert isinstance(sealed, events.Sealed) and (sealed.root, sealed.counts) == (point.root, point.counts)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert {event.replica for event in seen} == {replica.location}
    assert abs((datetime.now(timezone.utc) - sealed.time).total_seconds()) < 60
    progress = [event for event in seen if isinstance(event, events.Progress)]
    assert progress and progress[-1].counts.done <= progress[-1].disk


def test_events_are_read_from_any_number_on_by_any_number_of_readers(engine: lm.Engine, tmp_path: Path) -> None:
    with engine.open_replica(tmp_path / "r.vhd", Disk(bytes(4096))) as replica:
        replica.replicate(Disk(bytes(4096)))
    whole = list(iter(engine.events().try_next, None))
    assert list(iter(engine.events(after=whole[1].seq).try_next, None)) == whole[2:]


def test_a_reader_waits_and_ends_with_the_engine(tmp_path: Path) -> None:
    seen: list[str] = []
    with lm.Engine(state_dir=tmp_path / "state") as engine:
        reader = threading.Thread(target=lambda: seen.extend(event.type for event in engine.events()))
        reader.start()
        with engine.open_replica(tmp_path / "r.vhd", Disk(bytes(4096))) as replica:
            replica.replicate(Disk(bytes(4096)))
    reader.join(10)
    assert not reader.is_alive() and seen[-1] == "sealed"


def test_a_wait_with_a_limit_ends_without_an_event(engine: lm.Engine) -> None:
    asked = time.monotonic()
    assert engine.events().next(timeout=0.2) is None
    assert 0.2 <= time.monotonic() - asked < 5
    with pytest.raises(lm.ArgumentError):
        engine.events().next(timeout=-1)


def test_a_wait_with_a_limit_ends_with_the_event_or_the_engine(tmp_path: Path) -> None:
    engine = lm.Engine(state_dir=tmp_path / "state")
    events = engine.events()
    opening = threading.Timer(0.1, lambda: engine.open_replica(tmp_path / "r.vhd", lm.Source.pushed(4096)))
    opening.start()
    event = events.next(timeout=30)
    assert event is not None and event.type == "opened"
    opening.join()
    closing = threading.Timer(0.1, engine.close)
    closing.start()
    asked = time.monotonic()
    with pytest.raises(lm.ClosedError):
        events.next(timeout=30)
    assert time.monotonic() - asked < 10
    closing.join()
    with pytest.raises(lm.ClosedError):
        events.next(timeout=30)


def test_a_type_that_this_version_does_not_know_is_a_plain_event() -> None:
    raw = {"seq": 1, "time": "2026-01-02T03:04:05Z", "replica": "r", "type": "teleported", "where": 7}
    event = events.of(raw)
    assert type(event) is lm.Event and event.raw["where"] == 7
    assert event.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def test_every_type_has_its_class() -> None:
    raw = {"seq": 1, "time": "2026-01-02T03:04:05Z", "replica": "r", "counts": None}
    for name, (kind, fields) in events._TYPES.items():
        if "counts" not in fields:
            assert type(events.of({**raw, "type": name, **dict.fromkeys(fields)})) is kind


def test_an_event_does_not_change() -> None:
    event = events.of({"seq": 1, "time": "2026-01-02T03:04:05Z", "replica": "r", "type": "opened"})
    with pytest.raises(AttributeError):
        event.seq = 2  # type: ignore[misc]
