"""Gap frames: what stands in a journal where records stood.

A gap is a batch of kind GAP whose header covers the dropped range; ``previous`` is that of the first
batch dropped. Its body is a map: ``reason``, ``count`` (records lost: the range without an epoch's
OPEN, which is no record), ``at_least``, and ``last_digest``, the digest of the last batch dropped, which
the next header names as its predecessor. A gap in place of an epoch's OPEN hands on the OPEN's body as
``open``, or what is known of that: without it nobody would know which epoch was before. ``points`` say where
batches ended that a sink may have stored before it hears of the gap (see `points`).

A gap names no key and is signed when it is sent, by the key that its node has then: equal gaps stay equal, and the key of
an old epoch need not be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tabard.brokers.wire.batch import (
    GAP,
    NO_DIGEST,
    OPEN,
    Batch,
    Header,
    body_digest,
    encode_header,
)
from tabard.brokers.wire.body import decode_gap
from tabard.brokers.wire.codec import pack, unpack
from tabard.brokers.wire.points import Point, encode_points
from tabard.digests import DIGEST_BYTES
from tabard.errors import WireError

DAMAGED = "damaged"
MISSING = "missing"
QUOTA = "quota"
FULL = "disk full"
AGE = "age"


class Dropped(NamedTuple):
    """A closed range of one epoch that is no longer there, and the digests at its edges."""

    epoch: bytes
    first: int
    last: int
    before: bytes
    """Digest of the batch before it, `NO_DIGEST` when unknown."""
    after: bytes
    """Digest of the last batch in it, `NO_DIGEST` when unknown."""


class GapMaker:
    """Makes the gap frames of one stream."""

    def __init__(self, stream: int) -> None:
        self._stream = stream

    def make(
        self, dropped: Dropped, reason: str, opening: bytes = b"", points: Sequence[Point] = ()
    ) -> Batch:
        """The gap that stands for `dropped`; equal arguments make equal digests.

        `opening` is the body of the epoch's OPEN, when that is among what was dropped and can be read. `points` rise.
        """
        width = dropped.last - dropped.first + 1
        facts: dict[str, object] = {
            "reason": reason,
            "count": width - (dropped.first == 1),
            "at_least": False,
            "last_digest": dropped.after,
        }
        if opening:
            facts["open"] = opening
        if points:
            facts["points"] = encode_points(points)
        body = pack(facts)
        header = Header(
            self._stream,
            GAP,
            dropped.epoch,
            b"",
            dropped.first,
            width,
            body_digest(body),
            dropped.before,
        )
        return Batch(header, encode_header(header), b"", body)


def chain_digest(batch: Batch) -> bytes:
    """What the header after `batch` names as its predecessor, `NO_DIGEST` when that is unknown."""
    return gap_digest(batch) if batch.header.kind == GAP else batch.digest


def gap_digest(batch: Batch) -> bytes:
    """Digest of the last batch that a gap frame stands for, `NO_DIGEST` when unknown."""
    digest = _facts(batch).get("last_digest")
    return digest if isinstance(digest, bytes) and len(digest) == DIGEST_BYTES else NO_DIGEST


def opening_of(batch: Batch) -> bytes:
    """The body of the OPEN that `batch` is, or that a gap hands on; empty when it is neither."""
    if batch.header.kind == OPEN:
        return batch.body
    opening = _facts(batch).get("open") if batch.header.kind == GAP else b""
    return opening if isinstance(opening, bytes) else b""


def rebuilt_opening(previous: bytes | None, last: int, digest: bytes, wall: int) -> bytes:
    """The body of an OPEN that is ruined, as far as the segment's head knows it.

    Which epoch was before, and that nobody knows any more what the OPEN said of its end.
    """
    return pack(
        {
            "previous": previous,
            "previous_last": last,
            "previous_digest": digest,
            "reason": "doubt",
            "clean": False,
            "time": wall,
            "doubt": "the opening was damaged: what it said of the end of the epoch before is not known",
        }
    )


def gap_reason(batch: Batch) -> str:
    """Why the records of a gap frame are gone."""
    return str(_facts(batch).get("reason", DAMAGED))


def gap_points(batch: Batch) -> tuple[Point, ...]:
    """The points of a gap frame; none when they cannot be read."""
    try:
        return decode_gap(batch.body).points
    except WireError:
        return ()


def joined_reasons(reasons: list[str]) -> str:
    """One reason for a gap that was merged of several."""
    return ", ".join(sorted({part for reason in reasons for part in reason.split(", ")}))


def _facts(batch: Batch) -> dict[str, object]:
    try:
        facts = unpack(batch.body)
    except WireError:
        return {}
    return facts if isinstance(facts, dict) else {}
