"""A wave: replicates the disks of many servers at once, shows how far they are, and reports.

    python wave.py wave-07.csv --state state --report wave-07.html [--mbps 400] [--dry-run] [--final]

The CSV has a line for each disk: `server,disk,source,target`. A source is an image file, a device, or an NBD URI; a
target is a path, or the URL of a page blob. For Azure the credential is `DefaultAzureCredential` where azure-identity
is installed, unless the URL carries a SAS.

Safe to run again, at any time and after anything: an interrupted disk goes on, a finished one is followed by a delta.
It ends with 0 when every disk has a recovery point, with 1 when one has not, and with 2 when the list is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import html
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libmigrate as lm
from libmigrate import aio, events
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

MIB = 1 << 20


@dataclass
class Disk:
    """One line of the list, and what has become of it."""

    server: str
    name: str
    source: str
    target: str
    size: int | None = None
    state: str = "waiting"
    counts: lm.Counts | None = None
    bytes_per_second: int = 0
    seconds_left: int | None = None
    resumed: int = 0
    point: lm.RecoveryPoint | None = None
    verified: bool | None = None
    error: lm.LibmigrateError | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """What the report says of it."""
        return {
            "server": self.server,
            "disk": self.name,
            "target": self.target.partition("?")[0],
            "state": self.state,
            "size": self.size,
            "verified": self.verified,
            "notes": self.notes,
            "recovery_point": None if self.point is None else dict(self.point.raw),
            "error": None if self.error is None else self.error.to_dict(),
        }


class WrongList(Exception):
    """The CSV cannot be used."""


def read_list(path: Path) -> list[Disk]:
    """The disks of the list; each target once."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = {"server", "disk", "source", "target"} - set(rows.fieldnames or ())
        if missing:
            raise WrongList(f"{path} has no column {', '.join(sorted(missing))}")
        disks = [Disk(row["server"], row["disk"], row["source"], row["target"]) for row in rows]
    targets = [disk.target for disk in disks]
    for disk in disks:
        if not all((disk.server, disk.name, disk.source, disk.target)):
            raise WrongList(f"{path}: a line of {disk.server or 'no server'} is not whole")
        if targets.count(disk.target) > 1:
            raise WrongList(f"{path}: two disks have the target {disk.target.partition('?')[0]}")
    if not disks:
        raise WrongList(f"{path} has no disks")
    return disks


def target_of(disk: Disk, credential: Any) -> lm.Target:
    """A file, or a page blob."""
    if "://" not in disk.target or "sig=" in disk.target:
        return lm.Target(disk.target)
    return lm.Target(disk.target, credential=credential)


async def open_source(engine: aio.Engine, disk: Disk) -> lm.Source:
    """The disk itself; what was noticed at opening it is noted."""
    is_nbd = disk.source.startswith(("nbd:", "nbds:", "nbd+unix:"))
    source = await (engine.open_source(nbd=disk.source) if is_nbd else engine.open_source(disk.source))
    disk.size, disk.notes = source.size_bytes, source.notes
    return source


async def replicate(
    engine: aio.Engine, disk: Disk, options: argparse.Namespace, credential: Any, by_location: dict[str, Disk]
) -> None:
    """One disk, from its opening to its recovery point. What goes wrong stays with this disk."""
    try:
        disk.state = "opening"
        source, target = await open_source(engine, disk), target_of(disk, credential)
        by_location[target.location] = disk
        async with await engine.open_replica(target, source) as replica:
            disk.state = "replicating"
            kind: Any = "final" if options.final else "delta"
            disk.point = await replica.replicate(source, kind=kind)
            if options.verify:
                disk.state = "verifying"
                report = await replica.verify(sample={"damaged_share": 0.01, "may_miss": 0.01})
                disk.verified = report.equal
            disk.state = "done"
    except lm.LibmigrateError as error:
        disk.error, disk.state = error, "failed"


async def follow(engine: aio.Engine, disks: list[Disk], by_location: dict[str, Disk], show: Live) -> None:
    """Keeps the disks up to date with the engine's events."""
    async for event in engine.events():
        disk = by_location.get(event.replica)
        if disk is None:
            continue
        if isinstance(event, events.CycleStarted):
            disk.resumed, disk.size = event.resumed, event.disk
        elif isinstance(event, events.Progress):
            disk.counts, disk.size = event.counts, event.disk
            disk.bytes_per_second, disk.seconds_left = event.bytes_per_second, event.seconds_left
        elif isinstance(event, events.Sealed):
            disk.counts = event.counts
        elif isinstance(event, (events.Retrying, events.Stopped)):
            disk.notes.append(event.error)
        show.update(view(disks))


#: What a cell of the block map stands for, and its colour.
CELLS = [("sent", "green"), ("cleared", "cyan"), ("skipped", "blue"), ("hole", "grey50"), ("unlisted", "grey30")]


def block_map(disk: Disk, width: int = 40) -> Text:
    """The disk as a row of cells, each a share of its blocks: sent, cleared, held already, hole, not listed, to do."""
    row = Text()
    counts, size = disk.counts, disk.size or 1
    if counts is not None:
        for name, colour in CELLS:
            row.append("█" * round(getattr(counts, name) * width / size), colour)
    row.truncate(width)
    row.append("░" * (width - len(row)), "grey23")
    return row


def view(disks: list[Disk]) -> RenderableType:
    """The wave as a table, and its sum."""
    table = Table("server", "disk", "state", "blocks", "done", "MiB/s", "left")
    for disk in disks:
        done = disk.counts.done / disk.size if disk.counts and disk.size else 0
        moving = disk.state == "replicating"
        table.add_row(
            disk.server,
            disk.name,
            Text(disk.state, {"failed": "bold red", "done": "green"}.get(disk.state, "")),
            block_map(disk),
            f"{done:.0%}",
            f"{disk.bytes_per_second / MIB:.1f}" if moving else "",
            f"{disk.seconds_left} s" if moving and disk.seconds_left is not None else "",
        )
    legend = Text.assemble(*((f"█ {name}  ", colour) for name, colour in CELLS), ("░ to do", "grey50"))
    sent = sum(disk.counts.sent for disk in disks if disk.counts)
    finished = sum(disk.state == "done" for disk in disks)
    return Group(table, legend, Text(f"{finished} of {len(disks)} disks, {sent / MIB:.0f} MiB sent"))


async def dry_run(engine: aio.Engine, disks: list[Disk], console: Console) -> None:
    """Opens every source and lists what would be done. No target is asked."""
    table = Table("server", "disk", "size", "source", "target", "remarks")
    for disk in disks:
        try:
            await open_source(engine, disk)
            remarks = "; ".join(disk.notes)
        except lm.LibmigrateError as error:
            disk.error, disk.state, remarks = error, "failed", str(error)
        size = "?" if disk.size is None else f"{disk.size / MIB:.0f} MiB"
        table.add_row(disk.server, disk.name, size, disk.source, disk.target.partition("?")[0], remarks)
    console.print(table)


def write_report(path: Path, disks: list[Disk]) -> None:
    """The report, as JSON or, by its name, as a page."""
    rows = [disk.to_dict() for disk in disks]
    if path.suffix not in (".html", ".htm"):
        path.write_text(json.dumps({"disks": rows}, indent=2), encoding="utf-8")
        return
    lines = []
    for disk in disks:
        sealed = f"cycle {disk.point.cycle}, {disk.point.sealed_at:%Y-%m-%d %H:%M:%S} UTC" if disk.point else ""
        root = disk.point.root if disk.point else ""
        verified = {None: "", True: "equal", False: "DIFFERS"}[disk.verified]
        cells = [disk.server, disk.name, disk.state, sealed, root, verified, str(disk.error or "")]
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(
        f"<th>{name}</th>" for name in ("server", "disk", "state", "recovery point", "root", "verified", "error")
    )
    page = f"<!doctype html><meta charset=utf-8><title>Wave</title><table><tr>{head}</tr>{''.join(lines)}</table>\n"
    path.write_text(page, encoding="utf-8")


def azure_credential(disks: list[Disk]) -> Any:
    """Whoever gets tokens, if a target needs some."""
    if not any("://" in disk.target and "sig=" not in disk.target for disk in disks):
        return None
    try:
        from azure.identity.aio import DefaultAzureCredential  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise WrongList("there are page blobs without a SAS in the list: pip install azure-identity aiohttp") from None
    return DefaultAzureCredential()


async def run(options: argparse.Namespace, console: Console) -> int:
    """The wave; what the program ends with."""
    disks = read_list(options.list)
    limit = None if options.mbps is None else options.mbps * 1_000_000 // 8
    async with aio.Engine(state_dir=options.state, bytes_per_second=limit) as engine:
        if options.dry_run:
            await dry_run(engine, disks, console)
        else:
            credential = azure_credential(disks)
            gate = asyncio.Semaphore(options.parallel)
            by_location: dict[str, Disk] = {}

            async def one(disk: Disk) -> None:
                async with gate:
                    await replicate(engine, disk, options, credential, by_location)

            with Live(view(disks), console=console, refresh_per_second=4) as show:
                following = asyncio.ensure_future(follow(engine, disks, by_location, show))
                try:
                    await asyncio.gather(*map(one, disks))
                finally:
                    await engine.close()
                    await following
                    show.update(view(disks))
                    if credential is not None:
                        await credential.close()
    for disk in disks:
        if disk.error is not None:
            console.print(f"{disk.server} {disk.name}: {disk.error}", style="red", markup=False, soft_wrap=True)
    if options.report is not None:
        write_report(options.report, disks)
    return int(any(disk.error is not None or disk.verified is False for disk in disks))


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Replicates the disks of many servers.")
    parser.add_argument("list", type=Path, help="CSV: server,disk,source,target")
    parser.add_argument("--state", type=Path, default=Path("state"), help="folder for checkpoints")
    parser.add_argument("--report", type=Path, help="where the report goes: .json or .html")
    parser.add_argument("--mbps", type=int, help="limit on what is sent, in megabits a second")
    parser.add_argument("--parallel", type=int, default=8, help="disks at once")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done")
    parser.add_argument("--final", action="store_true", help="the last cycle, of servers that are shut down")
    parser.add_argument("--verify", action="store_true", help="verify a sample of each replica")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        return asyncio.run(run(options, console))
    except WrongList as wrong:
        console.print(str(wrong), style="red", markup=False, soft_wrap=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
