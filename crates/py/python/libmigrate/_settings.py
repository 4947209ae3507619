"""Settings on their way in: what Python has for them, as JSON."""

from __future__ import annotations

import ipaddress
import json
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict, Union

from ._errors import wrong_type, wrong_value
from .values import Extent

StrPath = Union[str, "os.PathLike[str]"]
IpAddress = Union[str, ipaddress.IPv4Address, ipaddress.IPv6Address]
IpNetwork = Union[str, ipaddress.IPv4Network, ipaddress.IPv6Network]
#: A part of a disk, as an `Extent`, as `(offset, len)`, or as it is in JSON.
ExtentLike = Union[Extent, "tuple[int, int]", Mapping[str, int]]


class RetrySettings(TypedDict, total=False):
    """How requests are tried again."""

    first_wait_ms: int
    longest_wait_ms: int
    budget_seconds: int


class EngineSettings(TypedDict, total=False):
    """What an engine can be told; everything may be left out."""

    state_dir: StrPath | None
    memory_limit: int | None
    requests_in_flight: int | None
    requests_in_flight_in_all: int | None
    concurrency: Literal["adaptive", "fixed"]
    readers: int | None
    run_bytes: int | None
    block_size: int | None
    bytes_per_second: int | None
    schedule: Mapping[str, Any] | None
    bridge_gaps: bool
    retry: RetrySettings
    lease_seconds: int | None
    threads: int | None


class SourceSettings(TypedDict, total=False):
    """What a source that the library opens can be told."""

    path: StrPath
    nbd: str
    format: Literal["detect", "raw", "vhd", "vhdx", "vmdk", "ova", "qcow2"]
    allow: list[StrPath]
    member: str | None
    snapshot: str | None
    bitmap: str | None
    frozen_as: str | None
    may_change: bool
    ca_file: StrPath | None
    identity: str | None
    max_read_bytes: int | None


class PushedSettings(TypedDict, total=False):
    """What is told of a disk whose bytes are pushed."""

    identity: str | None
    point: str | None
    zero: Iterable[ExtentLike]


class PrivateLink(TypedDict, total=False):
    """Where bytes may go."""

    required: bool
    only: list[IpAddress]
    also_private: list[IpNetwork]
    name_servers: list[str]


class BlobSettings(TypedDict, total=False):
    """What a target in Azure can be told."""

    private_link: PrivateLink
    proxy: str | None
    ca_file: StrPath | None
    max_in_flight: int | None


class CycleSettings(TypedDict, total=False):
    """What one cycle can be told."""

    kind: Literal["delta", "final", "resync"]
    changes: Mapping[str, Any] | None
    change_id: str | None
    moving: bool


class Sample(TypedDict, total=False):
    """How much is compared."""

    damaged_share: float
    may_miss: float
    seed: int | None


class SubjectCycle(TypedDict):
    """The recovery point of a cycle."""

    cycle: int


Subject = Union[Literal["newest", "live"], SubjectCycle]


class VerifySettings(TypedDict, total=False):
    """What is verified, and how much of it."""

    subject: Subject
    sample: Sample | None


class NetworkSettings(TypedDict, total=False):
    """How the network is checked."""

    time_limit_seconds: int | None
    name_servers: list[str]
    also_private: list[IpNetwork]
    ca_file: StrPath | None


class Connection(TypedDict, total=False):
    """How the control plane is reached."""

    proxy: str | None
    ca_file: StrPath | None


class PreflightSettings(TypedDict, total=False):
    """What a migration's preflight looks at."""

    network: bool
    name_servers: list[str]


Goal = Literal["prepared", "replicating", "paused", "tested", "test_cleaned_up", "migrated", "completed", "removed"]


class Approvals(TypedDict, total=False):
    """What somebody has agreed to."""

    kinds: list[str]
    steps: list[str]


class ApplySettings(TypedDict, total=False):
    """How a plan is applied."""

    approvals: Approvals
    effect_seconds: int | None


class RollBack(TypedDict):
    """The machine goes; its disks and interfaces stay, to be looked at, or go as well."""

    roll_back: Literal["keep", "delete"]


class Complete(TypedDict):
    """There is no way back; the ids of what else is deleted."""

    complete: list[str]


CutoverStep = Union[Literal["steps", "run", "clean_up"], RollBack, Complete]


class LinuxGuest(TypedDict):
    """Whose Linux it is."""

    linux: Literal["red_hat", "suse", "other"]


class CutoverSettings(TypedDict):
    """The machine that one server becomes."""

    server: str
    purpose: Literal["production", "test"]
    guest: Union[Literal["windows"], LinuxGuest]
    firmware: Literal["BIOS", "UEFI"]
    replicas: list[dict[str, Any]]


_ADDRESSES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


def _as_json(value: object) -> object:
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, _ADDRESSES):
        return str(value)
    if isinstance(value, Extent):
        return {"offset": value.offset, "len": value.len}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"there is no JSON for a {type(value).__name__}")


def to_json(what: str, settings: Mapping[str, Any]) -> str:
    """The settings as the native half takes them. The message of an error quotes none of them."""
    if not isinstance(settings, Mapping):
        raise wrong_type(what, f"it is a {type(settings).__name__}, not a mapping")
    try:
        return json.dumps(dict(settings), default=_as_json, allow_nan=False)
    except TypeError as error:
        raise wrong_type(what, str(error)) from None
    except ValueError:
        raise wrong_value(what, "there is no JSON for it: not a number, infinite, or within itself") from None


def extents(what: str, given: Iterable[ExtentLike]) -> list[dict[str, int]]:
    """Extents in any of their forms, as they are in JSON."""
    return [_extent(what, extent) for extent in given]


def _extent(what: str, extent: ExtentLike) -> dict[str, int]:
    if isinstance(extent, Mapping):
        return dict(extent)
    try:
        offset, length = extent
    except (TypeError, ValueError):
        raise wrong_type(what, f"a {type(extent).__name__} is no extent") from None
    return {"offset": number(what, offset), "len": number(what, length)}


def number(what: str, value: object, bits: int = 64) -> int:
    """A number that the native half can hold."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise wrong_type(what, f"it is a {type(value).__name__}, not an int") from None
    if number < 0:
        raise wrong_value(what, "it is negative")
    if number >> bits:
        raise wrong_value(what, f"it has more than {bits} bits")
    return number


def seconds(what: str, value: object) -> float:
    """A time to wait."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(what, f"it is a {type(value).__name__}, not a number of seconds")
    if not value >= 0:
        raise wrong_value(what, "it is no number of seconds")
    return float(value)


def text(what: str, value: object) -> str:
    """A text."""
    if isinstance(value, str):
        return value
    raise wrong_type(what, f"it is a {type(value).__name__}, not a str")


def path(what: str, value: object) -> str:
    """A path as a text."""
    if isinstance(value, (str, os.PathLike)):
        return os.fsdecode(value)
    raise wrong_type(what, f"it is a {type(value).__name__}, not a str or os.PathLike")
