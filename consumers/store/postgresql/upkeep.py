"""Keeping the store within its limits: whole days of records go at once, what belongs to them row by row.

Age is arrival time. A day that is dropped costs ingest nothing; it needs the table for itself for a moment, and when a
reader does not leave it soon the day waits for the next pass.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Final

from tabard import failpoints
from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.clock import Clock, SystemClock
from tabard.consumers.store.layout import FILES, QUARANTINED, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.overrun import CHUNK, Overrun, fault_of
from tabard.consumers.store.postgresql import partitions
from tabard.consumers.store.postgresql.partitions import DAY, Partition
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.writer import PostgresWriter
from tabard.consumers.store.room import kind_of

LOCK_SECONDS: Final = 0.2
"""How long a drop waits for readers, during which new readers and commits wait behind it."""
NODES_PER_STEP: Final = 200
_STREAMS: Final = (LOGS, SAMPLES, CONTROL)
_HELD: Final = "octet_length(header) + octet_length(signature) + octet_length(body)"

_log = logging.getLogger(__name__)


class PostgresUpkeep:
    """Keeps one store within its limits. `limits` may be replaced at any time."""

    def __init__(self, store: PostgresStore, limits: RetentionLimits, clock: Clock | None = None) -> None:
        self.limits = limits
        self._store = store
        self._clock = clock or SystemClock()
        self._due = float("-inf")
        self._pass: Iterator[None] | None = None
        self._over: Overrun = {}
        self._cut: dict[int, int] = {}
        """The beginning of the oldest day that size, not age, has left."""

    @property
    def fault(self) -> str | None:
        """Which limit is not held, and by how much; None while all are."""
        return fault_of(self.limits, self._over)

    def step(self, now: float) -> bool:
        """Do one piece of a pass; `now` is monotonic seconds. True: call again soon, there is more.

        Never raises for the store's sake: when it cannot be written the pass ends, and the next one tries again.
        """
        if now >= self._due:
            self._due = now + self.limits.every
            self._pass = self._work()
        elif self._pass is None:
            return False
        try:
            next(self._pass)
        except StopIteration:
            self._pass = None
        except StoreUnavailable as error:
            self._pass = None
            _log.warning("old rows stay for now: %s", error)
        return self._pass is not None

    def follow(self) -> None:
        """Nothing: whole days cannot go after every commit."""

    def _work(self) -> Iterator[None]:
        """One pass over everything that can grow; yields after each step."""
        jobs: list[Callable[[], object]] = []
        for stream in _STREAMS:
            self._make_ahead(stream)
            yield
            jobs += [
                functools.partial(self._drop, stream),
                functools.partial(self._delete_headers, stream),
                functools.partial(self._delete_gaps, stream),
            ]
        jobs += [functools.partial(self._delete_quarantined, kind) for kind in FILES]
        jobs += (self._next_heartbeats(), self._delete_versions)
        for job in jobs:
            while job():
                yield
            yield

    # --- days -----------------------------------------------------------------------------------------

    def _make_ahead(self, stream: int) -> None:
        today = partitions.day_of(self._clock.wall())
        with self._store.guarded(kind_of(stream)) as writer:
            for day in range(today, today + partitions.AHEAD + 1):
                partitions.ensure(writer.connection, ROW_TABLES[stream], day)

    def _drop(self, stream: int) -> bool:
        """Drop the oldest day of a stream if it has to go. False: it stays."""
        kind = kind_of(stream)
        with self._store.guarded(kind) as writer:
            days = partitions.existing(writer.connection, ROW_TABLES[stream])
            sizes = {day: _size(writer, day) for day in days}
            over = self._over[kind, stream] = sum(sizes.values()) - self.limits.size(stream)
            filled = [day for day in days if _has_rows(writer, day)]
            oldest = days[0]
            today = partitions.day_of(self._clock.wall())
            too_old = (oldest.day + 1) * DAY <= self._ago(self.limits.age(stream))
            too_much = over > 0 and bool(filled) and oldest < filled[-1]
            if (not too_old and not too_much) or oldest.day >= today:
                return False
            writer.begin()
            writer.run(f"SET LOCAL lock_timeout = '{round(LOCK_SECONDS * 1000)}ms'", ())
            writer.run(f"DROP TABLE {oldest.name}", ())
            failpoints.hit(CHUNK)
            writer.commit()
        self._store.forget_days(kind)
        self._over[kind, stream] = over - sizes[oldest]
        if not too_old:
            self._cut[stream] = (oldest.day + 1) * DAY
        return True

    def _ago(self, age: float) -> int:
        """The time `age` seconds ago; not before the beginning of time."""
        return max(0, self._clock.wall() - round(age * 1e9))

    # --- what goes with them --------------------------------------------------------------------------

    def _delete_headers(self, stream: int) -> bool:
        """Delete headers that are older than the oldest day left. False: none was."""
        with self._store.guarded(kind_of(stream)) as writer:
            oldest = partitions.existing(writer.connection, ROW_TABLES[stream])[0]
            return bool(
                writer.run(
                    "DELETE FROM batch WHERE (epoch_id, first) IN (SELECT epoch_id, first FROM batch"
                    " WHERE stream = %s AND arrived < %s ORDER BY arrived LIMIT %s)",
                    (stream, oldest.day * DAY, self.limits.budget_rows),
                )
            )

    def _delete_gaps(self, stream: int) -> bool:
        """Delete gaps that are too old, and those whose records on both sides had to go because of the size.

        A loss is not to become silence: whatever happens to the records of others, a gap keeps its age.
        """
        table = ROW_TABLES[stream]
        with self._store.guarded(kind_of(stream)) as writer:
            done = writer.run(
                "DELETE FROM gap WHERE id IN"
                " (SELECT id FROM gap WHERE stream = %s AND arrived < %s ORDER BY arrived LIMIT %s)",
                (stream, self._ago(self.limits.age(stream)), self.limits.budget_rows),
            )
            done += writer.run(
                "DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE stream = %s AND arrived < %s"  # noqa: S608
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq = gap.first - 1)"
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq > gap.first"
                " AND seq <= coalesce(gap.last + 1, gap.first)) ORDER BY arrived LIMIT %s)",
                (stream, self._cut.get(stream, 0), self.limits.budget_rows),
            )
        return bool(done)

    def _delete_quarantined(self, kind: FileKind) -> bool:
        """Delete the oldest quarantined batches beyond their own age and size, whatever records there are."""
        with self._store.guarded(kind) as writer:
            row = writer.one(f"SELECT coalesce(sum({_HELD}), 0)::bigint FROM quarantine", ())  # noqa: S608
            over = self._over[kind, QUARANTINED] = (int(row[0]) if row else 0) - self.limits.quarantine_bytes
            limit = self._ago(self.limits.quarantine_age)
            end = 0
            found = writer.all(
                f"SELECT id, arrived, {_HELD} FROM quarantine ORDER BY id LIMIT %s",  # noqa: S608
                (self.limits.budget_rows,),
            )
            for row_id, arrived, size in found:
                if over <= 0 and arrived >= limit:
                    break
                over -= size
                end = row_id
            return bool(end and writer.run("DELETE FROM quarantine WHERE id <= %s", (end,)))

    def _next_heartbeats(self) -> Callable[[], bool]:
        """What deletes heartbeats of a few nodes at each call; False after the last ones."""
        left: list[int] | None = None

        def step() -> bool:
            nonlocal left
            with self._store.guarded(RECORDS) as writer:
                if left is None:
                    left = [int(row[0]) for row in writer.all("SELECT id FROM node ORDER BY id", ())]
                writer.run(
                    "DELETE FROM heartbeat WHERE node_id = ANY(%s) AND minute < %s",
                    (left[:NODES_PER_STEP], self._ago(self.limits.samples_age)),
                )
                del left[:NODES_PER_STEP]
                return bool(left)

        return step

    def _delete_versions(self) -> bool:
        """Delete what ran too long ago, then the configurations that nothing speaks of any more."""
        most = self.limits.budget_rows
        with self._store.guarded(RECORDS) as writer:
            done = writer.run(
                "DELETE FROM deployment WHERE id IN (SELECT id FROM deployment WHERE last < %s LIMIT %s)",
                (self._ago(self.limits.versions_age), most),
            )
            done += writer.run(
                "DELETE FROM configuration WHERE id IN (SELECT id FROM configuration WHERE NOT EXISTS"
                " (SELECT 1 FROM deployment WHERE configuration_id = configuration.id) LIMIT %s)",
                (most,),
            )
        return bool(done)


def _size(writer: PostgresWriter, day: Partition) -> int:
    row = writer.one("SELECT pg_total_relation_size(to_regclass(%s))", (day.name,))
    return int(row[0] or 0) if row else 0


def _has_rows(writer: PostgresWriter, day: Partition) -> bool:
    row = writer.one(f"SELECT EXISTS (SELECT 1 FROM {day.name})", ())  # noqa: S608
    return bool(row and row[0])
