"""The node's side of one (sink, stream): what may be sent, and which batch is next.

A sender never resends unasked. It sends live from the position that the sink named, and what the sink
asked for, one of each in turn, as far as the credit goes and the lease lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from tabard.brokers.delivery.history import Verdict, judge
from tabard.brokers.delivery.lately import Lately
from tabard.brokers.delivery.ports import EpochSpan, StreamJournal
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import Batch
from tabard.brokers.wire.hop import Cap
from tabard.brokers.wire.messages import NO_SESSION, CursorStream, Envelope, Want


class Sender:
    """Live position, asked ranges and credit of one stream towards one sink."""

    def __init__(self, journal: StreamJournal) -> None:
        self.journal = journal
        self.cursors: dict[bytes, Ranges] = {}
        """What the sink has stored of what this journal holds, by epoch; never kept over a session."""
        self.settled: frozenset[bytes] = frozenset()
        """The epochs that are stored to their end: the sink needs not be told of them any more."""
        self.foreign: frozenset[bytes] = frozenset()
        """The epochs of which the sink has another history than this journal."""
        self._proven: set[tuple[bytes, Range]] = set()
        self._lately = Lately()
        self.own: tuple[bytes, ...] = ()
        """Digests that the last cursor named, of batches that were sent here and let go of, with others behind them."""
        self.session = NO_SESSION
        self.heard = 0
        self.sent = 0
        self.sent_bytes = 0
        self._credit = 0
        self._credit_bytes = 0
        self._lease_until = 0.0
        self._cap: int | None = None
        """Bytes that a link on the way lets it send in the session; None: it is not said, or nothing is known."""
        self._asked = False
        """Whether a broker on the way wants to hear how much was sent before it lets anything pass."""
        self._live: tuple[bytes, int] | None = None
        self._live_heard: tuple[bytes, int] | None = None
        """The live position that the sink named last: only another one is taken over."""
        self._wants: deque[Want] = deque()
        self._turn_of_wants = False

    def begin(self, session: bytes) -> None:
        """A new session of the sink: everything sent before counts for nothing."""
        self.session = session
        self.heard = self.sent = self.sent_bytes = 0
        self._credit = self._credit_bytes = 0
        self.limit(None)
        self._live = self._live_heard = None
        self._wants.clear()
        self.cursors = {}
        self.own = ()
        self.settled = self.foreign = frozenset()

    def hear(self, now: float, number: int, part: CursorStream) -> None:
        """Take over what a cursor message with `number` says of this stream."""
        self.heard = number
        self._compare(part.cursors)
        self._credit = part.credit
        self._credit_bytes = part.credit_bytes
        self._lease_until = now + part.lease
        if part.live != self._live_heard:
            self._live = self._live_heard = part.live
        known = {(want.epoch, want.lo) for want in self._wants}
        self._wants.extend(want for want in part.wants if (want.epoch, want.lo) not in known)

    def limit(self, cap: Cap | None, *, again: bool = False) -> None:
        """What the links on the way let pass of this stream, as the last cursor came with it; None: all.

        `again`: it came with that cursor once more, so it can only be more, and what is less is an older one.
        """
        if again and cap is not None and cap.bytes is not None and self._cap is not None:
            cap = cap._replace(bytes=max(cap.bytes, self._cap))
        self._cap = None if cap is None else cap.bytes
        self._asked = cap is not None and cap.bytes is None

    def _compare(self, cursors: Sequence[tuple[bytes, Ranges]]) -> None:
        """Believe of `cursors` only what this journal can have earned: the rest must not be let go of."""
        spans = {span.epoch: span for span in self.journal.spans()}
        self.cursors = {epoch: self.cursors[epoch] for epoch in self.settled if epoch in spans}
        proven: set[tuple[bytes, Range]] = set()
        foreign: set[bytes] = set()
        own: list[bytes] = []
        for epoch, ranges in cursors:
            if epoch not in spans:
                continue
            for item in ranges:
                if item.hi + 1 < spans[epoch].oldest and item.after and item.after in self._lately:
                    own.append(item.after)
                known = (epoch, item) in self._proven
                verdict = Verdict.OURS if known else judge(self.journal, spans[epoch], item)
                if verdict is Verdict.OURS:
                    proven.add((epoch, item))
                elif verdict is Verdict.FOREIGN:
                    foreign.add(epoch)
            # Of an epoch with two histories all is kept until the sink has heard of both, and says so.
            ours = () if epoch in foreign else (item for item in ranges if (epoch, item) in proven)
            self.cursors[epoch] = Ranges(ours)
        self._proven, self.foreign, self.own = proven, frozenset(foreign), tuple(own)
        self.settled = frozenset(span.epoch for span in list(spans.values())[:-1] if self._is_settled(span))

    def _is_settled(self, span: EpochSpan) -> bool:
        cursor = self.cursors.get(span.epoch)
        return (
            cursor is not None and span.epoch not in self.foreign and not cursor.holes(span.last, span.oldest)
        )

    def unsettled(self) -> list[EpochSpan]:
        """The epochs that the sink must hear of, oldest first; the last one is the one being written."""
        return [span for span in self.journal.spans() if span.epoch not in self.settled]

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
        return not self._capped and self._has_credit(now)

    def _has_credit(self, now: float) -> bool:
        return self.sent < self._credit and self.sent_bytes < self._credit_bytes and now < self._lease_until

    @property
    def _capped(self) -> bool:
        """Whether a link on the way lets no more pass for now."""
        return self._asked or (self._cap is not None and self.sent_bytes >= self._cap)

    def is_stuck(self, now: float) -> bool:
        """Whether there is something to send, and the sink, or a broker on the way, must hear so to let it.

        A link that lets no more pass for now lets more pass by itself.
        """
        return self.has_work() and (self._asked or not self._has_credit(now))

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
        self._lately.note(batch.digest)
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
            if batch.header.last < want.hi:
                self._wants.appendleft(want._replace(lo=batch.header.last + 1))
            return batch
        return None
