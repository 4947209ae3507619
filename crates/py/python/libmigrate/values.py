"""What the library reports, as frozen dataclasses.

Each is made of the JSON that every language gets; all of it, also what a later version adds, is in `raw`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

__all__ = [
    "Counts",
    "Extent",
    "Finding",
    "Fix",
    "Garbage",
    "Mismatch",
    "NetworkReport",
    "Outcome",
    "RecoveryPoint",
    "TargetReport",
    "VerifyReport",
]


def time_of(text: str) -> datetime:
    """A time of the JSON (RFC 3339 in UTC), to the microsecond."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = datetime.fromisoformat(seconds).replace(tzinfo=timezone.utc)
    return whole.replace(microsecond=int(fraction[:6].ljust(6, "0"))) if fraction else whole


@dataclass(frozen=True)
class Extent:
    """A part of a disk, in bytes. `offset, length = extent` works as well."""

    offset: int
    len: int

    def __iter__(self) -> Iterator[int]:
        return iter((self.offset, self.len))

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.len


@dataclass(frozen=True)
class Counts:
    """What a cycle did, in bytes of the disk but for `puts` and `clears`, which are requests."""

    read: int
    hole: int
    unlisted: int
    sent: int
    cleared: int
    skipped: int
    hole_cleared: int
    puts: int
    clears: int
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict[str, Any])

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Counts:
        """Of its JSON."""
        # They come with every event: the constructor of a frozen class would take most of the time.
        counts = object.__new__(cls)
        counts.__dict__.update({name: raw[name] for name in _COUNTS}, raw=raw)
        return counts

    @property
    def done(self) -> int:
        """Bytes of the disk that are accounted for."""
        return self.read + self.hole + self.unlisted


_COUNTS = tuple(name for name in Counts.__dataclass_fields__ if name != "raw")


@dataclass(frozen=True)
class RecoveryPoint:
    """A sealed cycle: a state of the disk that can be gone back to."""

    cycle: int
    kind: str
    generation: int
    sealed_at: datetime
    root: str
    change_id: str | None
    crash_consistent: bool
    disk_bytes: int
    source_bytes: int
    counts: Counts
    change_list_ignored: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict[str, Any])

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> RecoveryPoint:
        """Of its JSON."""
        return cls(
            cycle=raw["cycle"],
            kind=raw["kind"],
            generation=raw["generation"],
            sealed_at=time_of(raw["sealed_at"]),
            root=raw["root"],
            change_id=raw.get("change_id"),
            crash_consistent=raw["crash_consistent"],
            disk_bytes=raw["disk_bytes"],
            source_bytes=raw["source_bytes"],
            counts=Counts.of(raw["counts"]),
            change_list_ignored=raw.get("change_list_ignored"),
            raw=raw,
        )


@dataclass(frozen=True)
class Mismatch:
    """Where a replica differs."""

    offset: int
    len: int


@dataclass(frozen=True)
class VerifyReport:
    """What verification found. `bool(report)` is whether nothing differs."""

    equal: bool
    subject: Any
    cycle: int
    root: str
    block_bytes: int
    blocks: int
    compared: int
    sample_seed: int | None
    may_miss: float
    mismatched: int
    mismatches: tuple[Mismatch, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict[str, Any])

    def __bool__(self) -> bool:
        return self.equal

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> VerifyReport:
        """Of its JSON."""
        return cls(
            equal=raw["equal"],
            subject=raw["subject"],
            cycle=raw["cycle"],
            root=raw["root"],
            block_bytes=raw["block_bytes"],
            blocks=raw["blocks"],
            compared=raw["compared"],
            sample_seed=raw.get("sample_seed"),
            may_miss=raw["may_miss"],
            mismatched=raw["mismatched"],
            mismatches=tuple(Mismatch(at["offset"], at["len"]) for at in raw["mismatches"]),
            raw=raw,
        )


@dataclass(frozen=True)
class Garbage:
    """Something at the target that nothing needs any more: a `snapshot` or an `object`."""

    type: str
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Garbage:
        """Of its JSON."""
        return cls(raw["type"], raw)


@dataclass(frozen=True)
class Fix:
    """Text that puts something right where it is pasted."""

    kind: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """What a check says of one subject."""

    code: str
    severity: str
    subject: str
    message: str
    remedy: str
    evidence: tuple[Mapping[str, Any], ...]
    fixes: tuple[Fix, ...]
    rule: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict[str, Any])

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Finding:
        """Of its JSON."""
        return cls(
            code=raw["code"],
            severity=raw["severity"],
            subject=raw["subject"],
            message=raw["message"],
            remedy=raw["remedy"],
            evidence=tuple(raw["evidence"]),
            fixes=tuple(Fix(fix["kind"], tuple(fix["lines"])) for fix in raw["fixes"]),
            rule=raw["rule"],
            raw=raw,
        )


@dataclass(frozen=True)
class TargetReport:
    """What was found at one target."""

    host: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class NetworkReport:
    """What was found of the network. What is wrong is a finding in it, never an exception."""

    targets: tuple[TargetReport, ...]
    milliseconds: int
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict[str, Any])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of all targets."""
        return tuple(finding for target in self.targets for finding in target.findings)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> NetworkReport:
        """Of its JSON."""
        targets = (
            TargetReport(target["host"], tuple(map(Finding.of, target["findings"]))) for target in raw["targets"]
        )
        return cls(tuple(targets), raw["milliseconds"], raw)


@dataclass(frozen=True)
class Outcome:
    """What came of applying a plan: whether all is done, or what it waits for. `bool(outcome)` is whether it is done."""

    done: bool
    waits: tuple[Mapping[str, Any], ...]
    findings: tuple[Finding, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict[str, Any])

    def __bool__(self) -> bool:
        return self.done

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Outcome:
        """Of its JSON."""
        return cls(raw["done"], tuple(raw["waits"]), tuple(map(Finding.of, raw["findings"])), raw)
