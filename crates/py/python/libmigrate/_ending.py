"""The end of the interpreter, and forks of it.

At the end the order is: close every engine, so that what is under way ends; let nothing wait any more; see the threads
that serve requests off. After that no thread of ours wants the interpreter back.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import _native

if TYPE_CHECKING:
    from ._calls import EngineCalls

#: How long each step may take. A source whose `readinto` hangs for longer is left behind.
PATIENCE = 2.0

engines: weakref.WeakSet[EngineCalls] = weakref.WeakSet()
_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def start_thread(name: str, work: Callable[..., None], *args: Any) -> threading.Thread:
    """A thread that does not keep the program from ending, and that the end waits for."""
    thread = threading.Thread(target=work, args=args, name=name, daemon=True)
    _threads.add(thread)
    thread.start()
    return thread


@atexit.register
def _at_the_end() -> None:
    for engine in list(engines):
        # Whatever it says, Ctrl-C too: the rest must happen.
        with suppress(_native.Failed, KeyboardInterrupt, OSError):
            engine.native.close(PATIENCE)
    _native.end(PATIENCE)
    until = time.monotonic() + PATIENCE
    for thread in list(_threads):
        with suppress(RuntimeError):
            thread.join(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    engines.clear()
    _threads.clear()
    _native.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
