"""The library's log in Python's logging."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libmigrate as lm
import pytest
from conftest import MIB, Disk, disk_of, run_python


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    lm.disable_logging()


def replicate(tmp_path: Path) -> None:
    disk = Disk(disk_of(MIB))
    with lm.Engine(state_dir=tmp_path / "state") as engine:
        with engine.open_replica(tmp_path / "r.vhd", disk) as replica:
            replica.replicate(disk)


def test_lines_reach_the_logger_until_it_is_disabled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(5, "libmigrate")
    lm.enable_logging("TRACE")
    replicate(tmp_path)
    lm.disable_logging()
    lm.disable_logging()
    before = len(caplog.records)
    assert before > 0
    assert all(record.name.split(".")[0] == "libmigrate" for record in caplog.records)
    assert any("r.vhd" in record.getMessage() for record in caplog.records)
    (tmp_path / "again").mkdir()
    replicate(tmp_path / "again")
    assert len(caplog.records) == before


def test_the_level_is_changed_by_enabling_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(5, "libmigrate")
    lm.enable_logging("TRACE")
    lm.enable_logging(logging.ERROR)
    replicate(tmp_path)
    lm.disable_logging()
    assert [record for record in caplog.records if record.levelno < logging.ERROR] == []


@pytest.mark.parametrize(("level", "kind"), [("loud", ValueError), (None, TypeError), (True, TypeError)])
def test_another_level_is_refused(level: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        lm.enable_logging(level)
    assert isinstance(raised.value, lm.ArgumentError)


def test_a_program_may_end_with_the_log_open(tmp_path: Path) -> None:
    program = "import libmigrate, logging; logging.basicConfig(level=1); libmigrate.enable_logging(1); print('end')"
    ended = run_python(program)
    assert (ended.returncode, ended.stdout) == (0, "end\n"), ended.stderr
