"""Threads that answer what the engine asks of Python: reads of a disk, and tokens."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from . import _native
from ._ending import start_thread


@runtime_checkable
class ReadableDisk(Protocol):
    """Any object that can read a disk; what it may have besides is in `Source.served`."""

    @property
    def size(self) -> int:
        """Size of the disk in bytes."""
        ...

    def readinto(self, offset: int, buffer: memoryview, /) -> int | None:
        """Fills the whole buffer with what is at `offset`."""


@runtime_checkable
class TokenCredential(Protocol):
    """Any object that gets tokens, such as those of `azure.identity` and `azure.identity.aio`."""

    def get_token(self, *scopes: str) -> Any:
        """A token (with `token` and `expires_on`), or something to await for one."""


class SasCredential(Protocol):
    """As `azure.core.credentials.AzureSasCredential`."""

    @property
    def signature(self) -> str:
        """The shared access signature."""
        ...


class NamedKeyCredential(Protocol):
    """As `azure.core.credentials.AzureNamedKeyCredential`."""

    @property
    def named_key(self) -> Any:
        """The account (`name`) and its `key`."""


class Seen:
    """What the user's code raised, for the error that comes of it."""

    def __init__(self, concerns: Callable[[str], bool]) -> None:
        self._concerns = concerns
        self._raised: BaseException | None = None

    def saw(self, raised: BaseException) -> None:
        """Keeps it until it is told."""
        self._raised = raised

    def testify(self, code: str) -> BaseException | None:
        """What an error of this code comes from, if it was seen; told once."""
        if not self._concerns(code):
            return None
        raised, self._raised = self._raised, None
        return raised


def serve_reads(reads: _native.Reads, disk: ReadableDisk, seen: Seen, threads: int) -> None:
    """Answers reads until the source is gone."""
    for _ in range(threads):
        start_thread("libmigrate-reads", _answer_reads, reads, disk, seen)


def _answer_reads(reads: _native.Reads, disk: ReadableDisk, seen: Seen) -> None:
    while True:
        try:
            read = reads.next()
        except _native.Failed:
            return
        problem = _fill(read, disk, seen)
        if problem is None:
            read.answer()
        else:
            read.fail(problem)
        del read


def _fill(read: _native.Read, disk: ReadableDisk, seen: Seen) -> str | None:
    """Lets the disk fill the buffer; what is wrong, if something is."""
    buffer = read.buffer()
    if buffer is None:
        return "there is no buffer"
    wanted = len(buffer)
    try:
        count = disk.readinto(read.offset, buffer)
    except BaseException as raised:
        seen.saw(raised)
        return f"readinto raised {type(raised).__name__}: {raised}"
    if count is None or (isinstance(count, int) and count == wanted):
        return None
    return f"readinto filled {count!r} of {wanted} bytes"


def serve_tokens(tokens: _native.Tokens, credential: TokenCredential, seen: Seen) -> None:
    """Answers requests for tokens until the target is gone."""
    start_thread("libmigrate-tokens", _answer_tokens, tokens, credential, seen, _running_loop())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _answer_tokens(
    tokens: _native.Tokens, credential: TokenCredential, seen: Seen, loop: asyncio.AbstractEventLoop | None
) -> None:
    own_loop: list[asyncio.AbstractEventLoop] = []
    while True:
        try:
            asked = tokens.next()
        except _native.Failed:
            break
        try:
            answer = credential.get_token(*asked.scopes)
            if inspect.isawaitable(answer):
                answer = _await(answer, loop, own_loop)
            token, expires_on = answer.token, int(answer.expires_on)
            if not isinstance(token, str):
                raise TypeError("the token is no str")
        except BaseException as raised:
            seen.saw(raised)
            # Its words are not repeated: who asks for tokens may name secrets.
            asked.fail(f"get_token raised {type(raised).__name__}")
        else:
            asked.answer(token, expires_on)
        del asked
    for own in own_loop:
        own.close()


def _await(
    answer: Awaitable[Any], loop: asyncio.AbstractEventLoop | None, own_loop: list[asyncio.AbstractEventLoop]
) -> Any:
    """What an asynchronous credential gets: on the loop in which its target was made while that runs, as its
    connections belong there; else on one of this thread."""

    async def coroutine() -> Any:
        return await answer

    if loop is None or not loop.is_running():
        if not own_loop:
            own_loop.append(asyncio.new_event_loop())
        return own_loop[0].run_until_complete(coroutine())
    future = asyncio.run_coroutine_threadsafe(coroutine(), loop)
    while True:
        try:
            return future.result(0.5)
        except concurrent.futures.TimeoutError:
            if future.done() or not loop.is_running():
                raise
