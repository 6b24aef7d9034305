"""Journals and chains of batches in memory, and both ends of the protocol with nothing between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Any

from tabard.brokers.delivery.ports import EpochSpan, NodeKey
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.batch import (
    DATA,
    GAP,
    NO_DIGEST,
    OPEN,
    Batch,
    Header,
    body_digest,
    seal_batch,
)
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.points import Point, encode_points, mark_of
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import JournalError

NODE = NodeKey("web1", "hq")
NOON = 1_700_000_000_000_000_000
EPOCH = b"a" * 16


def opening(previous: bytes | None = None, last: int = 0, digest: bytes = NO_DIGEST, **facts: Any) -> bytes:
    """The body of an opening."""
    chain = {"previous": previous, "previous_last": last, "previous_digest": digest}
    return pack({**chain, "reason": "start", "clean": True, "doubt": None, **facts})


def records(count: int, start: int = 0) -> bytes:
    """A body of samples, which are the same to the core as anything else."""
    return pack([("test", start, "test", [[NOON, "n", {"n": start + n}] for n in range(count)])])


class MemoryJournal:
    """A stream's journal that is a list of batches; everything is durable at once."""

    def __init__(self, stream: int = LOGS, epoch: bytes = EPOCH) -> None:
        self.stream = stream
        self.batches: dict[bytes, list[Batch]] = {}
        self.released: list[Mapping[bytes, Ranges]] = []
        self.stops: dict[bytes, Collection[int]] = {}
        self.doubts: list[str] = []
        self.refusing = False
        self.begin(epoch)

    def begin(self, epoch: bytes, **facts: Any) -> None:
        """Begin an epoch that follows the newest one."""
        spans = self.spans()
        tip = (spans[-1].epoch, spans[-1].last, spans[-1].digest) if spans else (None, 0, NO_DIGEST)
        self.batches[epoch] = []
        self._add(epoch, OPEN, 1, opening(*tip, **facts))

    def add(self, count: int = 1, body: bytes | None = None) -> Batch:
        """Append a batch to the newest epoch."""
        epoch = next(reversed(self.batches))
        return self._add(
            epoch, DATA, count, records(count, len(self.batches[epoch])) if body is None else body
        )

    def _add(self, epoch: bytes, kind: int, count: int, body: bytes) -> Batch:
        before = self.batches[epoch][-1] if self.batches[epoch] else None
        first = before.header.last + 1 if before else 1
        previous = before.digest if before else NO_DIGEST
        header = Header(self.stream, kind, epoch, b"", first, count, body_digest(body), previous)
        batch = seal_batch(header, body, OpenSeal().sign)
        self.batches[epoch].append(batch)
        return batch

    def drop(self, epoch: bytes, batches: int) -> None:
        """Let go of the oldest."""
        del self.batches[epoch][:batches]

    def gap(
        self, epoch: bytes, place: int, number: int, *, at_least: bool = False, points: bool = False
    ) -> Batch:
        """Put a gap in the place of `number` batches from `place` on; with `points` it names where each ended."""
        gone = self.batches[epoch][place : place + number]
        first, width = gone[0].header.first, gone[-1].header.last - gone[0].header.first + 1
        opened = gone[0].body if gone[0].header.kind == OPEN else b""
        ends = [Point(batch.header.last, mark_of(batch.digest)) for batch in gone[:-1]] if points else []
        body = pack(
            {
                "reason": "quota",
                "count": width,
                "at_least": at_least,
                "last_digest": gone[-1].digest,
                "open": opened,
                "points": encode_points(ends),
            }
        )
        header = Header(
            self.stream, GAP, epoch, b"", first, width, body_digest(body), gone[0].header.previous
        )
        gap = seal_batch(header, body, OpenSeal().sign)
        self.batches[epoch][place : place + number] = [gap]
        return gap

    # --- the port --------------------------------------------------------------------------

    def spans(self) -> Sequence[EpochSpan]:
        """What is kept."""
        return [
            EpochSpan(epoch, batches[0].header.first, batches[-1].header.last, batches[-1].digest)
            for epoch, batches in self.batches.items()
            if batches
        ]

    def read(self, epoch: bytes, seq: int) -> Batch | None:
        """The batch that holds `seq`."""
        for batch in self.batches.get(epoch, ()):
            if batch.header.first <= seq <= batch.header.last:
                return batch
        return None

    def release(
        self, cursors: Mapping[bytes, Ranges], stops: Mapping[bytes, Collection[int]] | None = None
    ) -> None:
        """Remembered, for the test to look at."""
        self.released.append(dict(cursors))
        self.stops = dict(stops or {})

    def renew(self, doubt: str) -> None:
        """Begin another epoch, unless told to refuse."""
        if self.refusing:
            raise JournalError("the disk refuses")
        self.doubts.append(doubt)
        self.begin(bytes([len(self.batches)]) * 16, reason="fork", doubt=doubt)


class Ends:
    """A node and a sink that hear each other at once; `now` is theirs."""

    def __init__(self, *journals: MemoryJournal, budget: int = 60, store: SqliteStore | None = None) -> None:
        self.now = 100.0
        self.rng = Random(1)
        self.journals = journals or (MemoryJournal(),)
        self.store = store or SqliteStore.memory()
        self.budget = budget
        self.lost: list[Message] = []
        """What was said while `losing`."""
        self.losing = False
        self.restart_node()
        self.restart_sink()

    def restart_node(self) -> None:
        """A new process on the same journals."""
        streams = {journal.stream: journal for journal in self.journals}
        self.node = Publisher(NODE, ["main"], streams, OpenSeal(), self.rng.randbytes)

    def restart_sink(self) -> None:
        """A new process on the same store."""
        self.sink = Sink("main", self.store, OpenSeal(), self.rng.randbytes, budget=self.budget)

    @property
    def wall(self) -> int:
        """Nanoseconds."""
        return NOON + int(self.now * 1e9)

    def up(self) -> list[Message]:
        """What the node says now; the sink hears it, unless it is to be lost."""
        messages = self.node.outgoing(self.now, self.wall)
        if self.losing:
            self.lost += messages
        else:
            for message in messages:
                self.sink.receive(self.now, self.wall, message)
        return messages

    def down(self) -> list[Message]:
        """Let the sink commit and answer; the node hears it."""
        self.sink.flush(self.now, self.wall)
        messages = self.sink.outgoing(self.now)
        for message in messages:
            self.node.receive(self.now, message)
        return messages

    def settle(self, seconds: float = 30.0) -> None:
        """Let both talk for a while."""
        end = self.now + seconds
        while self.now < end:
            self.up()
            self.down()
            self.now += 0.25

    def ranges(self, epoch: bytes = EPOCH, stream: int = LOGS) -> list[tuple[int, int]]:
        """What the store has of an epoch."""
        cursor = self.store.load(NODE, stream, [epoch]).get(epoch)
        return [(item.lo, item.hi) for item in cursor.ranges] if cursor else []
