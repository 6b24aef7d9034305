"""Whether what a sink says it has stored can be of this journal's making.

A journal that was restored to an older state while its agent ran writes sequence numbers a second time.
The sink's cursor then covers them, with other records. Nothing may be let go of under such a cursor.
"""

from __future__ import annotations

from enum import Enum, auto

from tabard.brokers.delivery.ports import EpochSpan, StreamJournal
from tabard.brokers.delivery.ranges import Range
from tabard.brokers.wire.batch import GAP, NO_DIGEST, Batch
from tabard.brokers.wire.body import decode_gap
from tabard.brokers.wire.points import Point, mark_of
from tabard.errors import WireError


class Verdict(Enum):
    """What a comparison of a stored range with the journal shows."""

    OURS = auto()
    """The journal holds what is stored, or has nothing there that could be lost."""
    FOREIGN = auto()
    """What is stored is of another history: one side was rolled back."""
    UNKNOWN = auto()
    """It cannot be read now, or a gap runs across the end of the range that does not name it."""


def judge(journal: StreamJournal, span: EpochSpan, stored: Range) -> Verdict:
    """Compare the end of a stored range with `span`, which the journal keeps of the same epoch.

    Digests form a chain, so a range whose last digest is the journal's is the journal's from its first on.
    """
    if stored.hi < span.oldest or (not stored.after and stored.hi <= span.last):
        return Verdict.OURS
    batch = journal.read(span.epoch, stored.hi)
    if batch is None:
        return Verdict.FOREIGN if stored.hi > span.last else Verdict.UNKNOWN
    if batch.header.kind == GAP:
        return _judge_gap(batch, stored)
    same = batch.header.last == stored.hi and batch.digest == stored.after
    return Verdict.OURS if same else Verdict.FOREIGN


def _judge_gap(gap: Batch, stored: Range) -> Verdict:
    try:
        info = decode_gap(gap.body)
    except WireError:
        return Verdict.UNKNOWN
    if gap.header.last != stored.hi:
        return Verdict.OURS if Point(stored.hi, mark_of(stored.after)) in info.points else Verdict.UNKNOWN
    digest = info.last_digest
    return Verdict.OURS if digest in (NO_DIGEST, stored.after) else Verdict.FOREIGN
