"""What the tests have in common: a folder with a disk, and an engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import libmigrate
import pytest

MIB = 1 << 20


def sample(length: int, seed: int = 0) -> bytes:
    """Bytes that are nowhere zero for long and differ from block to block."""
    return bytes((at + at // 251 + seed) % 251 for at in range(min(length, 251 * 251))) * (length // 63001 + 1)


def disk_of(length: int, seed: int = 0) -> bytes:
    return sample(length, seed)[:length]


class Disk:
    """A disk that Python reads."""

    def __init__(self, content: bytes, point: str | None = "1") -> None:
        self.content = content
        self.size = len(content)
        self.point = point
        self.reads: list[tuple[int, int]] = []

    def readinto(self, offset: int, buffer: memoryview) -> int:
        self.reads.append((offset, len(buffer)))
        buffer[:] = self.content[offset : offset + len(buffer)]
        return len(buffer)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[libmigrate.Engine]:
    with libmigrate.Engine(state_dir=tmp_path / "state") as engine:
        yield engine


@pytest.fixture
def slow_engine(tmp_path: Path) -> Iterator[libmigrate.Engine]:
    """One that sends a MiB a second, so that something can be under way."""
    with libmigrate.Engine(state_dir=tmp_path / "state", bytes_per_second=MIB) as engine:
        yield engine


def run_python(program: str, *arguments: str | Path, limit: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a program of its own, and waits for it."""
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
