"""What a node signed with a key that was taken back since, and no sink has stored: nobody can believe it any more.

It is not stored among the records, and it is not asked for for ever either. While the node speaks under another key, what comes
of the epochs of the old one is *set aside*: its bytes go to quarantine, a gap with the reason `REASON` says exactly what is
missing, and the cursor passes it, so that the node lets go of it. All of that is one transaction.

What could go wrong, and what stands against it:

* Somebody else names a key that was revoked: the signature is verified like any other, and the key is to be one of this node.
* Who has the key goes on with it. A session begins with a beacon, which only a key that holds can sign; a session that the
  old key began is cut when the next batch comes, or the rosters change. Nothing is set aside beyond what the node, by its
  own beacon, keeps of that epoch; in its place there may be anything that the old key signed, and none of it is believed.
* The old key's digests may lead anywhere: they are not compared, and no other history is looked for. So of a machine that was put back
  to an older state *and* whose key was revoked before it was heard again, what it wrote a second time may be missing without a word.
* The opening names the epoch before it, and says what its start found: that is not believed either. The beacon tells which epochs
  there are, but nobody tells any more what the one before lost at its end, or that there were others: a doubt says so.
* It is much: at most `MAX_KEPT` bytes of an epoch are kept in a session. Of the rest only the gap tells.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.ports import Entry, Gap
from tabard.brokers.delivery.ranges import UNKNOWN, Range, TooManyRanges
from tabard.brokers.wire.batch import OPEN, Batch

REASON: Final = "revoked key"
BROKEN: Final = "chain broken"
MAX_KEPT: Final = 64 << 20
"""Bytes of one epoch that go to quarantine within a session of its node."""


def set_aside(stream: StreamBook, book: EpochBook, batch: Batch, counters: Counter[str]) -> bool:
    """Enter a batch of a key that was taken back; whether the node should be answered soon."""
    header = batch.header
    if book.epoch not in stream.listed or not book.oldest <= header.first <= header.last <= book.last:
        counters["batches of a revoked key that their node does not keep"] += 1
        return False
    pieces = book.seen.holes(header.last, header.first)
    if not pieces:
        counters["duplicate batches"] += 1
        return False
    trial = book.seen.copy()
    try:
        for lo, hi in pieces:
            trial.add(Range(lo, hi, UNKNOWN, UNKNOWN))
    except TooManyRanges:
        counters["batches beyond the eighth range"] += 1
        return True
    lost = [part for lo, hi in pieces for part in book.unsaid(lo, hi)]
    if not lost:  # an earlier history of the epoch has it, or it is said to be lost already
        book.seen, book.changed = trial, True
        stream.unacked += 1
        return False
    kept = book.aside + batch.size <= MAX_KEPT
    book.seen = trial
    book.changed = True
    for lo, hi in lost:
        _say(book, lo, hi)
    if header.kind == OPEN:
        _doubt(book)
    if kept:
        book.aside += batch.size
        book.entries.append(Entry(batch, poison=REASON, lost=True))
        counters["batches of a revoked key quarantined"] += 1
    else:
        stream.unacked += 1
        counters["batches of a revoked key not kept"] += 1
    return False


def _doubt(book: EpochBook) -> None:
    """What an opening would have said of the time before it is not known."""
    detail = (
        "the record that names the epoch before this one, and what was lost at its end, was signed by a revoked key:"
        " records before this epoch, and whole epochs, may be missing"
    )
    book.gaps.append(Gap(book.stored_as, 1, 1, 0, at_least=True, kind="doubt", reason=BROKEN, detail=detail))


def _say(book: EpochBook, lo: int, hi: int) -> None:
    """One gap for what is one run."""
    records = hi - lo + (lo > 1)  # an epoch's opening is none
    last = book.gaps[-1] if book.gaps else None
    joins = (
        last is not None
        and (last.epoch, last.kind, last.reason) == (book.stored_as, "gap", REASON)
        and last.last is not None
        and last.last + 1 == lo
    )
    if joins and last is not None:
        book.gaps[-1] = last._replace(last=hi, count=last.count + records)
    elif records:
        book.gaps.append(Gap(book.stored_as, lo, hi, records, at_least=False, kind="gap", reason=REASON))
