"""Replicates a disk, changes it, replicates what changed, and verifies it: without a network.

    python quickstart.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import libmigrate


def main(folder: Path) -> None:
    disk = folder / "web01.raw"
    disk.write_bytes(b"\x01" * (8 << 20))

    with libmigrate.Engine(state_dir=folder / "state") as engine:
        # For Azure: libmigrate.Target("https://…/web01.vhd", credential=DefaultAzureCredential())
        source = engine.open_source(disk, format="raw")
        with engine.open_replica(folder / "web01.vhd", source) as replica:
            point = replica.replicate(source)
            print(f"cycle {point.cycle}: {point.kind}, {point.counts.sent >> 20} MiB sent")

            with disk.open("r+b") as file:
                file.seek(1 << 20)
                file.write(b"\x02" * 4096)

            source = engine.open_source(disk, format="raw")
            point = replica.replicate(source)
            print(f"cycle {point.cycle}: {point.kind}, {point.counts.sent >> 10} KiB sent")

            report = replica.verify(source)
            print("equal" if report else f"{report.mismatched} blocks differ")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
