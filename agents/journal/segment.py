"""A segment: one file of one epoch's consecutive frames, and the head that says where it belongs.

Heads form a chain: each says where its frames begin and what came before, so the end of a segment is
known from the head of the next, and a journal of ten thousand segments opens by reading heads only.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tabard.agents.journal.frames import (
    HEAD,
    MAGIC,
    MARKS,
    PREFIX_BYTES,
    Found,
    encode_frame,
    read_frame,
    read_prefix,
)
from tabard.agents.journal.limits import BLOCK
from tabard.brokers.wire.batch import EPOCH_BYTES, NO_DIGEST, Batch
from tabard.brokers.wire.codec import pack, unpack
from tabard.digests import DIGEST_BYTES
from tabard.errors import WireError

PREAMBLE: Final = b"TABARDJ1"
"""The first bytes of every segment; the digit is the version of the format."""
FIRST_FRAME: Final = len(PREAMBLE)
"""Offset of the HEAD frame."""
HEAD_WINDOW: Final = 2_048
"""Bytes within which a segment's head ends."""
SUFFIX: Final = ".seg"


class Prior(NamedTuple):
    """The epoch that was written before this one, and where it ended."""

    epoch: bytes
    last: int
    digest: bytes


class Tip(NamedTuple):
    """Where a segment ends."""

    last: int
    digest: bytes
    """Digest after `last`."""


class Head(NamedTuple):
    """What a segment says of itself."""

    stream: int
    epoch: bytes
    base: int
    """The first sequence number it is to hold."""
    previous: bytes
    """Digest of the batch before `base`."""
    prior: Prior | None
    """Only in the first segment of an epoch."""
    boot: str
    monotonic: float
    """Seconds, comparable within `boot`."""
    wall: int
    """Nanoseconds, for people."""
    kept: int
    """Journal time at its beginning, milliseconds."""
    before: int = 0
    """Journal time of the newest frame before it, milliseconds."""
    unsynced: int = 0
    """Number of the oldest segment that was not known to be durable at its beginning."""
    end: int = 0
    """The last sequence number, 0 while the segment after it says so."""
    digest: bytes = NO_DIGEST
    """Digest after `end`."""
    gap: bool = False
    """It holds nothing but gap frames."""

    @property
    def stated_end(self) -> int | None:
        """The last sequence number, where the head itself says it."""
        return self.end or None

    def replaces(self, before: Head) -> bool:
        """Whether this gap took the place of the segment before it, whose name was still there when its writer died."""
        return self.gap and before.epoch == self.epoch and self.base <= before.base <= self.end

    def ended_by(self, following: Head) -> Tip | None:
        """Where the segment ends by the head of the one after it; None where that says nothing of this epoch."""
        if following.epoch == self.epoch:
            return Tip(following.base - 1, following.previous)
        prior = following.prior
        return Tip(prior.last, prior.digest) if prior is not None and prior.epoch == self.epoch else None


class SegmentDamaged(Exception):
    """Raised when a segment's head cannot be read: the text says what was found instead."""


@dataclass(slots=True)
class Segment:
    """What is known of a segment without reading its frames."""

    number: int
    head: Head
    end: int
    """Its last sequence number; ``base - 1`` when it holds none."""
    digest: bytes
    """Digest after `end`, `NO_DIGEST` when unknown."""
    size: int
    newest: int = 0
    """Journal time of its newest frame, milliseconds, as far as known."""
    acked: bool = False
    """Every required sink has stored all of it."""

    @property
    def epoch(self) -> bytes:
        """The epoch of all of its frames."""
        return self.head.epoch

    @property
    def base(self) -> int:
        """Its first sequence number."""
        return self.head.base

    @property
    def name(self) -> str:
        """Its file's name."""
        return segment_name(self.number)

    @property
    def bare(self) -> bool:
        """It holds no record: only gaps, or only an epoch's OPEN, or nothing."""
        return self.head.gap or self.end <= 1 or self.end < self.base

    @property
    def footprint(self) -> int:
        """Bytes it takes on disk, in whole blocks."""
        return -(-self.size // BLOCK) * BLOCK


@dataclass(slots=True)
class Index:
    """Where the frames of one segment are; a frame without a place is a gap that exists in memory only."""

    firsts: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    """Byte offsets; -1 for a gap that is in `gaps`."""
    lengths: array[int] = field(default_factory=lambda: array("q"))
    gaps: dict[int, Batch] = field(default_factory=dict)

    def add(self, first: int, offset: int, length: int) -> None:
        """A frame in the file."""
        self.firsts.append(first)
        self.offsets.append(offset)
        self.lengths.append(length)

    def add_gap(self, batch: Batch) -> None:
        """A gap that is not in the file."""
        self.add(batch.header.first, -1, 0)
        self.gaps[batch.header.first] = batch


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"{number:016x}{SUFFIX}"


def segment_number(name: str) -> int | None:
    """The number in a segment's file name, None when it is no such name."""
    stem = name.removesuffix(SUFFIX)
    if len(stem) != 16 or stem == name or set(stem) - set("0123456789abcdef"):
        return None
    return int(stem, 16)


def encode_head(head: Head) -> bytes:
    """The first bytes of a segment: preamble and HEAD frame."""
    return PREAMBLE + encode_frame(HEAD, head.kept, head=pack(tuple(head)))


def read_head(data: bytes) -> Head:
    """The head at the beginning of a segment's bytes.

    Raises:
        SegmentDamaged: empty, foreign, of an unknown version, or ruined.
    """
    if not data:
        raise SegmentDamaged("an empty file")
    if not data.startswith(PREAMBLE):
        found = "zeros" if not data.strip(b"\0") else repr(data[: len(PREAMBLE)])
        raise SegmentDamaged(f"no segment: it begins with {found} instead of {PREAMBLE!r}")
    prefix = read_prefix(data, len(PREAMBLE))
    piece = read_frame(data, len(PREAMBLE), prefix) if prefix else None
    if not isinstance(piece, Found) or piece.prefix.kind != HEAD:
        raise SegmentDamaged("its head is unreadable")
    try:
        return _head_from(unpack(piece.head))
    except (WireError, TypeError, ValueError) as error:
        raise SegmentDamaged(f"its head has a wrong layout: {error}") from error


def _head_from(value: Any) -> Head:
    head = Head(*value)
    prior = None if head.prior is None else Prior(*head.prior)
    numbers = (
        head.stream,
        head.base,
        head.wall,
        head.kept,
        head.before,
        head.end,
        *([prior.last] if prior else []),
    )
    blobs = [(head.epoch, EPOCH_BYTES), (head.previous, DIGEST_BYTES), (head.digest, DIGEST_BYTES)]
    if prior:
        blobs += [(prior.epoch, EPOCH_BYTES), (prior.digest, DIGEST_BYTES)]
    fits = (
        all(type(number) is int for number in numbers)
        and head.base >= 1
        and all(isinstance(blob, bytes) and len(blob) == size for blob, size in blobs)
        and isinstance(head.boot, str)
        and isinstance(head.monotonic, float)
    )
    if not fits:
        raise ValueError(repr(value)[:80])
    return head._replace(prior=prior)


def unfinished_start(data: bytes) -> bool:
    """Whether these bytes are a segment whose writer died in its head: nobody was told of anything in it."""
    if len(data) < len(PREAMBLE) + len(MAGIC):
        return (PREAMBLE + MAGIC).startswith(data)
    if not data.startswith(PREAMBLE + MAGIC):
        return False
    prefix = read_prefix(data, FIRST_FRAME)
    wanted = prefix.length if prefix else PREFIX_BYTES
    return len(data) < FIRST_FRAME + wanted


def encode_marks(marks: bytes, kept: int) -> bytes:
    """The MARKS frame that follows a head, with encoded marks."""
    return encode_frame(MARKS, kept, marks=marks)
