"""Replicates servers' disks into Azure page blobs.

```python
import libmigrate

with libmigrate.Engine(state_dir="state") as engine:
    source = engine.open_source("web01.vhdx")
    with engine.open_replica("web01.vhd", source) as replica:
        point = replica.replicate(source)
```

`libmigrate.aio` has the same classes for `asyncio`.
"""

from __future__ import annotations

from . import _native, aio, events
from ._calls import control
from ._engine import Cycle, Engine, Events, Project, Replica
from ._errors import (
    ArgumentError,
    ArgumentTypeError,
    AuthenticationError,
    CallerError,
    CallError,
    Cancelled,
    ChangeListError,
    CheckpointError,
    ClosedError,
    ControlError,
    CycleError,
    FatalError,
    FencedError,
    ForkedError,
    InternalError,
    LeaseHeldError,
    LibmigrateError,
    PrivateLinkError,
    RetryableError,
    ScheduleError,
    SourceError,
    TargetError,
)
from ._logging import disable_logging, enable_logging
from ._places import Credential, Source, SourceLike, Target
from ._served import ReadableDisk, TokenCredential
from .events import Event
from .values import (
    Counts,
    Extent,
    Finding,
    Fix,
    Garbage,
    Mismatch,
    NetworkReport,
    Outcome,
    RecoveryPoint,
    TargetReport,
    VerifyReport,
)

__version__: str = _native.VERSION

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "AuthenticationError",
    "CallError",
    "CallerError",
    "Cancelled",
    "ChangeListError",
    "CheckpointError",
    "ClosedError",
    "ControlError",
    "Counts",
    "Credential",
    "Cycle",
    "CycleError",
    "Engine",
    "Event",
    "Events",
    "Extent",
    "FatalError",
    "FencedError",
    "Finding",
    "Fix",
    "ForkedError",
    "Garbage",
    "InternalError",
    "LeaseHeldError",
    "LibmigrateError",
    "Mismatch",
    "NetworkReport",
    "Outcome",
    "PrivateLinkError",
    "Project",
    "ReadableDisk",
    "RecoveryPoint",
    "Replica",
    "RetryableError",
    "ScheduleError",
    "Source",
    "SourceError",
    "SourceLike",
    "Target",
    "TargetError",
    "TargetReport",
    "TokenCredential",
    "VerifyReport",
    "__version__",
    "aio",
    "control",
    "disable_logging",
    "enable_logging",
    "events",
]


def _name_as_imported() -> None:
    """What users see in a traceback is where they import it from."""
    for name in __all__:
        value = globals()[name]
        if isinstance(value, type) and value.__module__.startswith("libmigrate._"):
            value.__module__ = __name__


_name_as_imported()
