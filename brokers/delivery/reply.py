"""The cursor message: what a sink answers to one node, put together from its book."""

from __future__ import annotations

from tabard.brokers.delivery.book import EpochBook, NodeBook, StreamBook
from tabard.brokers.delivery.credit import LEASE, LEASE_GRACE, Budget
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import Seal, sealed
from tabard.brokers.wire import topics
from tabard.brokers.wire.messages import MAX_WANTS, Cursor, CursorStream, Message, Want, encode_cursor

LIVE_JUMP = 16_384
"""A backlog larger than this many records is backfilled beside the live end instead of before it."""
MAX_LINGER = 1.0
MIN_LINGER = 0.01


class Reply:
    """Builds cursor messages and decides on live positions, asked ranges and credit."""

    def __init__(self, sink: str, seal: Seal, budget: Budget, linger_rate: float) -> None:
        self._sink = sink
        self._seal = seal
        self._budget = budget
        self._linger_rate = linger_rate

    def cursor(self, now: float, node: NodeBook) -> Message:
        """The next cursor message to `node`."""
        node.number += 1
        streams = tuple(
            self._stream(now, node, stream) for stream in node.streams.values() if stream.newest is not None
        )
        cursor = Cursor(
            self._sink,
            node.session,
            node.number,
            node.beacon.nonce,
            node.key.node,
            self._linger(now),
            streams,
        )
        head = encode_cursor(cursor)
        topic = topics.down_topic(node.key.zone, node.key.node)
        return sealed(self._seal, topic, head)

    def _linger(self, now: float) -> float:
        self._budget.window(now)
        linger = self._budget.active / self._linger_rate
        return min(linger, MAX_LINGER) if linger > MIN_LINGER else 0.0

    def _stream(self, now: float, node: NodeBook, stream: StreamBook) -> CursorStream:
        if any(number == stream.stream for number, _ in node.disputed):
            # nothing is known that could be relied on; without credit the node sends a beacon at once
            return CursorStream(stream.stream, (), 0, 0, LEASE, None, ())
        newest = stream.newest_book
        assert newest is not None
        self._set_live(stream, newest)
        wants = self._wants(node, stream, newest)
        backlog = newest.last > newest.seen.high
        demand = bool(wants or stream.asked or backlog or stream.unacked)
        self._budget.grant(stream.account, now, demand=demand)
        if stream.account.out:
            stream.account.expires = now + LEASE + LEASE_GRACE
        stream.unacked = 0
        cursors: list[tuple[bytes, Ranges]] = [
            (epoch, stream.epochs[epoch].cursor.ranges)
            for epoch in stream.listed
            if stream.epochs[epoch].cursor.version
        ]
        return CursorStream(
            stream.stream,
            tuple(cursors),
            stream.account.granted,
            stream.account.granted_bytes,
            LEASE,
            stream.live,
            wants,
        )

    @staticmethod
    def _set_live(stream: StreamBook, newest: EpochBook) -> None:
        if stream.live is not None:
            return
        high = newest.seen.high
        jump = newest.last - high > LIVE_JUMP
        stream.live = (newest.epoch, newest.last + 1 if jump else high + 1)

    def _wants(self, node: NodeBook, stream: StreamBook, newest: EpochBook) -> tuple[Want, ...]:
        wants: list[Want] = []
        for epoch in stream.listed:
            book = stream.epochs[epoch]
            upto = book.last
            if book is newest:
                live = stream.live[1] if stream.live else 1
                upto = max(book.seen.high, min(max(live, stream.node_live) - 1, book.last))
            for lo, hi in book.seen.holes(upto, book.oldest):
                if len(wants) >= MAX_WANTS:
                    break
                self._ask(node, stream, Want(epoch, lo, hi), wants)
        return tuple(wants)

    @staticmethod
    def _ask(node: NodeBook, stream: StreamBook, want: Want, wants: list[Want]) -> None:
        """Ask, unless an overlapping range was asked for and may still be on its way."""
        for epoch, lo, hi in stream.asked:
            if epoch == want.epoch and lo <= want.hi and want.lo <= hi:
                return
        stream.asked[(want.epoch, want.lo, want.hi)] = node.number
        wants.append(want)
