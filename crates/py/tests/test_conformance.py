"""The conformance suite of tests/conformance, played in Python."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libmigrate as lm
import pytest
from conftest import Disk

FOLDER = Path(os.environ.get("LIBMIGRATE_REPOSITORY", Path(__file__).parents[3])) / "tests/conformance"
CASES = sorted(FOLDER.glob("*.json"))
STEP = set(
    "do settings expect error offset len seed size cycle cut moving stop source finish what function input".split()
)
UNCOUNTED = {"progress", "retrying", "requests_in_flight", "verified"}


def fill(disk: bytearray, offset: int, length: int, seed: int) -> None:
    period = bytes(251) if seed == 0 else bytes((offset + 37 * seed + at) % 251 for at in range(251))
    disk[offset : offset + length] = (period * (length // 251 + 1))[:length]


class World:
    """One case under way."""

    def __init__(self, case: dict[str, Any], folder: Path) -> None:
        self.folder = folder
        self.settings = case.get("engine", {})
        disk = case.get("disk", {"size": 0, "fill": []})
        self.disk = bytearray(disk["size"])
        for part in disk["fill"]:
            fill(self.disk, part["offset"], part["len"], part["seed"])
        self.changes = 0
        self.seen: list[str] = []
        self.replica: lm.Replica | None = None
        self.open_engine()
        self.write_disk()

    def open_engine(self) -> None:
        self.engine = lm.Engine(self.settings, state_dir=self.folder / "state")
        self.events = self.engine.events()

    def take_events(self) -> None:
        types = (event.type for event in iter(self.events.try_next, None))
        self.seen.extend(kind for kind in types if kind not in UNCOUNTED)

    def write_disk(self) -> None:
        (self.folder / "disk.raw").write_bytes(self.disk)

    def point(self, step: dict[str, Any]) -> str | None:
        return None if step.get("moving") else f"w{self.changes}"

    def open(self, source: lm.SourceLike | None = None) -> tuple[lm.Replica, lm.Source]:
        of = source or self.engine.open_source(self.folder / "disk.raw", format="raw")
        of = of if isinstance(of, lm.Source) else lm.Source.served(of)
        if self.replica is None:
            self.replica = self.engine.open_replica(lm.Target(local=self.folder / "replica.vhd"), of)
        return self.replica, of

    def close_replica(self) -> None:
        if self.replica is not None:
            self.replica.close()
            self.replica = None

    def do_write(self, step: dict[str, Any]) -> None:
        fill(self.disk, step["offset"], step["len"], step["seed"])
        self.changes += 1
        self.write_disk()

    def do_resize(self, step: dict[str, Any]) -> None:
        self.disk = self.disk[: step["size"]].ljust(step["size"], b"\0")
        self.changes += 1
        self.write_disk()

    def do_replicate(self, step: dict[str, Any]) -> Any:
        replica, source = self.open()
        return replica.replicate(source, **step.get("settings", {})).raw

    def do_push(self, step: dict[str, Any]) -> Any:
        replica, source = self.open(lm.Source.pushed(len(self.disk), point=self.point(step)))
        cut = step.get("cut", 0)
        with replica.begin(source, **step.get("settings", {})) as cycle:
            for offset, length in cycle:
                if step.get("stop"):
                    cycle.stop()
                cycle.push(offset, memoryview(self.disk)[offset : offset + length - cut])
                cut = 0
            return cycle.seal().raw

    def do_serve(self, step: dict[str, Any]) -> Any:
        replica, source = self.open(Disk(bytes(self.disk), self.point(step)))
        return replica.replicate(source, **step.get("settings", {})).raw

    def do_verify(self, step: dict[str, Any]) -> Any:
        replica, source = self.open()
        return replica.verify(source if step.get("source") else None, **step.get("settings", {})).raw

    def do_recovery_points(self, _: dict[str, Any]) -> Any:
        return [point.raw for point in self.open()[0].recovery_points()]

    def do_history(self, _: dict[str, Any]) -> Any:
        return [point.raw for point in self.open()[0].history()]

    def do_prune(self, step: dict[str, Any]) -> Any:
        return self.open()[0].prune(**step["settings"])

    def do_roll_back(self, step: dict[str, Any]) -> Any:
        return self.open()[0].roll_back(step["cycle"]).raw

    def do_garbage(self, _: dict[str, Any]) -> Any:
        return [garbage.raw for garbage in self.open()[0].garbage()]

    def do_collect_garbage(self, _: dict[str, Any]) -> Any:
        return [garbage.raw for garbage in self.open()[0].collect_garbage()]

    def do_damage(self, step: dict[str, Any]) -> None:
        replica = bytearray((self.folder / "replica.vhd").read_bytes())
        fill(replica, step["offset"], step["len"], step["seed"])
        with open(self.folder / "replica.vhd", "r+b") as file:
            file.write(replica)

    def do_equal(self, _: dict[str, Any]) -> None:
        assert (self.folder / "replica.vhd").read_bytes()[: len(self.disk)] == bytes(self.disk)

    def do_reopen(self, _: dict[str, Any]) -> None:
        self.close_replica()

    def do_new_engine(self, _: dict[str, Any]) -> None:
        self.close_replica()
        self.take_events()
        self.engine.close()
        self.open_engine()

    def do_open_engine(self, step: dict[str, Any]) -> None:
        lm.Engine(**step["settings"]).close()

    def do_open_source(self, step: dict[str, Any]) -> None:
        self.engine.open_source(**step["settings"])

    def do_open_target(self, step: dict[str, Any]) -> None:
        lm.Target(**step["settings"])

    def do_close_engine(self, _: dict[str, Any]) -> None:
        self.engine.close()

    def do_preflight_network(self, step: dict[str, Any]) -> Any:
        return self.engine.preflight_network(**step["settings"]).raw

    def do_control(self, step: dict[str, Any]) -> Any:
        return lm.control(step["function"], **step.get("input", {}))


class ControlPlane(World):
    """One case of the control plane under way."""

    def __init__(self, case: dict[str, Any], folder: Path, service: dict[str, Any]) -> None:
        super().__init__(case, folder)
        self.service = service
        self.plans = 0

    def do_project(self, _: dict[str, Any]) -> None:
        self.project = self.engine.open_project(
            self.service["settings"], credential=AnyToken(), endpoint=self.service["endpoint"], poll_ms=1
        )

    def do_project_preflight(self, step: dict[str, Any]) -> Any:
        return [finding.raw for finding in self.project.preflight(**step["settings"])]

    def do_plan(self, step: dict[str, Any]) -> Any:
        self.plan = self.project.plan(**step["settings"])
        self.plans += 1
        return self.plan

    def do_ask(self, step: dict[str, Any]) -> Any:
        self.plan = self.project.ask(**step["settings"])
        self.plans += 1
        return self.plan

    def do_template(self, _: dict[str, Any]) -> Any:
        return self.project.template(self.plan)

    def do_hosts_lines(self, _: dict[str, Any]) -> Any:
        return self.project.hosts_lines()

    def do_apply(self, step: dict[str, Any]) -> Any:
        began = time.monotonic()
        while True:
            journal = self.folder / f"journal-{self.plans}"
            outcome = self.project.apply(self.plan, journal=journal, **step.get("settings", {}))
            if outcome or not step.get("finish") or time.monotonic() - began > 30:
                return outcome.raw
            time.sleep(0.01)

    def do_cutover(self, step: dict[str, Any]) -> Any:
        record = self.folder / f"record-{step['settings']['purpose']}"
        return self.project.cutover(step["what"], record=record, **step["settings"])

    def do_told(self, _: dict[str, Any]) -> Any:
        return sorted({told["event"] for told in iter(self.project.told, None)} - UNCOUNTED)


class AnyToken:
    """Gives a token to whoever asks."""

    def get_token(self, *_: str) -> Any:
        return namedtuple("AccessToken", ["token", "expires_on"])("token", time.time() + 3600)


@contextmanager
def service_of(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The fake of Azure Resource Manager, for as long as the case lasts."""
    program = os.environ.get("LIBMIGRATE_FAKE_ARM")
    assert program, "LIBMIGRATE_FAKE_ARM does not name the fake: tests/conformance/README.md"
    options = [f"--{name}={value}" for name, value in case["service"].items()]
    with subprocess.Popen([program, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as fake:
        assert fake.stdin and fake.stdout
        yield json.loads(fake.stdout.readline())
        fake.stdin.close()


def difference(expected: Any, found: Any) -> str | None:
    """Where what was found does not hold what is expected."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            words = difference(value, found.get(name))
            if words:
                return f"{name}: {words}"
        return None
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return next(filter(None, map(difference, expected, found)), None)
    return None if expected == found else f"expected {expected}, found {found}"


def test_there_are_cases() -> None:
    assert CASES and len(CASES) == sum(name.endswith(".json") for name in os.listdir(FOLDER))


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_case_holds(file: Path, tmp_path: Path) -> None:
    case = json.loads(file.read_bytes())
    assert set(case) <= {"name", "disk", "service", "engine", "steps", "events"}
    if "service" in case:
        with service_of(case) as service:
            play(case, ControlPlane(case, tmp_path, service))
    else:
        play(case, World(case, tmp_path))


def play(case: dict[str, Any], world: World) -> None:
    for at, step in enumerate(case["steps"]):
        assert set(step) <= STEP, f"this runner does not know a field of {step}"
        play = getattr(world, f"do_{step['do']}", None)
        assert play is not None, f"this runner does not know the step {step['do']}"
        try:
            found = play(step)
            problem = difference(step["expect"], found) if "expect" in step else None
            assert "error" not in step, f"step {at}, {step['do']} did not fail, but gave {found}"
        except lm.LibmigrateError as error:
            problem = difference(step["error"], error.to_dict()) if "error" in step else str(error.to_dict())
        assert problem is None, f"step {at}, {step['do']}: {problem}"
    world.take_events()
    world.engine.close()
    if "events" in case:
        assert world.seen == case["events"]
