"""What Python's face costs: a disk of MIB MiB, pushed and served, to fresh local targets in FOLDER.

    python python.py FOLDER MIB
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import libmigrate

LEN = 1 << 20
TAIL = bytes((at * 2654435761 >> 13) & 0xFF for at in range(LEN))[8:]


class Disk:
    """Every MiB is the same but for its number in the first eight bytes."""

    point = "1"

    def __init__(self, mib: int) -> None:
        self.size = mib * LEN

    def readinto(self, offset: int, buffer: memoryview) -> None:
        at, end = offset, offset + len(buffer)
        while at < end:
            number, within = divmod(at, LEN)
            if within == 0 and end - at >= LEN:
                here = at - offset
                buffer[here : here + 8] = number.to_bytes(8, "little")
                buffer[here + 8 : here + LEN] = TAIL
                at += LEN
            else:
                whole = number.to_bytes(8, "little") + TAIL
                part = whole[within : within + end - at]
                buffer[at - offset : at - offset + len(part)] = part
                at += len(part)


def timed(folder: Path, way: str, mib: int) -> None:
    disk = Disk(mib)
    buffer = bytearray(8) + TAIL
    with libmigrate.Engine(state_dir=folder / f"state-{way}") as engine:
        start = time.perf_counter()
        if way == "push":
            source = libmigrate.Source.pushed(disk.size, point="1")
            with engine.open_replica(folder / f"{way}.vhd", source) as replica, replica.begin(source) as cycle:
                for offset, length in cycle:
                    if length == LEN and offset % LEN == 0:
                        buffer[:8] = (offset // LEN).to_bytes(8, "little")
                        cycle.push(offset, buffer)
                    else:
                        other = bytearray(length)
                        disk.readinto(offset, memoryview(other))
                        cycle.push(offset, other)
                cycle.seal()
        else:
            with engine.open_replica(folder / f"{way}.vhd", disk) as replica:
                replica.replicate(disk)
        print(json.dumps({"way": way, "mib": mib, "seconds": time.perf_counter() - start}), flush=True)
        if way == "serve":
            time_events(engine)


def time_events(engine: libmigrate.Engine) -> None:
    count, start = 0, time.perf_counter()
    # A run has few of them: they are read until there are enough to be timed.
    while count < 2000:
        count += sum(1 for _ in iter(engine.events().try_next, None))
    each = (time.perf_counter() - start) / count * 1e6
    print(json.dumps({"way": "event", "count": count, "microseconds_each": each}), flush=True)


if __name__ == "__main__":
    for way in ("push", "serve"):
        timed(Path(sys.argv[1]), way, int(sys.argv[2]))
