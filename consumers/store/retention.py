"""Deleting what is too old or too much, in steps so small that ingest does not notice.

Age is arrival time: the clock of a node can neither delete its records early nor keep them for ever. Rows go
oldest first, by id, on the writer's own connection between two commits; a step that took too long makes the next
one smaller. Pages that become free are used again by new rows; only when a good part of the file is free, as
after a limit was lowered, is the file itself shortened.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from tabard import failpoints
from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.clock import Clock, SystemClock
from tabard.consumers.store.layout import RECORDS, ROW_TABLES
from tabard.consumers.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from tabard.settings import Settings

CHUNK: Final = failpoints.declare("store.retention_chunk", "about to commit the deletion of some old rows")

STEP_SECONDS: Final = 0.005
"""What a step should take at most; the number of rows adapts to it."""
FEWEST_ROWS: Final = 50
FREE_SHARE: Final = 0.25
"""Share of free pages from which on the file is shortened."""
FREE_BYTES: Final = 64 * 2**20
"""Free bytes below which it never is: the next minutes' rows will use them."""
SAMPLE_OVERHEAD: Final = 100
"""Bytes a sample takes beside its data: its other columns, and its share of the indexes."""
NODES_PER_STEP: Final = 200

_log = logging.getLogger(__name__)


class RetentionLimits(NamedTuple):
    """What may stay. The first limit that is reached counts."""

    logs_age: float
    """Seconds since arrival."""
    logs_bytes: int
    samples_age: float
    samples_bytes: int
    every: float
    """Seconds between two looks."""
    budget_rows: int
    """Most rows deleted in one step."""
    versions_age: float = 3650 * 86_400.0
    """Seconds since its last start after which a stretch of a service's history is forgotten."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits in `settings`."""
        return cls(
            logs_age=settings.seconds("retention.logs_age"),
            logs_bytes=settings.bytes("retention.logs_bytes"),
            samples_age=settings.seconds("retention.samples_age"),
            samples_bytes=settings.bytes("retention.samples_bytes"),
            every=settings.seconds("retention.every"),
            budget_rows=settings.int("retention.budget_rows"),
            versions_age=settings.seconds("retention.versions_age"),
        )


class Retention:
    """Keeps one store within its limits. `limits` may be replaced at any time."""

    def __init__(self, store: SqliteStore, limits: RetentionLimits, clock: Clock | None = None) -> None:
        self.limits = limits
        self._store = store
        self._clock = clock or SystemClock()
        self._rows = FEWEST_ROWS * 4
        self._due = float("-inf")
        self._pass: Iterator[None] | None = None

    def step(self, now: float) -> bool:
        """Do a few milliseconds of work; `now` is monotonic seconds. True: call again soon, there is more.

        Never raises for the store's sake: when it cannot be written the pass ends, and the next one tries again.
        """
        if self._pass is None:
            if now < self._due:
                return False
            self._due = now + self.limits.every
            self._pass = self._work()
        try:
            next(self._pass)
        except StopIteration:
            self._pass = None
        except StoreUnavailable as error:
            _log.warning("old rows stay for now: %s", error)
            self._pass = None
        return self._pass is not None

    def _work(self) -> Iterator[None]:
        """One pass over everything that can grow; yields after each step."""
        for stream in (LOGS, SAMPLES):
            while self._delete_rows(stream):
                yield
            for table in ("batch", "gap", "quarantine"):
                while self._delete_companions(stream, table):
                    yield
        nodes = self._node_ids()
        for at in range(0, len(nodes), NODES_PER_STEP):
            self._delete_heartbeats(nodes[at : at + NODES_PER_STEP])
            yield
        while self._delete_versions():
            yield
        while self._shorten():
            yield

    def _delete_rows(self, stream: int) -> bool:
        """Delete the oldest rows of a stream, if they have to go. False: none had to."""
        table = ROW_TABLES[stream]
        started = time.perf_counter()
        with self._store.upkeep(RECORDS) as connection:
            # One look at each end of the index: asked for together, SQLite would read the whole table.
            ends = f"SELECT (SELECT min(id) FROM {table}), (SELECT max(id) FROM {table})"  # noqa: S608
            first, last = connection.execute(ends).fetchone()
            # The newest row always stays: it keeps SQLite from giving its id to the next one.
            if first is None or first == last:
                return False
            end = (
                last
                if self._is_too_big(connection, stream)
                else self._first_kept(connection, stream, first, last)
            )
            end = min(end, first + min(self._rows, self.limits.budget_rows))
            if end <= first:
                return False
            size = (
                0
                if stream == LOGS
                else connection.execute(
                    f"SELECT coalesce(sum(length(data)), 0) FROM {table} WHERE id < ?",  # noqa: S608
                    (end,),
                ).fetchone()[0]
            )
            done = connection.execute(f"DELETE FROM {table} WHERE id < ?", (end,)).rowcount  # noqa: S608
            connection.execute(
                "UPDATE usage SET rows = max(0, rows - ?), bytes = max(0, bytes - ?) WHERE stream = ?",
                (done, size, stream),
            )
            failpoints.hit(CHUNK)
        self._adapt(time.perf_counter() - started)
        return True

    def _ago(self, age: float) -> int:
        """The time `age` seconds ago; not before the beginning of time."""
        return max(0, self._clock.wall() - round(age * 1e9))

    def _adapt(self, took: float) -> None:
        if took > STEP_SECONDS:
            self._rows = max(FEWEST_ROWS, self._rows // 2)
        elif took < STEP_SECONDS / 2:
            self._rows = min(self._rows * 2, max(self.limits.budget_rows, FEWEST_ROWS))

    def _is_too_big(self, connection: sqlite3.Connection, stream: int) -> bool:
        """Whether a stream takes more than its share of the file. Logs are what is not samples."""
        row = connection.execute("SELECT rows, bytes FROM usage WHERE stream = ?", (SAMPLES,)).fetchone()
        samples = 0 if row is None else row[1] + row[0] * SAMPLE_OVERHEAD
        if stream == SAMPLES:
            return bool(samples > self.limits.samples_bytes)
        pages, free, size = (
            _pragma(connection, name) for name in ("page_count", "freelist_count", "page_size")
        )
        return bool((pages - free) * size - samples > self.limits.logs_bytes)

    def _first_kept(self, connection: sqlite3.Connection, stream: int, first: int, last: int) -> int:
        """The id up to which rows are too old, found by halving: ids follow arrival."""
        age = self.limits.logs_age if stream == LOGS else self.limits.samples_age
        limit = self._ago(age)
        arrived = f"SELECT id, arrived FROM {ROW_TABLES[stream]} WHERE id >= ? ORDER BY id LIMIT 1"  # noqa: S608
        low, high = first, last
        while low < high:
            middle = (low + high) // 2
            row_id, time_of = connection.execute(arrived, (middle,)).fetchone()
            if time_of < limit:
                low = row_id + 1
            else:
                high = middle
        return min(low, last)

    def _delete_companions(self, stream: int, table: str) -> bool:
        """Delete headers, gaps or quarantined batches that are older than the oldest row left."""
        key = "epoch_id, first" if table == "batch" else "id"
        with self._store.upkeep(RECORDS) as connection:
            oldest = f"SELECT id, arrived FROM {ROW_TABLES[stream]} ORDER BY id LIMIT 1"  # noqa: S608
            row = connection.execute(oldest).fetchone()
            if row is None or row[0] == 1:
                # No row was ever deleted: a loss that was stored before the first row must not vanish.
                return False
            limit = min(row[1], self._clock.wall())
            done = connection.execute(
                f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table}"  # noqa: S608
                " WHERE stream = ? AND arrived < ? ORDER BY arrived LIMIT ?)",
                (stream, limit, self._rows),
            ).rowcount
        return done > 0

    def _node_ids(self) -> list[int]:
        with self._store.upkeep(RECORDS) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM node ORDER BY id")]

    def _delete_heartbeats(self, nodes: list[int]) -> None:
        limit = self._ago(self.limits.samples_age)
        with self._store.upkeep(RECORDS) as connection:
            connection.executemany(
                "DELETE FROM heartbeat WHERE node_id = ? AND minute < ?", [(node, limit) for node in nodes]
            )

    def _delete_versions(self) -> bool:
        """Delete what ran too long ago, then the configurations that nothing speaks of any more."""
        with self._store.upkeep(RECORDS) as connection:
            done = connection.execute(
                "DELETE FROM deployment WHERE id IN (SELECT id FROM deployment WHERE last < ? LIMIT ?)",
                (self._ago(self.limits.versions_age), self._rows),
            ).rowcount
            done += connection.execute(
                "DELETE FROM configuration WHERE id IN (SELECT id FROM configuration WHERE NOT EXISTS"
                " (SELECT 1 FROM deployment WHERE configuration_id = configuration.id) LIMIT ?)",
                (self._rows,),
            ).rowcount
        return done > 0

    def _shorten(self) -> bool:
        """Give free pages at the end of the file back to the file system. False: there is nothing worth it."""
        with self._store.upkeep(RECORDS) as connection:
            pages, free, size = (
                _pragma(connection, name) for name in ("page_count", "freelist_count", "page_size")
            )
            if free * size < FREE_BYTES or free < pages * FREE_SHARE:
                return False
            started = time.perf_counter()
            connection.execute(f"PRAGMA incremental_vacuum({max(FEWEST_ROWS, self._rows // 8)})").fetchall()
        self._adapt(time.perf_counter() - started)
        return True


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
