"""Events: what happens at the replicas of an engine, one class for each type.

```python
for event in engine.events():
    if isinstance(event, libmigrate.events.Progress):
        print(event.replica, event.counts.done, "of", event.disk)
```

A type that a later version adds comes as a plain `Event`; `type` names it and `raw` has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .values import Counts, time_of

__all__ = [
    "Blackout",
    "ChangeListIgnored",
    "CycleStarted",
    "Event",
    "MapRebuilt",
    "Opened",
    "Progress",
    "PublicRouteAllowed",
    "RecoveryPointDeleted",
    "RequestsInFlight",
    "Retrying",
    "Sealed",
    "Stopped",
    "TakenOverByForce",
    "Verified",
]


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    #: Grows by one with every event of the engine; a jump says that older ones are gone.
    seq: int
    #: Which replica: its target, without secrets.
    replica: str
    #: What, as it is called in JSON.
    type: str
    #: The JSON.
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def time(self) -> datetime:
        """When."""
        return time_of(self.raw["time"])


@dataclass(frozen=True)
class Opened(Event):
    """The replica is leased, recovered and fenced."""

    generation: int
    sealed_cycle: int | None


@dataclass(frozen=True)
class PublicRouteAllowed(Event):
    """Private Link is not required of this target."""


@dataclass(frozen=True)
class TakenOverByForce(Event):
    """The lease of another owner was broken, as ordered."""

    generation: int


@dataclass(frozen=True)
class MapRebuilt(Event):
    """The digest map had to be made anew."""

    reason: str
    read_back: int


@dataclass(frozen=True)
class CycleStarted(Event):
    """A cycle began."""

    cycle: int
    kind: str
    disk: int
    resumed: int


@dataclass(frozen=True)
class ChangeListIgnored(Event):
    """The change list was not used."""

    reason: str


@dataclass(frozen=True)
class Progress(Event):
    """How far a cycle is; a few a second."""

    cycle: int
    counts: Counts
    disk: int
    bytes_per_second: int
    seconds_left: int | None


@dataclass(frozen=True)
class Retrying(Event):
    """A request failed and is tried again."""

    error: str
    failures: int
    wait_ms: int


@dataclass(frozen=True)
class Blackout(Event):
    """The replica waits for the end of a blackout of the schedule."""

    until: str | None


@dataclass(frozen=True)
class RequestsInFlight(Event):
    """The limit of requests in flight fell, or rose again."""

    limit: int
    most: int


@dataclass(frozen=True)
class Sealed(Event):
    """The cycle is a recovery point."""

    cycle: int
    kind: str
    counts: Counts
    root: str
    seconds: int


@dataclass(frozen=True)
class Stopped(Event):
    """The cycle ended without being sealed; it can go on."""

    cycle: int
    code: str
    error: str


@dataclass(frozen=True)
class Verified(Event):
    """Verification is under way or done."""

    cycle: int
    blocks: int
    mismatches: int


@dataclass(frozen=True)
class RecoveryPointDeleted(Event):
    """A recovery point was deleted."""

    cycle: int


def _fields_of(event: type[Event]) -> tuple[str, ...]:
    return tuple(name for name in event.__dataclass_fields__ if name not in Event.__dataclass_fields__)


_TYPES: dict[str, tuple[type[Event], tuple[str, ...]]] = {
    name: (event, _fields_of(event))
    for name, event in {
        "opened": Opened,
        "public_route_allowed": PublicRouteAllowed,
        "taken_over_by_force": TakenOverByForce,
        "map_rebuilt": MapRebuilt,
        "cycle_started": CycleStarted,
        "change_list_ignored": ChangeListIgnored,
        "progress": Progress,
        "retrying": Retrying,
        "blackout": Blackout,
        "requests_in_flight": RequestsInFlight,
        "sealed": Sealed,
        "stopped": Stopped,
        "verified": Verified,
        "recovery_point_deleted": RecoveryPointDeleted,
    }.items()
}


def of(raw: Mapping[str, Any]) -> Event:
    """The event of its JSON."""
    name = raw["type"]
    kind, fields = _TYPES.get(name, (Event, ()))
    values = {"seq": raw["seq"], "replica": raw["replica"], "type": name, "raw": raw}
    for field in fields:
        values[field] = raw.get(field)
    if "counts" in fields:
        values["counts"] = Counts.of(raw["counts"])
    # Events are many: the constructor of a frozen class would take most of the time.
    event = object.__new__(kind)
    event.__dict__.update(values)
    return event
