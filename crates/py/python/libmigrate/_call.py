"""One call that waits: `wait()` blocks, `await` does not.

A blocking wait gives the interpreter up and looks every tenth of a second for signals, so Ctrl-C works. An `await` is
woken through a socket that its event loop watches; cancelling it cancels the job, and comes back when that has ended,
which is within a second. No thread of the library ever calls into a loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from . import _native
from ._errors import Witness, checked, translate

T = TypeVar("T")


class Call(Generic[T]):
    """What is asked of the native half, and how its answer reads in Python."""

    __slots__ = ("_read", "_start", "_witnesses")

    def __init__(
        self,
        start: Callable[[], _native.Job],
        read: Callable[[Any], T],
        witnesses: tuple[Witness, ...] = (),
    ) -> None:
        self._start = start
        self._read = read
        self._witnesses = witnesses

    def wait(self) -> T:
        """Starts it and blocks until it has ended."""
        return checked(lambda: self._read(self._start().wait()), self._witnesses)

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    async def _awaited(self) -> T:
        try:
            job = self._start()
            await ended(job)
            return self._read(job.take())
        except _native.Failed as failed:
            error = translate(failed, self._witnesses)
        try:
            raise error
        finally:
            del error


def nothing(_: Any) -> None:
    """How an answer without content reads."""


#: How long a cancelled `await` gives its job to end.
_LAST_WAIT = 1.0


async def ended(job: _native.Job) -> None:
    """Returns when the job has ended; cancels it when it is cancelled itself."""
    if job.is_done():
        return
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    if not _Watch.of(loop).add(job, future):
        future = asyncio.ensure_future(_look_often(job))
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        job.cancel()
        await asyncio.wait([future], timeout=_LAST_WAIT)
        raise


async def _look_often(job: _native.Job) -> None:
    """For loops that cannot watch a socket, such as the proactor of Windows."""
    pause = 0.001
    while not job.is_done():
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)


class _Watch:
    """What one event loop waits for. Its socket is open only while there is something."""

    _all: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = weakref.WeakKeyDictionary()
    _lock = threading.Lock()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._wakeups: _native.Wakeups | None = None
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._last = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Watch:
        with cls._lock:
            watch = cls._all.get(loop)
            if watch is None:
                watch = cls._all[loop] = cls(loop)
            return watch

    def add(self, job: _native.Job, future: asyncio.Future[None]) -> bool:
        """Whether the loop can watch: it then sets the future when the job has ended."""
        if self._wakeups is None and not self._open():
            return False
        assert self._wakeups is not None
        self._last += 1
        self._waiting[self._last] = future
        job.tell(self._wakeups, self._last)
        return True

    def _open(self) -> bool:
        loop = self._loop()
        if loop is None or not hasattr(_native, "Wakeups"):
            return False
        wakeups = _native.Wakeups()
        try:
            loop.add_reader(wakeups.fileno(), self._look)
        except NotImplementedError:
            return False
        self._wakeups = wakeups
        return True

    def _look(self) -> None:
        if self._wakeups is None:
            return
        for number in self._wakeups.take():
            future = self._waiting.pop(number, None)
            if future is not None and not future.done():
                future.set_result(None)
        if not self._waiting:
            loop = self._loop()
            if loop is not None:
                loop.remove_reader(self._wakeups.fileno())
            self._wakeups = None
