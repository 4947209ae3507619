"""The examples do what they say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import MIB, disk_of

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=None)


def write_list(folder: Path, count: int, size: int = 2 * MIB) -> Path:
    lines = ["server,disk,source,target"]
    for at in range(count):
        (folder / f"{at}.raw").write_bytes(disk_of(size, at))
        lines.append(f"web{at:02},os,{folder}/{at}.raw,{folder}/{at}.vhd")
    (folder / "wave.csv").write_text("\n".join(lines) + "\n")
    return folder / "wave.csv"


def report(folder: Path) -> list[dict[str, object]]:
    disks: list[dict[str, object]] = json.loads((folder / "report.json").read_text())["disks"]
    return disks


def test_the_quickstart_tells_what_it_did(tmp_path: Path) -> None:
    ended = run("quickstart.py", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["cycle 1: initial, 8 MiB sent", "cycle 2: delta, 64 KiB sent", "equal"]


def test_a_wave_replicates_every_disk_and_reports(tmp_path: Path) -> None:
    wave = write_list(tmp_path, 12)
    options = ["--state", tmp_path / "state", "--report", tmp_path / "report.json", "--verify"]
    ended = run("wave.py", wave, *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "12 of 12 disks, 24 MiB sent" in ended.stdout
    # The legend has one, each disk's map has many.
    assert ended.stdout.count("█") > 12 * 8
    assert [(disk["state"], disk["verified"]) for disk in report(tmp_path)] == [("done", True)] * 12
    assert all((tmp_path / f"{at}.vhd").read_bytes()[: 2 * MIB] == disk_of(2 * MIB, at) for at in range(12))

    again = run("wave.py", wave, *options[:2], "--final", "--report", tmp_path / "report.html")
    assert again.returncode == 0 and "12 of 12 disks, 0 MiB sent" in again.stdout, again.stdout + again.stderr
    assert (tmp_path / "report.html").read_text().count("cycle 2,") == 12


def test_a_dry_run_lists_and_touches_no_target(tmp_path: Path) -> None:
    wave = write_list(tmp_path, 2)
    ended = run("wave.py", wave, "--state", tmp_path / "state", "--dry-run")
    assert ended.returncode == 0 and ended.stdout.count("2 MiB") == 2, ended.stdout + ended.stderr
    assert not list(tmp_path.glob("*.vhd"))


def test_a_disk_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    wave = write_list(tmp_path, 3)
    (tmp_path / "1.raw").unlink()
    ended = run("wave.py", wave, "--state", tmp_path / "state", "--report", tmp_path / "report.json")
    assert ended.returncode == 1 and "source.open" in ended.stdout
    assert [disk["state"] for disk in report(tmp_path)] == ["done", "failed", "done"]


def test_an_interrupted_wave_goes_on(tmp_path: Path) -> None:
    wave = write_list(tmp_path, 2, 4 * MIB)
    options = [wave, "--state", tmp_path / "state", "--report", tmp_path / "report.json"]
    command = [sys.executable, EXAMPLES / "wave.py", *options, "--mbps", "8"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not all((tmp_path / f"{at}.vhd").exists() for at in range(2)):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in complaint
    ended = run("wave.py", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [disk["state"] for disk in report(tmp_path)] == ["done", "done"]


def test_a_list_that_cannot_be_used_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "wave.csv").write_text("server,disk,source\nweb01,os,a\n")
    ended = run("wave.py", tmp_path / "wave.csv", "--state", tmp_path / "state")
    assert ended.returncode == 2 and "target" in ended.stdout
    (tmp_path / "wave.csv").write_text("server,disk,source,target\nweb01,os,a,t\nweb02,os,b,t\n")
    ended = run("wave.py", tmp_path / "wave.csv", "--state", tmp_path / "state")
    assert ended.returncode == 2 and "two disks" in ended.stdout
