"""Errors: one hierarchy, by area and by whose turn it is.

Every error of the library is a `LibmigrateError` with a stable `code`. It is also an instance of one class for its
area (`SourceError`, `TargetError`, ...) and of one for its kind (`RetryableError`, `FatalError`, `CallerError`), so
`except` can ask for either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from . import _native

T = TypeVar("T")


class LibmigrateError(Exception):
    """An error of this library. The message is `str(error)`; it never holds a secret."""

    #: Stable, `area.what`: every code has a section in the guide's catalogue of errors.
    code: str
    #: Whose turn it is: `retryable`, `fatal` or `caller`.
    kind: str
    #: Whether the same call may succeed later without any change.
    retryable: bool
    #: What failed, on what, and why.
    message: str
    #: What to do.
    remedy: str
    #: What it came from, nearest first.
    causes: tuple[str, ...]

    def __init__(self, failure: Mapping[str, Any]) -> None:
        self.code = failure["code"]
        self.kind = failure["kind"]
        self.retryable = failure["retryable"]
        self.message = failure["message"]
        self.remedy = failure["remedy"]
        self.causes = tuple(failure["causes"])
        super().__init__(self.message)

    def to_dict(self) -> dict[str, Any]:
        """The error as every language has it in JSON."""
        return {
            "code": self.code,
            "kind": self.kind,
            "retryable": self.retryable,
            "message": self.message,
            "remedy": self.remedy,
            "causes": list(self.causes),
        }

    def __str__(self) -> str:
        return f"{self.code}: {self.message} ({self.remedy})" if self.remedy else f"{self.code}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (of_failure, (self.to_dict(),))


class RetryableError(LibmigrateError):
    """Passing: the same call may succeed later."""


class FatalError(LibmigrateError):
    """Something outside must be put right first."""


class CallerError(LibmigrateError):
    """The call itself must change."""


class CallError(LibmigrateError):
    """Something is wrong between Python and the library, before the library was asked."""


class ArgumentError(CallError, ValueError):
    """An argument has the wrong form or range."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument has the wrong type."""


class ClosedError(CallError):
    """The object was closed, or used up."""


class ForkedError(CallError, RuntimeError):
    """The process was forked after the engine was opened."""


class SourceError(LibmigrateError):
    """The disk cannot be read, or is not what it should be."""


class ChangeListError(LibmigrateError):
    """A change list cannot be used."""


class TargetError(LibmigrateError):
    """The target refuses, or cannot be reached."""


class AuthenticationError(TargetError):
    """The target does not accept the credential."""


class FencedError(TargetError):
    """Another owner writes to this replica now."""


class LeaseHeldError(TargetError):
    """Another writer holds the replica."""


class PrivateLinkError(TargetError):
    """Bytes would have gone to an address that is not private."""


class CheckpointError(LibmigrateError):
    """The state folder cannot be used."""


class ScheduleError(LibmigrateError, ValueError):
    """A schedule cannot be used."""


class CycleError(LibmigrateError):
    """A cycle, or its replica, does not allow it."""


class Cancelled(CycleError):
    """It was cancelled. What has settled stays, and the next run goes on."""


class ControlError(LibmigrateError):
    """The control plane refuses, or cannot be reached."""


class InternalError(LibmigrateError):
    """A defect of the library."""


_BY_CODE: dict[str, type[LibmigrateError]] = {
    "call.argument": ArgumentError,
    "call.closed": ClosedError,
    "call.forked": ForkedError,
    "cycle.cancelled": Cancelled,
    "engine.internal": InternalError,
    "source.moving": CycleError,
    "target.unauthenticated": AuthenticationError,
    "target.forbidden": AuthenticationError,
    "target.fenced": FencedError,
    "target.lease_lost": FencedError,
    "target.lease_expired": FencedError,
    "target.lease_held": LeaseHeldError,
    "target.not_private": PrivateLinkError,
}

_BY_AREA: dict[str, type[LibmigrateError]] = {
    "call": CallError,
    "source": SourceError,
    "nbd": SourceError,
    "change_list": ChangeListError,
    "target": TargetError,
    "private_link": PrivateLinkError,
    "checkpoint": CheckpointError,
    "schedule": ScheduleError,
    "cycle": CycleError,
    "replica": CycleError,
    "engine": CycleError,
    "arm": ControlError,
    "plan": ControlError,
    "lifecycle": ControlError,
    "cutover": ControlError,
    "project": ControlError,
}

_BY_KIND: dict[str, type[LibmigrateError]] = {
    "retryable": RetryableError,
    "fatal": FatalError,
    "caller": CallerError,
}

_made: dict[tuple[type[LibmigrateError], str], type[LibmigrateError]] = {}


def _both(area: type[LibmigrateError], kind: str) -> type[LibmigrateError]:
    """The class that is of this area and of this kind, under the area's name."""
    made = _made.get((area, kind))
    if made is None:
        of_kind = _BY_KIND.get(kind)
        if of_kind is None:
            made = area
        elif area is LibmigrateError:
            made = of_kind
        else:
            fields = {"__module__": "libmigrate", "__doc__": area.__doc__, "__qualname__": area.__name__}
            made = type(area.__name__, (area, of_kind), fields)
        _made[area, kind] = made
    return made


def of_failure(failure: Mapping[str, Any]) -> LibmigrateError:
    """The exception for an error's JSON."""
    code: str = failure["code"]
    area = _BY_CODE.get(code) or _BY_AREA.get(code.partition(".")[0], LibmigrateError)
    if area is ArgumentError and failure.get("type"):
        area = ArgumentTypeError
    return _both(area, failure["kind"])(failure)


def _argument(argument: str, problem: str, **more: Any) -> LibmigrateError:
    return of_failure(
        {
            "code": "call.argument",
            "kind": "caller",
            "retryable": False,
            "message": f"{argument} cannot be used: {problem}",
            "remedy": "correct the argument",
            "causes": [],
            **more,
        }
    )


def wrong_value(argument: str, problem: str) -> LibmigrateError:
    """An argument of the right type with a wrong value."""
    return _argument(argument, problem)


def wrong_type(argument: str, problem: str) -> LibmigrateError:
    """An argument of the wrong type."""
    return _argument(argument, problem, type=True)


def closed(what: str) -> LibmigrateError:
    """Something was closed before."""
    return of_failure(
        {
            "code": "call.closed",
            "kind": "caller",
            "retryable": False,
            "message": f"the {what} is closed",
            "remedy": "open a new one",
            "causes": [],
        }
    )


class Witness(Protocol):
    """Whoever calls code of the user's and keeps what that raised."""

    def testify(self, code: str) -> BaseException | None:
        """The exception that an error of this code comes from, if it does; it is told once."""


def translate(failed: _native.Failed, witnesses: tuple[Witness, ...] = ()) -> LibmigrateError:
    """The error that came out of the native half, and where it came from. To be raised after the `except` clause, so
    that what Python says of it begins with what the user did."""
    error = of_failure(json.loads(failed.args[0]))
    for witness in witnesses:
        raised = witness.testify(error.code)
        if raised is not None:
            error.__cause__ = raised
    return error


def checked(work: Callable[[], T], witnesses: tuple[Witness, ...] = ()) -> T:
    """What `work` gives, or the error that comes out of the native half."""
    try:
        return work()
    except _native.Failed as failed:
        error = translate(failed, witnesses)
    try:
        raise error
    finally:
        # The error refers to this frame: what it keeps alive would stay until the next garbage collection.
        del error
