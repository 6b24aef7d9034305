"""What is left of a segment's bytes, and the gaps that must stand for the rest: a pure function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tabard.agents.journal.frames import (
    CLOSE,
    MAGIC,
    MARKS,
    PREFIX_BYTES,
    Damage,
    Found,
    encode_batch,
    encode_frame,
    walk,
)
from tabard.agents.journal.gaps import DAMAGED, Dropped, GapMaker, chain_digest, rebuilt_opening
from tabard.agents.journal.segment import FIRST_FRAME, Head, Index, encode_head
from tabard.brokers.wire.batch import KINDS, NO_DIGEST, Batch


class Expect(NamedTuple):
    """What a segment should hold, as its own head and the next one say."""

    epoch: bytes
    base: int
    before: bytes
    """Digest before `base`, `NO_DIGEST` when unknown."""
    end: int | None
    """None: nobody knows, it is the last one or the next is lost."""
    digest: bytes
    """Digest after `end`, `NO_DIGEST` when unknown."""
    opening: bytes = b""
    """What a gap in place of the epoch's OPEN has to hand on; empty when that is unknown."""


def expected(head: Head, end: int | None, digest: bytes) -> Expect:
    """What a segment with this head should hold up to `end`, after which the digest is `digest`."""
    opening = b""
    if head.base == 1 and (head.prior or head.boot):  # a head that was made up knows neither
        previous, last, before = head.prior or (None, 0, NO_DIGEST)
        opening = rebuilt_opening(previous, last, before, head.wall)
    return Expect(head.epoch, head.base, head.previous, end, digest, opening)


@dataclass(slots=True)
class Mended:
    """The usable frames of a segment and the gaps between them, and what its end looks like."""

    expect: Expect
    index: Index = field(default_factory=Index)
    last: int = 0
    digest: bytes = NO_DIGEST
    """Digest after `last`."""
    closed: bool = False
    """It ends in a close marker."""
    kept: int = 0
    """Journal time of its newest frame, milliseconds."""
    snapshot: bytes | None = None
    """Encoded marks at its beginning; None when unreadable."""
    marks: list[bytes] = field(default_factory=list)
    """Encoded marks of its frames, in order."""
    torn: Damage | None = None
    """What follows the last usable frame, when it is none."""
    unfinished: bool = False
    """That may be the beginning of a frame whose writer died in it, so that nobody was ever told of it."""

    @property
    def damaged(self) -> bool:
        """Whether gaps had to be put in, so that the file should be replaced."""
        return bool(self.index.gaps)


def mend(data: bytes, expect: Expect, gaps: GapMaker, reason: str = DAMAGED) -> Mended:
    """Find the frames of `expect` in a segment's bytes and put gaps where some are missing."""
    return _Mender(expect, gaps, reason).run(data)


class _Mender:
    def __init__(self, expect: Expect, gaps: GapMaker, reason: str) -> None:
        self._out = Mended(expect, last=expect.base - 1, digest=expect.before)
        self._gaps = gaps
        self._reason = reason
        self._ruined = 0
        """Last sequence number of the ruined frames since the last good one, 0 when there are none."""
        self._ruined_digest = NO_DIGEST

    def run(self, data: bytes) -> Mended:
        out, end = self._out, self._out.expect.end
        for piece in walk(data, FIRST_FRAME):
            if isinstance(piece, Damage):
                out.closed = False
                out.torn = None if self._note_ruin(piece) else piece
            elif piece.batch is not None:
                self._take(piece, piece.batch)
            elif piece.prefix.kind == MARKS and out.snapshot is None and not out.index.firsts:
                out.snapshot = piece.marks
                out.kept = max(out.kept, piece.prefix.kept)
            elif piece.prefix.kind == CLOSE:
                out.closed, out.torn = True, None
                out.kept = max(out.kept, piece.prefix.kept)
        if end is not None and out.last < end:
            self._put_gap(end, out.expect.digest)
        elif end is None and self._ruined > out.last:
            self._put_gap(self._ruined, self._ruined_digest)
        out.unfinished = out.torn is not None and may_be_unfinished(data, out.torn, out.last + 1)
        return out

    def _note_ruin(self, damage: Damage) -> bool:
        """Whether it is a frame written to its end, so that its range is known though its content is not."""
        prefix = damage.prefix
        next_seq = max(self._ruined, self._out.last) + 1
        if not damage.whole or not prefix or prefix.kind not in KINDS or prefix.first != next_seq:
            return False
        self._ruined, self._ruined_digest = prefix.last, damage.digest
        return prefix.width > 0

    def _take(self, piece: Found, batch: Batch) -> None:
        out, header, end = self._out, batch.header, self._out.expect.end
        beyond = end is not None and header.last > end
        if header.epoch != out.expect.epoch or header.first <= max(out.last, self._ruined) or beyond:
            return  # a stray: another epoch's, a second copy, or one that was never accepted
        if header.first == out.last + 1 and NO_DIGEST not in (out.digest, header.previous):
            if header.previous != out.digest:
                self._ruined, self._ruined_digest = header.last, batch.digest
                return  # it does not follow what stands before it, so it is not what was written there
        elif header.first > out.last + 1:
            self._put_gap(header.first - 1, header.previous)
        out.index.add(header.first, piece.offset, piece.prefix.length)
        out.last, out.digest = header.last, chain_digest(batch)
        out.kept = max(out.kept, piece.prefix.kept)
        out.closed, out.torn = False, None
        if piece.marks:
            out.marks.append(piece.marks)

    def _put_gap(self, last: int, after: bytes) -> None:
        out = self._out
        dropped = Dropped(out.expect.epoch, out.last + 1, last, out.digest, after)
        opening = out.expect.opening if dropped.first == 1 else b""
        out.index.add_gap(self._gaps.make(dropped, self._reason, opening))
        out.last, out.digest = last, after


def may_be_unfinished(data: bytes, torn: Damage, next_seq: int) -> bool:
    """Whether bytes at the end are the beginning of one frame that would have come next."""
    size = torn.end - torn.offset
    if torn.prefix is None:
        magic = data[torn.offset : torn.offset + len(MAGIC)]
        return size < PREFIX_BYTES and MAGIC.startswith(magic)
    return not torn.whole and (torn.prefix.kind not in KINDS or torn.prefix.first == next_seq)


def mended_head(head: Head, mended: Mended) -> Head:
    """The head of the segment that takes a damaged one's place: it says itself where it ends."""
    only_gaps = len(mended.index.gaps) == len(mended.index.firsts)
    return head._replace(end=mended.last, digest=mended.digest, gap=only_gaps)


def mended_image(head: Head, mended: Mended, data: bytes) -> Iterator[bytes]:
    """The bytes of that segment: usable frames byte for byte, and gaps."""
    index = mended.index
    yield encode_head(head)
    if mended.snapshot is not None:
        yield encode_frame(MARKS, head.kept, marks=mended.snapshot)
    for first, offset, length in zip(index.firsts, index.offsets, index.lengths, strict=True):
        yield encode_batch(index.gaps[first], head.kept) if offset < 0 else data[offset : offset + length]
