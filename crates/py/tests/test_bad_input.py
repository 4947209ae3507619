"""What is wrong with a call is said at once, with our code, as the kind of exception that Python has for it."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import libmigrate as lm
import pytest
from conftest import MIB, Disk, disk_of


@pytest.mark.parametrize(
    "settings",
    [
        {"memory_limit": -1},
        {"memory_limit": 2**64},
        {"memory_limit": 2**300},
        {"memory_limit": 1.5},
        {"memory_limit": math.nan},
        {"memory_limt": 1},
        {"concurrency": "fast"},
        {"retry": {"budget": 1}},
        {"threads": 0},
        {"state_dir": "\udc80\ud800"},
    ],
)
def test_a_wrong_setting_is_a_value_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as raised:
        lm.Engine(**settings)
    assert isinstance(raised.value, lm.ArgumentError) and isinstance(raised.value, lm.CallerError)
    assert (raised.value.code, raised.value.kind, raised.value.retryable) == ("call.argument", "caller", False)
    with pytest.raises(lm.ArgumentError):
        lm.Engine(settings)


@pytest.mark.parametrize("settings", [{"state_dir": object()}, {"memory_limit": {1}}, {"retry": {"budget": b""}}])
def test_a_setting_of_no_type_that_there_is_json_for_is_a_type_error(settings: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as raised:
        lm.Engine(**settings)
    assert isinstance(raised.value, lm.ArgumentTypeError) and raised.value.code == "call.argument"


@pytest.mark.parametrize("settings", [7, "memory_limit", [("memory_limit", 1)]])
def test_settings_that_are_no_mapping_are_a_type_error(settings: Any) -> None:
    with pytest.raises(lm.ArgumentTypeError):
        lm.Engine(settings)


@pytest.mark.parametrize("size", [-1, 0, 2**64, 2**200])
def test_a_disk_of_an_impossible_size_is_a_value_error(size: int) -> None:
    for make in (lm.Source.pushed, lambda size: lm.Source.served(Odd(size))):
        with pytest.raises(lm.ArgumentError):
            make(size)


class Odd:
    """A disk whose attributes are as they are given."""

    def __init__(self, size: Any = 4096, **attributes: Any) -> None:
        self.size = size
        self.__dict__.update(attributes)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = bytes(len(buffer))


@pytest.mark.parametrize(
    "disk",
    [
        object(),
        Odd("big"),
        Odd(4096.0),
        Odd(identity=7),
        Odd(point=b"1"),
        Odd(extents=lambda: [7]),
        Odd(extents=lambda: [(0, "all")]),
        Odd(max_in_flight="many"),
        None,
        "disk.raw",
    ],
)
def test_an_object_that_is_no_disk_is_a_type_error(engine: lm.Engine, tmp_path: Path, disk: Any) -> None:
    with pytest.raises(lm.ArgumentTypeError):
        engine.open_replica(tmp_path / "r.vhd", disk)


@pytest.mark.parametrize(
    "disk",
    [Odd(max_in_flight=0), Odd(max_in_flight=-1), Odd(extents=lambda: [(0, -1)]), Odd(extents=lambda: [(4095, 2)])],
)
def test_a_disk_with_impossible_numbers_is_a_value_error(disk: Any) -> None:
    with pytest.raises(lm.ArgumentError):
        lm.Source.served(disk)


def test_what_extents_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        lm.Source.served(Odd(extents=lambda: 1 // 0))


@pytest.mark.parametrize("target", [7, None, b"r.vhd", object()])
def test_a_target_of_another_type_is_a_type_error(engine: lm.Engine, target: Any) -> None:
    with pytest.raises(lm.ArgumentTypeError):
        engine.open_replica(target, lm.Source.pushed(4096))


def test_a_target_needs_one_place() -> None:
    for both in [lambda: lm.Target(), lambda: lm.Target("a.vhd", url="https://a/b")]:
        with pytest.raises(lm.ArgumentError):
            both()


def test_numbers_out_of_range_are_value_errors(engine: lm.Engine, tmp_path: Path) -> None:
    source = lm.Source.pushed(MIB, point="1")
    with engine.open_replica(tmp_path / "r.vhd", source) as replica, replica.begin(source) as cycle:
        for offset in (-1, 2**64):
            with pytest.raises(lm.ArgumentError):
                cycle.push(offset, b"")
        with pytest.raises(lm.ArgumentTypeError):
            cycle.push(0.0, b"")  # type: ignore[arg-type]
        with pytest.raises(lm.ArgumentTypeError):
            cycle.push(0, "text")  # type: ignore[arg-type]
        for number in (-1, 2**32):
            with pytest.raises(lm.ArgumentError):
                replica.roll_back(number)
        for number in (-1, 2**64):
            with pytest.raises(lm.ArgumentError):
                engine.set_bytes_per_second(number)
            with pytest.raises(lm.ArgumentError):
                engine.events(number)
    for timeout in (-1, math.nan):
        with pytest.raises(lm.ArgumentError):
            engine.close(timeout)
    with pytest.raises(lm.ArgumentTypeError):
        engine.close("soon")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_piece_of_another_length_than_asked_for_is_refused(engine: lm.Engine, tmp_path: Path, wrong: int) -> None:
    source = lm.Source.pushed(2 * MIB, point="1")
    with engine.open_replica(tmp_path / "r.vhd", source) as replica, replica.begin(source) as cycle:
        offset, length = next(iter(cycle))
        with pytest.raises(lm.CycleError) as raised:
            cycle.push(offset, bytes(length + wrong))
    assert raised.value.code == "cycle.not_wanted"


def test_everything_says_so_after_it_was_closed(tmp_path: Path) -> None:
    disk = Disk(disk_of(MIB))
    engine = lm.Engine(state_dir=tmp_path / "s")
    with engine.open_replica(tmp_path / "r.vhd", disk) as replica:
        with replica.begin(disk) as cycle:
            cycle.copy_from(disk)
            cycle.seal()
        for use in (cycle.next, cycle.seal, lambda: cycle.push(0, b""), lambda: cycle.try_push(0, b"")):
            with pytest.raises(lm.ClosedError):
                use()
    replica.close()
    with pytest.raises(lm.ClosedError):
        replica.history()
    events = engine.events()
    engine.close()
    engine.close()
    assert engine.closed and repr(engine) == "<libmigrate.Engine, closed>"
    for call in (replica.close, replica.history, engine.events, lambda: engine.open_source("a")):
        with pytest.raises(lm.ClosedError) as raised:
            call()
        assert raised.value.code == "call.closed"
    assert [event.type for event in events][-1] == "sealed"


def test_closing_the_engine_ends_what_is_under_way(slow_engine: lm.Engine, tmp_path: Path) -> None:
    disk, raised = Disk(disk_of(20 * MIB)), []

    def replicate() -> None:
        try:
            replica.replicate(disk)
        except lm.LibmigrateError as error:
            raised.append(error)

    replica = slow_engine.open_replica(tmp_path / "r.vhd", disk)
    thread = threading.Thread(target=replicate)
    thread.start()
    next(event for event in slow_engine.events() if event.type == "progress")
    slow_engine.close()
    thread.join(10)
    assert isinstance(raised[0], (lm.Cancelled, lm.ClosedError))


def test_a_source_is_not_made_by_its_class() -> None:
    with pytest.raises(TypeError, match="open_source"):
        lm.Source()


def test_a_function_that_the_control_plane_does_not_have_is_refused() -> None:
    with pytest.raises(lm.ArgumentError):
        lm.control("no_such")
    with pytest.raises(lm.ArgumentTypeError):
        lm.control(7)  # type: ignore[arg-type]
