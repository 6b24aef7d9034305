"""Whether what a sink has stored within a gap is what the gap's node had there."""

from __future__ import annotations

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.wire.batch import NO_DIGEST, Header
from tabard.brokers.wire.body import GapInfo
from tabard.brokers.wire.points import mark_of


def is_of_the_node(
    epochs: Epochs, key: NodeKey, stream: StreamBook, book: EpochBook, header: Header, info: GapInfo
) -> bool:
    """Whether each run that is stored in the range of a gap ends in a batch that the gap's node had.

    Then exactly the holes between them are lost: a digest commits to all that came before it. Of an epoch with several
    histories it is never said, since what an earlier one holds may be in the place of what is lost. Raises
    StoreUnavailable.
    """
    if book.past:
        return False
    marks = dict(info.points)
    if info.last_digest != NO_DIGEST:
        marks[header.last] = mark_of(info.last_digest)
    for run in book.seen:
        if run.hi < header.first or header.last < run.lo:
            continue
        end = min(run.hi, header.last)
        digest = epochs.digest(key, stream, book, end)
        if digest is None or marks.get(end) != mark_of(digest):
            return False
    return True
