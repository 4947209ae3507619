"""The hierarchy of exceptions."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import libmigrate as lm
import pytest
from libmigrate._errors import of_failure


def failure(code: str, kind: str) -> dict[str, object]:
    return dict(code=code, kind=kind, retryable=kind == "retryable", message="m", remedy="r", causes=["a", "b"])


def test_an_error_is_of_its_area_and_of_its_kind(engine: lm.Engine, tmp_path: Path) -> None:
    with pytest.raises(lm.SourceError) as raised:
        engine.open_source(tmp_path / "none.raw", format="raw")
    error = raised.value
    assert isinstance(error, lm.CallerError) and not isinstance(error, lm.FatalError)
    assert (error.code, error.kind, error.retryable) == ("source.open", "caller", False)
    assert "none.raw" in error.message and error.remedy and len(error.causes) == 1
    assert str(error) == f"source.open: {error.message} ({error.remedy})"
    assert (type(error).__module__, type(error).__qualname__) == ("libmigrate", "SourceError")


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("target.fenced", "fatal", (lm.FencedError, lm.TargetError, lm.FatalError)),
        ("target.transient", "retryable", (lm.TargetError, lm.RetryableError)),
        ("target.forbidden", "fatal", (lm.AuthenticationError,)),
        ("target.not_private", "fatal", (lm.PrivateLinkError,)),
        ("target.lease_held", "retryable", (lm.LeaseHeldError, lm.RetryableError)),
        ("cycle.cancelled", "caller", (lm.Cancelled, lm.CycleError)),
        ("call.forked", "caller", (lm.ForkedError, RuntimeError)),
        ("nbd.tls", "caller", (lm.SourceError,)),
        ("checkpoint.io", "fatal", (lm.CheckpointError,)),
        ("schedule.zone", "caller", (lm.ScheduleError, ValueError)),
        ("arm.busy", "retryable", (lm.ControlError,)),
        ("engine.internal", "fatal", (lm.InternalError,)),
        ("from_the.future", "retryable", (lm.RetryableError,)),
        ("from_the.future", "other", (lm.LibmigrateError,)),
    ],
)
def test_every_code_has_its_classes(code: str, kind: str, expected: tuple[type, ...]) -> None:
    error = of_failure(failure(code, kind))
    assert all(isinstance(error, one) for one in expected)


def test_the_classes_of_an_area_are_told_apart() -> None:
    error = of_failure(failure("target.fenced", "fatal"))
    assert not isinstance(error, (lm.SourceError, lm.LeaseHeldError, lm.RetryableError, lm.CallerError))


def test_errors_are_pickled_and_copied_whole() -> None:
    error = of_failure(failure("target.fenced", "fatal"))
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert (twin.to_dict(), str(twin)) == (error.to_dict(), str(error))


def test_results_are_pickled(engine: lm.Engine, tmp_path: Path) -> None:
    source = lm.Source.pushed(4096, point="1", zero=[(0, 4096)])
    with engine.open_replica(tmp_path / "r.vhd", source) as replica, replica.begin(source) as cycle:
        point = cycle.seal()
    assert pickle.loads(pickle.dumps(point)) == point


def test_a_traceback_begins_with_what_the_user_did(engine: lm.Engine, tmp_path: Path) -> None:
    with pytest.raises(lm.SourceError) as raised:
        engine.open_source("/nowhere/web01.raw", format="raw")
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    mistake = ZeroDivisionError()
    with pytest.raises(lm.SourceError) as raised:
        try:
            raise mistake
        except ZeroDivisionError:
            engine.open_source("/nowhere/web01.raw", format="raw")
    assert raised.value.__context__ is mistake and not raised.value.__suppress_context__
