"""The three bodies a batch can have: an epoch's opening, groups of records, a gap.

All decode under limits: a body comes from another zone, and a megabyte of it must stay a megabyte.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar

from tabard.brokers.wire.batch import EPOCH_BYTES, MAX_SEQ
from tabard.brokers.wire.codec import shown, unpack
from tabard.brokers.wire.points import Point, decode_points
from tabard.brokers.wire.rotation import Rotation, rotation_of
from tabard.brokers.wire.streams import LOGS
from tabard.digests import DIGEST_BYTES
from tabard.errors import WireError
from tabard.records import MAX_BODY, MAX_RECORDS

_T = TypeVar("_T")
_GROUP_WIDTH: Final = 4
_MAX_OPEN: Final = 8192
"""Bytes of an opening."""
MAX_DEPTH_ITEMS: Final = 65_536
"""Elements of one array or map inside a sample or control record."""


class Open(NamedTuple):
    """The first record of an epoch: where it stands in the chain, and what its start found."""

    previous: bytes | None
    """The epoch before it, None for a journal that began with this one."""
    previous_last: int
    """The last sequence number kept of that epoch."""
    previous_digest: bytes
    """The digest of its last batch, zeros when it is not known."""
    reason: str
    """``start``, ``fork`` (rolled back), ``doubt`` (the files changed underneath), ``error`` (a failed write), ``rotation``."""
    clean: bool
    """Whether the epoch before it was closed in order."""
    power: bool
    """Whether power may have been cut: what was accepted and not yet synced cannot be known."""
    lost: int | None
    """Records lost at least at an unreadable end of the epoch before it, None when none are missed."""
    doubt: str
    """What cannot be decided, empty when nothing."""
    rotation: Rotation | None = None
    """The word of the key before, when another one opened the epoch before it."""


class GapInfo(NamedTuple):
    """What stands in place of dropped records; the range is the header's."""

    reason: str
    count: int  # type: ignore[assignment]  # the field, not tuple.count
    at_least: bool
    last_digest: bytes
    """The digest of the last batch dropped, zeros when it could not be read."""
    open: bytes
    """The body of the epoch's opening, when that was dropped and could be read, else empty."""
    points: tuple[Point, ...] = ()
    """Where batches ended that a sink may have stored, rising; none from a node of an earlier edition."""


def decode_open(body: bytes) -> Open:
    """Decode and check an opening; `agents.journal.author` writes it. Raises WireError."""
    value = unpack(body, limit=_MAX_OPEN, items=64)
    if not isinstance(value, dict):
        raise WireError("an opening that is no map", expected="a map", found=type(value).__name__)
    previous = value.get("previous")
    if previous is not None and not (isinstance(previous, bytes) and len(previous) == EPOCH_BYTES):
        raise WireError("an opening with a wrong epoch", expected="16 bytes or nil", found=shown(previous))
    lost = value.get("lost")
    if isinstance(lost, dict):
        lost = lost.get("at_least")
    return Open(
        previous,
        _typed(value, "previous_last", int),
        _typed(value, "previous_digest", bytes),
        _typed(value, "reason", str),
        _typed(value, "clean", bool),
        value.get("power") is True,
        None if lost is None else _counted(lost),
        value["doubt"] if isinstance(value.get("doubt"), str) else "",
        rotation_of(value.get("rotation")),
    )


def _typed(value: dict[Any, Any], name: str, kind: type[_T]) -> _T:
    found = value.get(name)
    if type(found) is not kind:
        raise WireError(f"a wrong {name}", expected=kind.__name__, found=shown(found))
    if kind is int:
        _counted(found)
    return found


def _counted(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SEQ:
        raise WireError("a wrong number", expected=f"0 to {MAX_SEQ}", found=shown(value))
    return value


def decode_gap(body: bytes) -> GapInfo:
    """Decode and check a gap; `agents.journal.gaps` writes it. Raises WireError."""
    value = unpack(body, limit=2 * _MAX_OPEN, items=64)
    if not isinstance(value, dict):
        raise WireError("a gap that is no map", expected="a map", found=type(value).__name__)
    digest = _typed(value, "last_digest", bytes)
    if len(digest) != DIGEST_BYTES:
        raise WireError("a gap with a wrong digest", expected=f"{DIGEST_BYTES} bytes", found=f"{len(digest)}")
    opening = value.get("open", b"")
    if not isinstance(opening, bytes):
        raise WireError("a gap with a wrong opening", expected="bytes", found=shown(opening))
    return GapInfo(
        _typed(value, "reason", str),
        _typed(value, "count", int),
        _typed(value, "at_least", bool),
        digest,
        opening,
        decode_points(value.get("points", b"")),
    )


def decode_groups(stream: int, body: bytes, count: int) -> tuple[Any, ...]:
    """The groups ``(source, mark, origin, records)`` of a DATA batch.

    Only the frame is checked here: that the records are lists and as many as the header says. Their
    fields are the store's to check, which normalises or quarantines.

    Raises:
        WireError: not groups, or another number of records.
    """
    items = MAX_RECORDS if stream == LOGS else MAX_DEPTH_ITEMS
    value = unpack(body, limit=MAX_BODY, items=items, maps=stream != LOGS)
    if not isinstance(value, tuple):
        raise WireError("a body that is no list of groups", expected="a list", found=type(value).__name__)
    found = 0
    for group in value:
        if not (isinstance(group, tuple) and len(group) == _GROUP_WIDTH and isinstance(group[3], tuple)):
            raise WireError(
                "a body with a wrong group",
                expected="[source, mark, origin, records]",
                found=shown(group),
            )
        found += len(group[3])
    if found != count:
        raise WireError("a body with another number of records", expected=str(count), found=str(found))
    return value
