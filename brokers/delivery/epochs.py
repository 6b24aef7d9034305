"""The epochs that a store knows: under which names, and which batches they hold."""

from __future__ import annotations

from tabard.brokers.delivery.book import EpochBook, StreamBook, forked_id
from tabard.brokers.delivery.ports import EpochCursor, NodeKey, SinkStore
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.batch import NO_DIGEST, Batch


class Epochs:
    """Looks up in the store what is not in a book yet. Every method raises StoreUnavailable."""

    def __init__(self, store: SinkStore) -> None:
        self._store = store

    def restore(self, key: NodeKey, stream: StreamBook) -> None:
        """Open the books of what is not stored to its end."""
        for cursor in self._store.unfinished(key, stream.stream):
            self.book(key, stream, self._named(key, stream, cursor))

    def book(self, key: NodeKey, stream: StreamBook, epoch: bytes) -> EpochBook:
        """The book on the latest history of what the node calls `epoch`."""
        book = stream.epochs.get(epoch)
        if book is None:
            known = self._store.load(key, stream.stream, [epoch, forked_id(epoch)])
            book = EpochBook.of(epoch, known.get(epoch) or EpochCursor(epoch, 0, Ranges()))
            if book.cursor.version and _has_holes(book.cursor):
                book.said = self._store.said(key, stream.stream, epoch)
            while (later := known.get(forked_id(book.stored_as))) is not None:
                book = EpochBook.of(epoch, later, (*book.past, book))
                known = self._store.load(key, stream.stream, [forked_id(book.stored_as)])
            stream.epochs[epoch] = book
        return book

    def _named(self, key: NodeKey, stream: StreamBook, cursor: EpochCursor) -> bytes:
        """The name that the node gave to the epoch of a stored cursor."""
        name, previous = cursor.epoch, cursor.previous
        while previous is not None and name == forked_id(previous):
            name = previous
            before = self._store.load(key, stream.stream, [name]).get(name)
            previous = before.previous if before else None
        return name

    def digest(self, key: NodeKey, stream: StreamBook, book: EpochBook, last: int) -> bytes | None:
        """The digest of the batch that ends at `last`, None when that is not known."""
        return book.known_digest(last) or self._store.digest(key, stream.stream, book.stored_as, last)

    def spans(self, key: NodeKey, stream: StreamBook, book: EpochBook, seq: int) -> bool:
        """Whether one batch is known to hold both `seq` and what follows it, so that no other can end there."""
        pending = (*book.committing, *book.entries)
        headers = (entry.batch.header for entry in pending)
        return any(header.first <= seq < header.last for header in headers) or self._store.spans(
            key, stream.stream, book.stored_as, seq
        )

    def follows(self, key: NodeKey, stream: StreamBook, book: EpochBook, batch: Batch) -> bool:
        """Whether a batch can follow what is stored before it."""
        header = batch.header
        known = self.digest(key, stream, book, header.first - 1)
        return NO_DIGEST in (header.previous, known or NO_DIGEST) or known == header.previous

    def held_before(self, key: NodeKey, stream: StreamBook, book: EpochBook, batch: Batch) -> bool:
        """Whether this very batch is stored in an earlier history of its epoch."""
        if not book.past:
            return False
        last, digest = batch.header.last, batch.digest
        return any(self.digest(key, stream, past, last) == digest for past in book.past)


def _has_holes(cursor: EpochCursor) -> bool:
    ranges = cursor.ranges
    return ranges.solid < max(ranges.high, cursor.ended or 1)
