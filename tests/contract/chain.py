"""Epochs for storage tests: batches whose digests form a chain, and the work a sink would make of them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

from tabard.brokers.delivery.ports import Entry, EpochCursor, EpochWork, Gap, NodeKey
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import DATA, NO_DIGEST, OPEN, Batch, Header, body_digest, seal_batch
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.streams import LOGS
from tabard.records import LOG_FIELDS

NOON = 1_793_707_200_000_000_000
"""2026-11-03 12:00:00 UTC."""
SECOND = 1_000_000_000
WEB = NodeKey("web1", "hq/dmz")
MAIL = NodeKey("mail1", "hq")


def log(message: Any = "hello", **values: Any) -> tuple[Any, ...]:
    """A positional log record."""
    given = {"time": NOON, "severity": 9, "message": message, **values}
    return tuple(given.get(name) for name in LOG_FIELDS)


def logs(count: int, start: int = 0) -> list[tuple[Any, ...]]:
    """Numbered log records, a second apart."""
    return [log(f"record {number}", time=NOON + number * SECOND) for number in range(start, start + count)]


class Chain:
    """One epoch of one stream of one node, and the sink's cursor in it."""

    def __init__(self, key: NodeKey = WEB, stream: int = LOGS, name: str = "a") -> None:
        self.key = key
        self.stream = stream
        self.epoch = hashlib.sha256(f"{key} {stream} {name}".encode()).digest()[:16]
        self.digest = NO_DIGEST
        self.next = 1
        self.cursor = EpochCursor(self.epoch, 0, Ranges())

    def cut(
        self,
        records: Sequence[Any] = (),
        *,
        kind: int = DATA,
        count: int | None = None,
        body: bytes | None = None,
    ) -> tuple[Batch, list[Any]]:
        """The next batch of this epoch, and the groups in it."""
        groups = [("source", 1, "uid 1000", tuple(records))]
        if body is None:
            try:
                body = pack(groups)
            except (UnicodeEncodeError, OverflowError, TypeError):
                body = repr(groups).encode("utf-8", "replace")
        first, count = self.next, len(records) if count is None else count
        header = Header(self.stream, kind, self.epoch, b"", first, count, body_digest(body), self.digest)
        batch = seal_batch(header, body, lambda head: b"signed " + head[:4])
        self.digest = batch.digest
        self.next = batch.header.last + 1
        return batch, groups

    def take(self, batch: Batch) -> None:
        """Advance the cursor over a batch."""
        header = batch.header
        self.cursor.ranges.add(Range(header.first, header.last, header.previous, batch.digest))

    def work(self, *parts: Sequence[Any], gaps: Sequence[Gap] = ()) -> EpochWork:
        """What stores each part as a batch of its own."""
        entries = []
        for records in parts:
            batch, groups = self.cut(records)
            self.take(batch)
            entries.append(Entry(batch, groups))
        return EpochWork(self.key, self.stream, self.cursor, entries, list(gaps))

    def open(self, previous: bytes | None = None, previous_last: int = 0) -> EpochWork:
        """What stores the first record of the epoch."""
        batch, _groups = self.cut(kind=OPEN, count=1)
        self.take(batch)
        self.cursor.opened = True
        self.cursor.previous, self.cursor.previous_last = previous, previous_last
        return EpochWork(self.key, self.stream, self.cursor, [Entry(batch)])

    def lose(self, count: int, reason: str = "quota", kind: str = "gap") -> EpochWork:
        """What stores the loss of the next `count` records."""
        first, last = self.next, self.next + count - 1
        self.next = last + 1
        self.cursor.ranges.add(Range(first, last, b"", b""))
        gap = Gap(self.epoch, first, last, count, False, kind, reason)
        return EpochWork(self.key, self.stream, self.cursor, gaps=[gap])


def again(work: EpochWork) -> EpochWork:
    """The same work as another recorder would hold it: nothing that a commit changes in one is seen by the other."""
    return copy.deepcopy(work)
