"""What a node signed with a key that was taken back since, and no sink has stored: nobody can believe it any more.

It is not stored among the records, and it is not asked for for ever either. While the node speaks under another key, what it sends
of the epochs of the old one is *set aside*: its bytes go to quarantine, a gap with the reason `REASON` says exactly what is
missing, and the cursor passes it, so that the node lets go of it. All of that is one transaction.

What stands in such a batch is believed by nobody. *That it is the one which the node keeps* is: beside the old signature the node sends the
word of its key of now over the same header (`seal.signed`). Without that word nothing of the old key has any effect. With it the
digests are the node's own, and all of delivery goes its usual way: an equal digest is a duplicate, another one is another history.

What could go wrong, and what stands against it:

* Somebody else names a key that was revoked: the signature is verified like any other, and the key is to be one of this node.
* Who has the key goes on with it: writes in the place of what the node keeps, beyond its end, in an epoch of its own making, as another
  history of what is stored. None of it has the word of the node's key, so none is set aside, takes a place, ends or forks an epoch.
* The word is taken from another batch: it is over the header, which names the body, its place, its epoch and the one before.
* A session begins with a beacon, which only a key that holds can sign; the word must be of that very key. A session that the
  old key began is cut when the next batch comes, or the rosters change.
* A machine was put back to an older state, and its key was revoked before it was heard again: two histories under the old key.
  By the word of now the batches of the second do not follow what is stored of the first, or the node's own beacon contradicts it:
  the epoch forks. What of the second history is in the first as well is held already; all else of it is set aside under a name of
  its own, with an own gap; nothing that is stored is replaced, and a doubt tells of the fork. The cursor says the digests of what the
  node has, so it lets go of all, and of nothing before: what is of the other history it keeps.
* The machine goes back behind what was set aside already: the same, since what was set aside has digests as what is stored has.
* The word is of a key that is revoked later: what it vouched for is set aside all the same, and the next key speaks for the rest.
* Something replays such a batch of a history that was left: as with any other batch, that costs a session, and no record.
* The opening names the epoch before it, and says what its start found: that is not believed either. The beacon tells which epochs
  there are, but nobody tells any more what the one before lost at its end, or that there were others: a doubt says so.
* It is much: at most `MAX_KEPT` bytes of an epoch are kept in a session. Of the rest only the gap tells.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.ports import Entry, Gap
from tabard.brokers.delivery.ranges import UNKNOWN, Range, Ranges
from tabard.brokers.wire.batch import OPEN, Batch

REASON: Final = "revoked key"
BROKEN: Final = "chain broken"
MAX_KEPT: Final = 64 << 20
"""Bytes of one epoch that go to quarantine within a session of its node."""


def set_aside(stream: StreamBook, book: EpochBook, batch: Batch, counters: Counter[str]) -> None:
    """Keep the bytes of a batch of a key that was taken back, and say what is missing; its place is seen already."""
    header = batch.header
    book.changed = True
    lost = Ranges(Range(lo, hi, UNKNOWN, UNKNOWN) for lo, hi in book.said).holes(header.last, header.first)
    if not lost:  # it is said to be lost already
        stream.unacked += 1
        return
    for lo, hi in lost:
        _say(book, lo, hi)
    if header.kind == OPEN:
        _doubt(book)
    if book.aside + batch.size <= MAX_KEPT:
        book.aside += batch.size
        book.entries.append(Entry(batch, poison=REASON, lost=True))
        counters["batches of a revoked key quarantined"] += 1
    else:
        stream.unacked += 1
        counters["batches of a revoked key not kept"] += 1


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
