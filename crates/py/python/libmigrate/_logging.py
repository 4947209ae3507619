"""The library's log, in Python's `logging`."""

from __future__ import annotations

import json
import logging
import os
import threading

from . import _native
from ._ending import start_thread
from ._errors import checked, wrong_type, wrong_value
from .values import time_of

_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG, "trace": 5}

_lock = threading.Lock()
_open: _Bridge | None = None


class _Bridge:
    def __init__(self, level: str) -> None:
        self._stopped = threading.Event()
        self._logs: _native.Logs | None = checked(lambda: _native.Logs(level))
        self._thread = start_thread("libmigrate-log", self._hand_over)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _hand_over(self) -> None:
        logs = self._logs
        # Whoever drops the last reference closes the log.
        self._logs = None
        while logs is not None:
            try:
                line = logs.next(0.1)
            except _native.Failed:
                return
            if line is not None:
                _log(json.loads(line))
            elif self._stopped.is_set():
                return


def _log(line: dict[str, str]) -> None:
    level = _LEVELS[line["level"]]
    name = line["target"].replace("::", ".")
    name = name if name.partition(".")[0] == "libmigrate" else f"libmigrate.{name}"
    logger = logging.getLogger(name)
    if not logger.isEnabledFor(level):
        return
    message = line["message"]
    if line["dropped"]:
        message += f" ({line['dropped']} lines before this one were dropped)"
    record = logger.makeRecord(name, level, "(libmigrate)", 0, message, (), None)
    record.created = time_of(line["time"]).timestamp()
    record.msecs = record.created % 1 * 1000
    logger.handle(record)


def enable_logging(level: int | str = logging.INFO) -> None:
    """Hands what the library says of itself to the logger `libmigrate` and those below it, from this level on.

    `level` is one of `logging`'s, as a number or a name. A thread of this package hands the lines over; called
    again, it changes the level. It says nothing to stdout or stderr by itself, and no line holds a secret.
    """
    global _open
    wanted = _level(level)
    with _lock:
        if _open is not None:
            _open.stop()
            _open = None
        _open = _Bridge(wanted)


def disable_logging() -> None:
    """Hands over what there is, and no more. Safe to repeat."""
    global _open
    with _lock:
        if _open is not None:
            _open.stop()
            _open = None


_NAMES = {
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": _LEVELS["trace"],
}


def _level(level: object) -> str:
    """The least important level of the library that one of logging's lets through."""
    if isinstance(level, str):
        number = _NAMES.get(level.upper())
        if number is None:
            raise wrong_value("level", "there is none of that name")
    elif isinstance(level, int) and not isinstance(level, bool):
        number = level
    else:
        raise wrong_type("level", f"it is a {type(level).__name__}, not a level of logging")
    return next((name for name, least in _LEVELS.items() if number >= least), "trace")


def _after_fork() -> None:
    # The thread that hands over is not in this process, and locks may be held for ever by others that are not.
    global _open, _lock
    _lock = threading.Lock()
    if _open is not None:
        _kept.append(_open)
        _open = None


_kept: list[_Bridge] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
