"""Whether what is stored of an epoch is of the history of what its node keeps, where the two meet.

Digests form a chain: a batch that names the digest of what is stored right before it shows that all before it is the node's own. Where
nothing shows it, a node and a store that were both put back may have two histories under one name: the node let go of its own, since the
store of the time between had it, and other records stand in its place. Nothing can bring those back, so a doubt says what
they may be missing from.

What could go wrong, and what stands against it:

* Only the store was put back, and no record of the node is missing but those that a gap names: nobody can tell that from the other case, so
  it is in doubt as well. It is no loss, and none is counted.
* Only the node went back: what it let go of is stored, and the first that it keeps follows it, so nothing is said of it.
* An epoch of which only the opening is stored: its name is drawn anew with each opening, so every history of it begins with that one.
* What is stored there is within a gap or behind the edge of one that nobody can read, its header went with retention, or what is kept
  begins with such an edge: nothing differs and nothing is shown to be the same, so it is not proven, and nobody is said to have gone back.
* A batch of a history that the store has already: its digest is the same, and with it all before it.
"""

from __future__ import annotations

from typing import Final

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.ports import Gap, NodeKey
from tabard.brokers.wire.batch import NO_DIGEST, Header

UNPROVEN: Final = "not proven"
ROLLED_BACK: Final = "rolled back"


def is_proven(stream: StreamBook, book: EpochBook, before: int) -> bool:
    """Whether what is stored right in front of `before` is what the node had there: it is an opening, or the node says so."""
    top = book.seen.covering(before - 1)
    return top is None or top.hi == 1 or top.after in stream.own


def unproven(book: EpochBook, before: int) -> None:
    """The node let go of what is missing from `before` on, so nothing joins what is stored in front of that to what it keeps."""
    detail = (
        f"the node let go of records from {before} on that are not stored here: nothing shows any more that those"
        " before them, as they are stored, are the ones that it let go of"
    )
    book.gaps.append(_doubt(book, 1, before - 1, UNPROVEN, detail))


def follow(epochs: Epochs, key: NodeKey, stream: StreamBook, book: EpochBook, header: Header) -> None:
    """See whether the first that is taken of another history follows what is stored of those before it. Raises StoreUnavailable."""
    before = header.first - 1
    if not book.past or before != book.previous_last or before < 2:
        return
    holding = [past for past in book.past if past.seen.covering(before)]
    known = [epochs.digest(key, stream, past, before) for past in holding]
    if not holding or header.previous in known:
        return  # missing and said to be, or proven
    differs = any(known) or any(epochs.spans(key, stream, past, before) for past in holding)
    if header.previous == NO_DIGEST or not differs:
        reason, why = UNPROVEN, "nothing shows that what the node keeps from"
        follows = "on follows what is stored here"
    else:
        reason, why = ROLLED_BACK, "the node went back in time: what it keeps from"
        follows = "on does not follow what is stored here"
    detail = f"{why} {header.first} {follows}, so those before it, as they are stored, may not be the ones that it let go of"
    book.past[-1].gaps.append(_doubt(book.past[-1], 1, before, reason, detail))


def _doubt(book: EpochBook, first: int, last: int, reason: str, detail: str) -> Gap:
    return Gap(book.stored_as, first, last, 0, at_least=True, kind="doubt", reason=reason, detail=detail)
