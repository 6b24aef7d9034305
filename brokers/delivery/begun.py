"""What is being committed: handed out as work for the store, and settled when its outcome is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tabard.brokers.delivery.book import EpochBook, NodeBook, StreamBook
from tabard.brokers.delivery.ports import Claim, EpochWork


class Begun(NamedTuple):
    """What is being committed of one epoch."""

    node: NodeBook
    stream: StreamBook
    book: EpochBook
    work: EpochWork

    def settle(self) -> None:
        """It is durable."""
        self.stream.unacked += len(self.work.entries)
        self.book.committed(self.work)
        # What came in since it was begun is not stored yet, and may have brought the epoch to its end.
        book, stream = self.book, self.stream
        over = book.finished and not book.dirty and stream.epochs.get(book.epoch) is book
        if over and book.epoch != stream.newest and book.epoch not in stream.listed:
            del stream.epochs[book.epoch]


def begin(nodes: Iterable[NodeBook], claims: Mapping[int, Claim | None]) -> list[Begun]:
    """All that is pending of some nodes, each under the claim on its shard."""
    return [
        Begun(node, stream, book, book.begin(node.key, stream.stream, claims.get(node.shard)))
        for node in nodes
        for stream in node.streams.values()
        for book in stream.dirty()
    ]
