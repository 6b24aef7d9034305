"""The node's side of one (sink, stream): what may be sent, and which batch is next.

A sender never resends unasked. It sends live from the position that the sink named, and what the sink
asked for, one of each in turn, as far as the credit goes and the lease lasts.
"""

from __future__ import annotations

from collections import deque

from tabard.brokers.delivery.ports import EpochSpan, StreamJournal
from tabard.brokers.delivery.ranges import UNKNOWN, Ranges
from tabard.brokers.wire.batch import Batch
from tabard.brokers.wire.messages import NO_SESSION, CursorStream, Envelope, Want


class Sender:
    """Live position, asked ranges and credit of one stream towards one sink."""

    def __init__(self, journal: StreamJournal) -> None:
        self.journal = journal
        self.cursors: dict[bytes, Ranges] = {}
        """What the sink said it has stored, by epoch; never kept over a restart."""
        self.session = NO_SESSION
        self.heard = 0
        self.sent = 0
        self.sent_bytes = 0
        self._credit = 0
        self._credit_bytes = 0
        self._lease_until = 0.0
        self._live: tuple[bytes, int] | None = None
        self._wants: deque[Want] = deque()
        self._turn_of_wants = False
        self._suspended = UNKNOWN
        """The epoch of which the sink has another history: nothing of it goes live until that is settled."""
        self.compared = False
        """Whether the sink's history was held against the journal in this session."""

    def begin(self, session: bytes) -> None:
        """A new session of the sink: everything sent before counts for nothing."""
        self.session = session
        self.heard = self.sent = self.sent_bytes = 0
        self._credit = self._credit_bytes = 0
        self._live = None
        self._wants.clear()
        self.resume()
        self.compared = False
        self.cursors.clear()

    def hear(self, now: float, number: int, part: CursorStream) -> None:
        """Take over what a cursor message with `number` says of this stream."""
        self.heard = number
        self.cursors = dict(part.cursors)
        self._credit = part.credit
        self._credit_bytes = part.credit_bytes
        self._lease_until = now + part.lease
        if (
            part.live is not None
            and not self.suspended
            and (self._live is None or self._live[0] != part.live[0])
        ):
            self._live = part.live
        known = {(want.epoch, want.lo) for want in self._wants}
        self._wants.extend(want for want in part.wants if (want.epoch, want.lo) not in known)

    def drop_positions(self) -> None:
        """The journal opened a new epoch: positions in the old one mean nothing any more."""
        self._live = None
        self._wants.clear()
        self.resume()

    @property
    def suspended(self) -> bool:
        """Whether the sink's history of the epoch being written differs from the journal's."""
        newest = self.newest
        return newest is not None and newest.epoch == self._suspended

    def resume(self) -> None:
        """The histories agree."""
        self._suspended = UNKNOWN

    def suspend(self, epoch: bytes, seq: int) -> None:
        """Send nothing live, but the batch that holds `seq`."""
        self._suspended = epoch
        self._live = None
        self._wants.clear()
        self._wants.append(Want(epoch, seq, seq, 1))

    @property
    def newest(self) -> EpochSpan | None:
        """The epoch being written as far as it is durable; None while the disk let none begin."""
        spans = self.journal.spans()
        return spans[-1] if spans else None

    @property
    def envelope(self) -> Envelope:
        """What the next beacon says of this sender."""
        return Envelope(self.session, self.sent, self.sent_bytes, self.heard, len(self._wants))

    @property
    def live(self) -> int:
        """The next sequence number to be sent unasked, 0 without a live position."""
        return self._live[1] if self._live else 0

    def may_send(self, now: float) -> bool:
        """Whether credit and lease allow one more batch."""
        return self.sent < self._credit and self.sent_bytes < self._credit_bytes and now < self._lease_until

    def has_work(self) -> bool:
        """Whether there is something to send, credit or not."""
        return bool(self._wants) or self._has_live()

    def next(self, now: float) -> tuple[Batch, Envelope] | None:
        """The next batch to publish and its envelope; None when there is nothing, or no credit."""
        if not self.may_send(now):
            return None
        batch = self._next_batch()
        if batch is None:
            return None
        self.sent += 1
        self.sent_bytes += batch.size
        return batch, self.envelope

    def _next_batch(self) -> Batch | None:
        self._turn_of_wants = not self._turn_of_wants
        first, second = (
            (self._next_want, self._next_live) if self._turn_of_wants else (self._next_live, self._next_want)
        )
        return first() or second()

    def _has_live(self) -> bool:
        if self._live is None:
            return False
        epoch, seq = self._live
        newest = self.newest
        return newest is not None and epoch == newest.epoch and seq <= newest.last

    def _next_live(self) -> Batch | None:
        while self._has_live():
            assert self._live is not None
            epoch, seq = self._live
            batch = self.journal.read(epoch, seq)
            if batch is None:  # unreadable or dropped: the sink asks, or sees the journal's gap frame
                self._live = (epoch, self._after_unreadable(epoch, seq))
                continue
            self._live = (epoch, batch.header.last + 1)
            return batch
        return None

    def _after_unreadable(self, epoch: bytes, seq: int) -> int:
        for span in self.journal.spans():
            if span.epoch == epoch:
                return max(seq + 1, span.oldest)
        return seq + 1

    def _next_want(self) -> Batch | None:
        while self._wants:
            want = self._wants.popleft()
            batch = self.journal.read(want.epoch, want.lo)
            if batch is None:
                kept = [span for span in self.journal.spans() if span.epoch == want.epoch]
                if kept and want.lo < kept[0].oldest <= want.hi:
                    self._wants.appendleft(want._replace(lo=kept[0].oldest))
                continue  # not kept any more: the next beacon says from where on it is
            newest = self.newest
            if newest is None or (want.epoch == newest.epoch and batch.header.last > newest.last):
                continue
            limit = want.limit - 1 if want.limit else 0
            if batch.header.last < want.hi and (limit or not want.limit):
                self._wants.appendleft(want._replace(lo=batch.header.last + 1, limit=limit))
            return batch
        return None
