"""Signals, forks and the end of the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import run_python

# What every program here begins with: a replication that takes twenty seconds and more is under way.
BEGIN = """
import asyncio, os, sys, threading, time, libmigrate as lm
from libmigrate import aio

class Disk:
    size, point = 20 << 20, "1"
    def readinto(self, offset, buffer):
        buffer[:] = os.urandom(len(buffer))

class Lingers:
    # The interpreter is past its end when this goes: threads that want it back have long to ask.
    def __del__(self, sleep=time.sleep):
        sleep(0.3)
lingers = Lingers()

folder = sys.argv[1]
settings = dict(state_dir=folder + "/state", bytes_per_second=1 << 20)
target = folder + "/r.vhd"

def wait_for_progress(engine):
    next(event for event in engine.events() if event.type == "progress")

def run(engine):
    with engine.open_replica(target, Disk()) as replica:
        replica.replicate(Disk())

async def run_async(engine):
    async with await engine.open_replica(target, Disk()) as replica:
        await replica.replicate(Disk())
"""

ENDS = {
    "main returns while a daemon thread replicates": """
engine = lm.Engine(settings)
threading.Thread(target=run, args=(engine,), daemon=True).start()
wait_for_progress(engine)
""",
    "sys.exit with everything still referred to": """
engine = lm.Engine(settings)
replica = engine.open_replica(target, Disk())
threading.Thread(target=replica.replicate, args=(Disk(),), daemon=True).start()
wait_for_progress(engine)
sys.exit(0)
""",
    "a daemon thread reads events and another waits for nothing": """
lm.enable_logging(1)
engine = lm.Engine(settings)
threading.Thread(target=lambda: list(engine.events()), daemon=True).start()
threading.Thread(target=run, args=(engine,), daemon=True).start()
wait_for_progress(engine)
del engine
""",
    "asyncio.run ends by SystemExit while a task replicates": """
async def main():
    engine = aio.Engine(settings)
    task = asyncio.ensure_future(run_async(engine))
    async for event in engine.events():
        if event.type == "progress":
            sys.exit(0)
asyncio.run(main())
""",
    "a loop in a daemon thread awaits": """
engine = aio.Engine(settings)
threading.Thread(target=lambda: asyncio.run(run_async(engine)), daemon=True).start()
events = engine.events()
while not any(event.type == "progress" for event in iter(events.try_next, None)):
    pass
""",
    "daemon threads call on after the end was told": """
engine = lm.Engine(settings)
def call():
    while True:
        try:
            engine.events().next(0)
            engine.open_source(folder)
            lm.Engine().close()
        except lm.LibmigrateError:
            pass
for _ in range(3):
    threading.Thread(target=call, daemon=True).start()
threading.Thread(target=run, args=(engine,), daemon=True).start()
wait_for_progress(engine)
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_an_interpreter_ends_cleanly_in_the_middle_of_a_run(end: str, tmp_path: Path) -> None:
    folders = [tmp_path / str(at) for at in range(20)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(4) as several:
        for ended in several.map(lambda folder: run_python(BEGIN + end, folder), folders):
            assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
            assert "Fatal" not in ended.stderr and "panicked" not in ended.stderr, ended.stderr


HANG = """
class Hangs(Disk):
    def readinto(self, offset, buffer):
        reading.set()
        threading.Event().wait()
reading = threading.Event()
engine = lm.Engine(settings)
replica = engine.open_replica(target, Hangs())
threading.Thread(target=replica.replicate, args=(Hangs(),), daemon=True).start()
reading.wait()
"""


def test_a_source_that_hangs_does_not_keep_the_program_from_ending(tmp_path: Path) -> None:
    ended = run_python(BEGIN + HANG, tmp_path, limit=30)
    assert ended.returncode == 0, ended.stderr


CTRL_C = {
    "blocking": "engine = lm.Engine(settings)\nREADY\nrun(engine)",
    "in an event loop": "engine = aio.Engine(settings)\nREADY\nasyncio.run(run_async(engine))",
    "waiting for events": "engine = lm.Engine(settings)\nREADY\nlist(engine.events())",
}
READY = """
def tell():
    events = lm.Engine.events(engine) if isinstance(engine, lm.Engine) else engine.events()
    while not any(event.type == "progress" for event in iter(events.try_next, None)) and "list" not in sys.argv[2]:
        pass
    print("ready", flush=True)
threading.Thread(target=tell, daemon=True).start()
"""


@pytest.mark.parametrize("program", CTRL_C.values(), ids=list(CTRL_C))
def test_ctrl_c_is_a_keyboard_interrupt_within_a_second(program: str, tmp_path: Path) -> None:
    source = BEGIN + program.replace("READY", READY)
    command = [sys.executable, "-c", source, str(tmp_path), program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)  # so that the main thread is back in its wait
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=30)
    seconds = time.monotonic() - asked
    assert complaint.strip().endswith("KeyboardInterrupt"), complaint
    # The interrupt itself comes within a second; the rest is closing, and the interpreter's own end.
    assert seconds < 4


def test_ctrl_c_ends_the_wait_for_a_source_that_hangs_while_its_engine_is_closed(tmp_path: Path) -> None:
    close = """
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
asked = time.monotonic()
try:
    engine.close(timeout=60)
except KeyboardInterrupt:
    print(time.monotonic() - asked < 20)
"""
    ended = run_python("import signal, time\n" + BEGIN + HANG + close, tmp_path, limit=30)
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr


def test_ctrl_c_reaches_the_program_and_the_next_run_goes_on(tmp_path: Path) -> None:
    program = """
import signal, time
disk = Disk()
disk.readinto = lambda offset, buffer: buffer.__setitem__(slice(None), bytes([7]) * len(buffer))
with lm.Engine(settings) as engine, engine.open_replica(target, disk) as replica:
    def interrupt():
        wait_for_progress(engine)
        asked.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    asked = []
    threading.Thread(target=interrupt).start()
    try:
        replica.replicate(disk)
    except KeyboardInterrupt:
        print(time.monotonic() - asked[0] < 1)
    engine.set_bytes_per_second(None)
    print(replica.replicate(disk).cycle)
"""
    ended = run_python(BEGIN + program, tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "True\n1\n"), ended.stderr


FORK = """
import warnings
warnings.simplefilter("ignore")
engine = lm.Engine(settings)
source = lm.Source.pushed(4096, point="1")
replica = engine.open_replica(target, source)
cycle = replica.begin(source)
events = engine.events()
lm.enable_logging()
job = replica._calls.native.replicate(source._handle, "{}")
pid = os.fork()
if pid == 0:
    refused = 0
    for use in (engine.events, events.try_next, lambda: engine.open_source("a"), replica.history, cycle.next,
                engine.close, lambda: replica.replicate(source), lambda: asyncio.run(bad())):
        async def bad():
            await aio.Replica(replica._calls).history()
        try:
            use()
        except lm.ForkedError as error:
            assert error.code == "call.forked" and isinstance(error, RuntimeError)
            refused += 1
    try:
        job.wait()
    except lm._native.Failed as failed:
        refused += "call.forked" in failed.args[0]
    with lm.Engine(state_dir=folder + "/child") as own:
        class Small(Disk):
            size = 4096
        with own.open_replica(folder + "/child.vhd", Small()) as r:
            refused += r.replicate(Small()).cycle
    sys.exit(refused)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
cycle.stop()
replica.close()
engine.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_is_refused_what_was_opened_before_and_may_open_its_own(tmp_path: Path) -> None:
    ended = run_python(BEGIN + FORK, tmp_path, limit=60)
    assert (ended.returncode, ended.stdout) == (0, "10\n"), ended.stderr
