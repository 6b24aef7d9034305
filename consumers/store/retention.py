"""Deleting what is too old or too much, in steps so small that ingest does not notice.

Age is arrival time: the clock of a node can neither delete its records early nor keep them for ever. Rows go
oldest first, by id, on the writer's own connection between two commits; a step that took too long makes the next
one smaller. What comes in fast cannot outrun it: over a limit, each commit is followed by the deletion of more
than it stored. Pages that become free are used again by new rows; only when a good part of the file is free, as
after a limit was lowered, is the file itself shortened.
"""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from tabard import failpoints
from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.clock import Clock, SystemClock
from tabard.consumers.store import indexing
from tabard.consumers.store.forgetting import Forgetting
from tabard.consumers.store.layout import FILES, QUARANTINED, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.overrun import CHUNK, Overrun, fault_of
from tabard.consumers.store.reserve import RESERVE_BYTES
from tabard.consumers.store.room import ends_of, kind_of, space, uncount
from tabard.consumers.store.sqlite import SqliteStore

STEP_SECONDS: Final = 0.005
"""What a step should take at most; the number of rows adapts to it."""
FEWEST_ROWS: Final = 50
FREE_SHARE: Final = 0.25
"""Share of free pages from which on the file is shortened."""
FREE_BYTES: Final = 64 * 2**20
"""Free bytes below which it never is: the next minutes' rows will use them."""
ROW_OVERHEAD: Final = 100
"""Bytes a sample takes beside its data, or a batch in quarantine: its other columns, and its share of the indexes."""
NODES_PER_STEP: Final = 200
FOLLOW_AT: Final = 256
"""Stored rows that are followed by deletions at once; fewer wait for the next commit, or for the pass."""
FOLLOW_MOST: Final = 16
"""Most rows deleted after a commit for each one that it stored."""
BODIES_BYTES: Final = 4 * 2**20
"""Most bytes of quarantined batches deleted in one step."""

ROWS_BY_SIZE: Final = (LOGS, SAMPLES, CONTROL)

_log = logging.getLogger(__name__)


class Retention:
    """Keeps one store within its limits. `limits` may be replaced at any time."""

    def __init__(self, store: SqliteStore, limits: RetentionLimits, clock: Clock | None = None) -> None:
        self.limits = limits
        self._store = store
        self._clock = clock or SystemClock()
        self._rows = FEWEST_ROWS * 4
        self._due = float("-inf")
        self._pass: Iterator[None] | None = None
        self._rescuing = False
        self._forgetting = {kind: Forgetting(store, kind) for kind in FILES}
        self._stored: Counter[int] = Counter()
        """Rows stored since the last deletion that followed a commit."""
        self._over: Overrun = {}
        self._cut: dict[int, int] = {}
        """Arrival of the oldest row that size, not age, has left."""

    @property
    def fault(self) -> str | None:
        """Which limit is not held, and by how much; None while all are."""
        return fault_of(self.limits, self._over)

    def step(self, now: float) -> bool:
        """Do a few milliseconds of work; `now` is monotonic seconds. True: call again soon, there is more.

        Never raises for the store's sake: when it cannot be written the pass ends, and the next one tries again.
        """
        if now >= self._due:  # a pass that ingest keeps busy begins anew too: nothing is to wait for its end
            self._due = now + self.limits.every
            if self._pass is None or not self._rescuing:
                self._pass = self._work()
        elif self._pass is None:
            return False
        try:
            next(self._pass)
        except StopIteration:
            self._pass = self._work() if self._rescuing else None
            self._rescuing = False
        except StoreUnavailable as error:
            self._pass = None
            if self._store.begin_rescue():
                _log.warning("the disk is full: old rows are deleted with the room of the reserve")
                self._rescuing = True
                self._pass = self._win_room()
            else:
                self._rescuing = False
                _log.warning("old rows stay for now: %s", error)
        return self._pass is not None

    def follow(self) -> None:
        """After a commit: over a limit, delete half as much again as was stored since the last time.

        More when the old rows were smaller than the new ones, so that in the end the store does not grow. Then the
        store may see to its write-ahead log. Never raises for the store's sake.
        """
        self._stored.update(self._store.take_stored())
        for stream in ROWS_BY_SIZE:
            stored = self._stored[stream]
            if stored < FOLLOW_AT:
                continue
            self._stored[stream] = 0
            try:
                self._follow(stream, stored)
            except StoreUnavailable as error:
                _log.warning("old rows stay for now: %s", error)
                break
        self._store.after_commit()

    def _follow(self, stream: int, stored: int) -> None:
        kind = kind_of(stream)
        before = self._over.get((kind, stream), 0)
        with self._store.looking(kind) as connection:
            over = self._look(connection, stream)
        done = 0
        while over > 0 and (done < stored * 1.5 or over > before) and done < stored * FOLLOW_MOST:
            rows = self._delete_rows(stream, self.limits.budget_rows, by_age=False)
            if not rows:
                break
            done += rows
            over = self._over[kind, stream]
        if done:
            self._delete_headers(stream, self.limits.budget_rows)

    def _work(self) -> Iterator[None]:
        """One pass over everything that can grow, in turns; yields after each step."""
        self._store.keep_reserve()
        jobs: list[Callable[[], object]] = []
        for kind in FILES:
            jobs += [functools.partial(self._delete_of, stream) for stream in sorted(kind.streams)]
            jobs.append(functools.partial(self._delete_quarantined, kind))
            if self._forgetting[kind].begin(self._due):
                limit = self._ago(self.limits.longest(kind))
                jobs.append(functools.partial(self._forgetting[kind].step, limit))
        jobs += (self._next_heartbeats(), self._delete_versions)
        while jobs:
            for job in tuple(jobs):
                if not job():
                    jobs.remove(job)
                yield
        while self._shorten():
            yield

    def _win_room(self) -> Iterator[None]:
        """On a full disk: delete what has to go until there is room for the reserve, and as much again.

        Each step is small, and its write-ahead log is given back before the next: all of it happens in the reserve.
        """
        try:
            self._rows = FEWEST_ROWS
            deleting = True
            while deleting and self._free()[1] < 2 * RESERVE_BYTES:
                deleting = any(
                    [self._delete_of(LOGS), self._delete_of(SAMPLES), self._delete_quarantined(RECORDS)]
                )
                self._store.truncate()
                yield
            pages, free = self._free()
            while free and self._free()[0] > pages - 2 * RESERVE_BYTES:
                with self._store.upkeep(RECORDS) as connection:
                    connection.execute(f"PRAGMA incremental_vacuum({FEWEST_ROWS})").fetchall()
                self._store.truncate()
                free = self._free()[1]
                yield
        finally:
            self._store.end_rescue()

    def _free(self) -> tuple[int, int]:
        """Bytes of the records file, and those of them that are free."""
        with self._store.looking(RECORDS) as connection:
            return space(connection)

    def _delete_of(self, stream: int) -> bool:
        """One step for a stream: rows, and what goes with them. False: nothing had to go."""
        done = (
            self._delete_some_rows(stream),
            self._delete_headers(stream, self._rows),
            self._delete_gaps(stream),
        )
        return any(done)

    # --- rows -----------------------------------------------------------------------------------------

    def _delete_some_rows(self, stream: int) -> int:
        started = time.perf_counter()
        done = self._delete_rows(stream, min(self._rows, self.limits.budget_rows))
        if done:
            self._adapt(time.perf_counter() - started)
        return done

    def _delete_rows(self, stream: int, most: int, *, by_age: bool = True) -> int:
        """Delete the oldest rows of a stream, if they have to go; returns how many ids that were."""
        table = ROW_TABLES[stream]
        with self._store.upkeep(kind_of(stream)) as connection:
            ends = ends_of(connection, table)
            over = self._look(connection, stream)
            # The newest row always stays: it keeps SQLite from giving its id to the next one.
            if ends is None or ends[0] == ends[1]:
                return 0
            first, last = ends
            if over <= 0 and not by_age:
                return 0
            end = last if over > 0 else self._first_kept(connection, table, stream, first, last)
            end = min(end, first + most)
            if end <= first:
                return 0
            size = (
                0
                if stream == LOGS
                else connection.execute(
                    f"SELECT coalesce(sum(length(data)), 0) FROM {table} WHERE id < ?",  # noqa: S608
                    (end,),
                ).fetchone()[0]
            )
            if stream == LOGS:
                indexing.forget(connection, "id < ?", (end,))
            done = connection.execute(f"DELETE FROM {table} WHERE id < ?", (end,)).rowcount  # noqa: S608
            uncount(connection, stream, done, size)
            if over > 0:
                oldest = f"SELECT arrived FROM {table} ORDER BY id LIMIT 1"  # noqa: S608
                self._cut[stream] = connection.execute(oldest).fetchone()[0]
            failpoints.hit(CHUNK)
            self._look(connection, stream)
        return end - first

    def _look(self, connection: sqlite3.Connection, stream: int) -> int:
        """Note and return by how many bytes a stream takes more than it may. Logs are what is nothing else."""
        kind = kind_of(stream)
        row = connection.execute(
            "SELECT coalesce(sum(bytes + rows * ?), 0) FROM usage WHERE stream IN (?, ?)",
            (ROW_OVERHEAD, *((SAMPLES, QUARANTINED) if stream == LOGS else (stream, stream))),
        ).fetchone()
        taken = int(row[0])
        if stream == LOGS:
            size, free = space(connection)
            taken = size - free - taken
        over = self._over[kind, stream] = taken - self.limits.size(stream)
        return over

    def _first_kept(
        self, connection: sqlite3.Connection, table: str, stream: int, first: int, last: int
    ) -> int:
        """The id up to which rows are too old, found by halving: ids follow arrival."""
        limit = self._ago(self.limits.age(stream))
        arrived = f"SELECT id, arrived FROM {table} WHERE id >= ? ORDER BY id LIMIT 1"  # noqa: S608
        low, high = first, last
        while low < high:
            middle = (low + high) // 2
            row_id, time_of = connection.execute(arrived, (middle,)).fetchone()
            if time_of < limit:
                low = row_id + 1
            else:
                high = middle
        return min(low, last)

    def _ago(self, age: float) -> int:
        """The time `age` seconds ago; not before the beginning of time."""
        return max(0, self._clock.wall() - round(age * 1e9))

    def _adapt(self, took: float) -> None:
        if took > STEP_SECONDS:
            self._rows = max(FEWEST_ROWS, self._rows // 2)
        elif took < STEP_SECONDS / 2:
            self._rows = min(self._rows * 2, max(self.limits.budget_rows, FEWEST_ROWS))

    # --- what goes with them --------------------------------------------------------------------------

    def _delete_headers(self, stream: int, most: int) -> int:
        """Delete headers that are older than the oldest row left, and too old ones where no row was ever deleted."""
        with self._store.upkeep(kind_of(stream)) as connection:
            oldest = f"SELECT id, arrived FROM {ROW_TABLES[stream]} ORDER BY id LIMIT 1"  # noqa: S608
            row = connection.execute(oldest).fetchone()
            untouched = row is None or row[0] == 1
            limit = self._ago(self.limits.age(stream)) if untouched else min(row[1], self._clock.wall())
            return connection.execute(
                "DELETE FROM batch WHERE (epoch_id, first) IN (SELECT epoch_id, first FROM batch"
                " WHERE stream = ? AND arrived < ? ORDER BY arrived LIMIT ?)",
                (stream, limit, most),
            ).rowcount

    def _delete_gaps(self, stream: int) -> int:
        """Delete gaps that are too old, and those whose records on both sides had to go because of the size.

        A loss is not to become silence: whatever happens to the records of others, a gap keeps its age.
        """
        table = ROW_TABLES[stream]
        with self._store.upkeep(kind_of(stream)) as connection:
            done = connection.execute(
                "DELETE FROM gap WHERE id IN"
                " (SELECT id FROM gap WHERE stream = ? AND arrived < ? ORDER BY arrived LIMIT ?)",
                (stream, self._ago(self.limits.age(stream)), self._rows),
            ).rowcount
            done += connection.execute(
                "DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE stream = ? AND arrived < ?"  # noqa: S608
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq = gap.first - 1)"
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq > gap.first"
                " AND seq <= coalesce(gap.last + 1, gap.first)) ORDER BY arrived LIMIT ?)",
                (stream, self._cut.get(stream, 0), self._rows),
            ).rowcount
        return done

    def _delete_quarantined(self, kind: FileKind) -> int:
        """Delete the oldest quarantined batches beyond their own age and size, whatever records there are."""
        with self._store.upkeep(kind) as connection:
            ends = ends_of(connection, "quarantine")
            row = connection.execute(
                "SELECT bytes + rows * ? FROM usage WHERE stream = ?", (ROW_OVERHEAD, QUARANTINED)
            ).fetchone()
            over = self._over[kind, QUARANTINED] = (row[0] if row else 0) - self.limits.quarantine_bytes
            if ends is None:
                return 0
            first, last = ends
            kept = self._first_kept(connection, "quarantine", QUARANTINED, first, last + 1)
            found = connection.execute(
                "SELECT id, length(header) + length(signature) + length(body) FROM quarantine ORDER BY id LIMIT ?",
                (self._rows,),
            ).fetchall()
            rows = size = end = 0
            for row_id, taken in found:
                if (over <= 0 and row_id >= kept) or size > BODIES_BYTES:
                    break
                over -= taken + ROW_OVERHEAD
                rows, size, end = rows + 1, size + taken, row_id
            if rows:
                connection.execute("DELETE FROM quarantine WHERE id <= ?", (end,))
                uncount(connection, QUARANTINED, rows, size)
                self._over[kind, QUARANTINED] = over
        return rows

    def _next_heartbeats(self) -> Callable[[], bool]:
        """What deletes heartbeats of a few nodes at each call; False after the last ones."""
        left = self._node_ids()

        def step() -> bool:
            self._delete_heartbeats(left[:NODES_PER_STEP])
            del left[:NODES_PER_STEP]
            return bool(left)

        return step

    def _node_ids(self) -> list[int]:
        with self._store.looking(RECORDS) as connection:
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
            size, free = space(connection)
            if free < FREE_BYTES or free < size * FREE_SHARE:
                return False
            started = time.perf_counter()
            connection.execute(f"PRAGMA incremental_vacuum({max(FEWEST_ROWS, self._rows // 8)})").fetchall()
        self._adapt(time.perf_counter() - started)
        return True
