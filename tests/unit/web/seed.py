"""Fills a real store the way a recorder does, so that herald's tests read what herald will read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabard.brokers.delivery.ports import (
    Attested,
    Entry,
    EpochCursor,
    EpochWork,
    Gap,
    NodeKey,
    Presence,
    Withheld,
)
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import DATA, NO_DIGEST, OPEN, Batch, Header, body_digest, seal_batch
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.consumers.store.sqlite import SqliteStore
from tabard.records import LOG_FIELDS

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = 1_793_721_600_000_000_000
"""2026-11-03 16:00:00 UTC: the time at which these tests take place."""
BATCH = 200


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, wall: int = NOW) -> None:
        self.now = wall

    def monotonic(self) -> float:
        """Seconds."""
        return self.now / SECOND

    def wall(self) -> int:
        """Nanoseconds."""
        return self.now


def record(**values: Any) -> tuple[Any, ...]:
    """A positional log record of named values."""
    given = {"time": NOW, "severity": 9, "message": "hello", **values}
    return tuple(given.get(name) for name in LOG_FIELDS)


class Seeder:
    """Writes into one store, each node's streams in one epoch each."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.store = SqliteStore.open(path)
        self._cursors: dict[tuple[NodeKey, int], EpochCursor] = {}

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def logs(
        self,
        records: Iterable[tuple[Any, ...]],
        *,
        node: str = "web1",
        zone: str = "hq",
        arrived: int | None = None,
        origin: str = "uid 1000",
    ) -> None:
        """Store log records, in order."""
        self._rows(NodeKey(node, zone), LOGS, list(records), arrived, origin)

    def samples(
        self, samples: Iterable[tuple[int, str, Mapping[str, Any]]], *, node: str = "web1", zone: str = "hq"
    ) -> None:
        """Store ``(time, kind, data)`` samples, in order."""
        self._rows(NodeKey(node, zone), SAMPLES, list(samples), None, "agent")

    def gap(
        self,
        count: int,
        *,
        node: str = "web1",
        zone: str = "hq",
        kind: str = "gap",
        reason: str = "the journal was full",
        detail: str = "",
        at_least: bool = False,
        arrived: int = NOW,
    ) -> None:
        """Store the loss of the next ``count`` log records."""
        key = NodeKey(node, zone)
        cursor = self._cursor(key, LOGS)
        first, last = cursor.ranges.high + 1, cursor.ranges.high + count
        cursor.ranges.add(Range(first, last, b"", b""))
        gap = Gap(cursor.epoch, first, last, count, at_least, kind, reason, detail)
        self.store.commit([EpochWork(key, LOGS, cursor, gaps=[gap])], arrived)

    def poison(
        self, count: int, *, node: str = "web1", zone: str = "hq", reason: str = "bytes are not valid msgpack"
    ) -> None:
        """Hand over ``count`` log records in a batch that nobody can read."""
        key = NodeKey(node, zone)
        cursor = self._cursor(key, LOGS)
        first = cursor.ranges.high + 1
        batch = _batch(LOGS, DATA, cursor, first, count, b"\xc1")
        cursor.ranges.add(Range(first, batch.header.last, batch.header.previous, batch.digest))
        self.store.commit([EpochWork(key, LOGS, cursor, [Entry(batch, poison=reason)])], NOW)

    def policed(
        self,
        records: Sequence[tuple[Any, ...]],
        plan: str,
        *,
        node: str = "web1",
        zone: str = "hq",
        policy: str = "edge@2",
        stream: int = LOGS,
    ) -> None:
        """Store a batch of records of which a policy let pass what `plan` has a dot for, withheld what it has a ``#`` for."""
        key, signed = NodeKey(node, zone), f"{policy}, signed".encode()
        attested = Attested("hq", policy, "hq1", signed, b"proof of " + signed)
        cursor = self._cursor(key, stream)
        first = cursor.ranges.high + 1
        there = [number for number, mark in enumerate(plan) if mark == "."]
        groups = [("test", None, "uid 1000", [records[number] for number in there])] if there else []
        batch = _batch(stream, DATA, cursor, first, len(plan), pack(groups))
        cursor.ranges.add(Range(first, batch.header.last, batch.header.previous, batch.digest))
        runs = [found.span() for found in re.finditer("#+", plan)]
        withheld = tuple(Withheld(first + start, end - start, policy) for start, end in runs)
        seqs = tuple(first + number for number in there)
        entry = Entry(batch, groups, attested=(attested,), withheld=withheld, seqs=seqs)
        self.store.commit([EpochWork(key, stream, cursor, [entry])], NOW)

    def beacon(
        self,
        *,
        node: str = "web1",
        zone: str = "hq",
        heard: int = NOW,
        wall: int | None = None,
        state: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Note that a node was heard."""
        told = {"version": "0.1.0", "system": "Debian GNU/Linux 12"} if facts is None else facts
        self.store.presence([Presence(NodeKey(node, zone), heard, wall or heard, 10.0, state or {}, told)])

    def _rows(self, key: NodeKey, stream: int, rows: Sequence[Any], arrived: int | None, origin: str) -> None:
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            cursor = self._cursor(key, stream)
            groups = [("test", None, origin, part)]
            first = cursor.ranges.high + 1
            batch = _batch(stream, DATA, cursor, first, len(part), pack(groups))
            cursor.ranges.add(Range(first, batch.header.last, batch.header.previous, batch.digest))
            when = arrived if arrived is not None else part[-1][0] + 4_000_000
            self.store.commit([EpochWork(key, stream, cursor, [Entry(batch, groups)])], when)

    def _cursor(self, key: NodeKey, stream: int) -> EpochCursor:
        cursor = self._cursors.get((key, stream))
        if cursor is None:
            epoch = hashlib.blake2s(f"{key}{stream}".encode(), digest_size=16).digest()
            cursor = EpochCursor(epoch, 0, Ranges(), opened=True)
            batch = _batch(stream, OPEN, cursor, 1, 1, pack({"reason": "start"}))
            cursor.ranges.add(Range(1, 1, batch.header.previous, batch.digest))
            self.store.commit([EpochWork(key, stream, cursor, [Entry(batch)])], NOW)
            self._cursors[key, stream] = cursor
        return cursor


def _batch(stream: int, kind: int, cursor: EpochCursor, first: int, count: int, body: bytes) -> Batch:
    items = cursor.ranges.items
    previous = (items[-1].after or NO_DIGEST) if items else NO_DIGEST
    header = Header(stream, kind, cursor.epoch, b"", first, count, body_digest(body), previous)
    return seal_batch(header, body, lambda _head: b"")
