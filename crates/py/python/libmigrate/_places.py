"""Where bytes come from and where they go: sources and targets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Union

from . import _native
from ._errors import checked, wrong_type, wrong_value
from ._served import (
    NamedKeyCredential,
    ReadableDisk,
    SasCredential,
    Seen,
    TokenCredential,
    serve_reads,
    serve_tokens,
)
from ._settings import ExtentLike, PrivateLink, StrPath, extents, number, path, text, to_json

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._settings import PushedSettings


class Source:
    """A disk to replicate: opened by `Engine.open_source`, pushed (`Source.pushed`), or read by an object of
    yours (`Source.served`, which every call that takes a source does for you)."""

    __slots__ = ("_handle", "_seen")

    _handle: _native.Source
    _seen: Seen | None

    def __init__(self) -> None:
        raise TypeError("a Source is made by Engine.open_source, Source.pushed or Source.served")

    @classmethod
    def _of(cls, native: _native.Source, seen: Seen | None = None) -> Source:
        source = object.__new__(cls)
        source._handle = native
        source._seen = seen
        return source

    @classmethod
    def pushed(cls, size_bytes: int, **settings: Unpack[PushedSettings]) -> Source:
        """A disk whose bytes are pushed into a cycle (`Replica.begin`).

        `identity` says which disk it is, `point` which moment of it: an interrupted cycle goes on only at the same
        one. `zero` are extents that are known to read as zero.
        """
        fields: dict[str, Any] = {"size_bytes": number("size_bytes", size_bytes), **settings}
        if "zero" in fields:
            fields["zero"] = extents("zero", fields["zero"])
        return checked(lambda: cls._of(_native.Source.pushed(to_json("source", fields))))

    @classmethod
    def served(cls, disk: ReadableDisk) -> Source:
        """A disk that an object of yours reads.

        It needs `size`, in bytes, and `readinto(offset, buffer)`, which fills a writable `memoryview` whole, and may
        have:

        - `identity` and `point`: which disk, and which moment of it; without a point it counts as changing;
        - `extents()`: what is known to read as zero, as `(offset, len)` or as `(offset, len, is_zero)`; asked once;
        - `max_in_flight`: how many reads it takes at once, each on a thread of its own (1).

        `readinto` is called on threads of this package, and must not keep the buffer or a part of it.
        """
        if not callable(getattr(disk, "readinto", None)):
            raise wrong_type("source", f"a {type(disk).__name__} has no readinto(offset, buffer)")
        if not hasattr(disk, "size"):
            raise wrong_type("source", f"a {type(disk).__name__} has no size")
        fields: dict[str, Any] = {"size_bytes": number("source.size", disk.size)}
        for name in ("identity", "point"):
            value = getattr(disk, name, None)
            if value is not None:
                fields[name] = text(f"source.{name}", value)
        known = getattr(disk, "extents", None)
        if known is not None:
            fields["zero"] = extents("source.extents", _zeros(known()))
        threads = number("source.max_in_flight", getattr(disk, "max_in_flight", 1), 8)
        # The engine may ask for more at once than are answered at once: the next question then waits at the door.
        fields["max_in_flight"] = max(4, threads)
        if threads == 0:
            raise wrong_value("source.max_in_flight", "it is 0")
        native, reads = checked(lambda: _native.Source.served(to_json("source", fields)))
        seen = Seen(lambda code: code.partition(".")[0] in ("source", "cycle"))
        serve_reads(reads, disk, seen, threads)
        return cls._of(native, seen)

    @property
    def size_bytes(self) -> int:
        """Size of the disk."""
        return self._handle.size_bytes()

    @property
    def identity(self) -> str | None:
        """Which disk it is, if it can tell."""
        return self._handle.identity()

    @property
    def point(self) -> str | None:
        """Which moment of the disk it is; none if it may change underneath."""
        return self._handle.point()

    @property
    def notes(self) -> list[str]:
        """What its reader worked around, a sentence each."""
        return self._handle.notes()

    def __repr__(self) -> str:
        return f"<libmigrate.Source of {self.size_bytes} bytes>"


#: A source, or an object that `Source.served` can make one of.
SourceLike = Union[Source, ReadableDisk]


def as_source(source: SourceLike) -> Source:
    """The source itself, or one that the object serves."""
    return source if isinstance(source, Source) else Source.served(source)


def _zeros(known: Iterable[Any]) -> list[ExtentLike]:
    zeros: list[ExtentLike] = []
    for extent in known:
        if isinstance(extent, tuple) and len(extent) == 3:
            offset, length, is_zero = extent
            if is_zero:
                zeros.append((offset, length))
        else:
            zeros.append(extent)
    return zeros


#: How a target in Azure is asked: `{"sas"}`, `{"connection_string"}` or `{"account", "key"}`; an object with
#: `get_token()`; or an `AzureSasCredential` or `AzureNamedKeyCredential` of `azure.core`.
Credential = Union[Mapping[str, str], TokenCredential, SasCredential, NamedKeyCredential]


class Target:
    """Where a replica goes: a file, or a page blob. Making one sends nothing.

    ```python
    Target("replicas/web01.vhd")
    Target("https://acct.blob.core.windows.net/replicas/web01.vhd", credential=DefaultAzureCredential())
    ```

    A text with `://` in it is a URL, everything else a path; `local=` and `url=` say it outright. No `repr` and no
    message shows a secret.
    """

    __slots__ = ("_handle", "_seen")

    def __init__(
        self,
        location: StrPath | None = None,
        /,
        *,
        local: StrPath | None = None,
        url: str | None = None,
        credential: Credential | None = None,
        private_link: PrivateLink | None = None,
        proxy: str | None = None,
        ca_file: StrPath | None = None,
        max_in_flight: int | None = None,
        **settings: Any,
    ) -> None:
        fields: dict[str, Any] = dict(settings)
        if location is not None:
            if isinstance(location, str) and "://" in location:
                fields["url"] = location
            else:
                fields["local"] = path("target", location)
        if local is not None:
            fields["local"] = path("target.local", local)
        if url is not None:
            fields["url"] = text("target.url", url)
        more = {"private_link": private_link, "proxy": proxy, "ca_file": ca_file, "max_in_flight": max_in_flight}
        fields.update({name: value for name, value in more.items() if value is not None})
        self._seen: Seen | None = None
        token = None
        known = None if credential is None else _known_credential(credential)
        if known is not None:
            fields["credential"] = known
        elif isinstance(credential, TokenCredential):
            self._seen = Seen(lambda code: code.partition(".")[0] in ("target", "private_link"))
            token, tokens = _native.Token.served()
            serve_tokens(tokens, credential, self._seen)
        elif credential is not None:
            raise wrong_type("target.credential", f"a {type(credential).__name__} has no get_token()")
        self._handle = checked(lambda: _native.Target(to_json("target", fields), token))

    @property
    def location(self) -> str:
        """Where it is, without secrets."""
        return self._handle.location()

    def __repr__(self) -> str:
        return f"<libmigrate.Target {self.location}>"


def _known_credential(credential: Any) -> Mapping[str, str] | None:
    """A credential that is data: ours, or of `azure.core`, as it is now."""
    if isinstance(credential, Mapping):
        return credential
    signature = getattr(credential, "signature", None)
    if isinstance(signature, str):
        return {"sas": signature}
    named = getattr(credential, "named_key", None)
    if named is not None:
        return {"account": named.name, "key": named.key}
    return None


def as_target(target: Target | StrPath) -> Target:
    """The target itself, or the one that a path or URL names."""
    if isinstance(target, Target):
        return target
    if isinstance(target, (str, os.PathLike)):
        return Target(target)
    raise wrong_type("target", f"it is a {type(target).__name__}, not a Target, a path or a URL")


__all__ = ["Credential", "Source", "SourceLike", "Target", "as_source", "as_target"]
