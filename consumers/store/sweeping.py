"""Which records of an SQLite store go, and the small transactions in which they do.

Rows go oldest first, by id, which follows arrival. What a hold covers stays where it is, and is passed over: of each
stream it is remembered below which id nothing but that is left, so that no step looks at it twice. Log records that go
earlier because of their level are found on one way through the log for each such level, which never goes back: the mark
how far it is moves in the transaction of the deletion. No index is needed for either, so ingest pays for none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from tabard import failpoints
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.clock import Clock
from tabard.consumers.store import holds, indexing, marks
from tabard.consumers.store.holds import NOTHING, Hold
from tabard.consumers.store.layout import FILES, QUARANTINED, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.limits import Level, RetentionLimits
from tabard.consumers.store.overrun import CHUNK, Over, Overrun
from tabard.consumers.store.pace import FEWEST_ROWS
from tabard.consumers.store.reading import SQLITE
from tabard.consumers.store.readonly import SqliteReading
from tabard.consumers.store.room import ROW_OVERHEAD, kind_of, space, uncount
from tabard.consumers.store.sqlite import SqliteStore

LOOKED_AT: Final = 8
"""Rows that a step for a level looks at for each one that it may delete."""


class Swept(NamedTuple):
    """What a step did."""

    passed: int = 0
    """Ids it went past; 0: nothing had to go."""
    deleted: int = 0


class Sweeper:
    """Deletes records of one store. `limits` may be replaced at any time."""

    def __init__(self, store: SqliteStore, limits: RetentionLimits, clock: Clock, overrun: Overrun) -> None:
        self.limits = limits
        self.overrun = overrun
        self.cut: dict[int, int] = {}
        """By stream, arrival of the oldest row that size or count, not age, has left."""
        self._store = store
        self._clock = clock
        self._passed: dict[int, int] = {}
        """By stream, the id below which nothing is left but what holds cover."""
        self._held: dict[int, int] = {}
        """By stream, how many those are."""
        self._width: dict[int, float] = {}
        """By stream, bytes that a row takes."""
        self._known: dict[FileKind, frozenset[Hold]] = dict.fromkeys(FILES, frozenset())
        self._releases = dict.fromkeys(FILES, 0)

    def ago(self, age: float) -> int:
        """The time `age` seconds ago; not before the beginning of time."""
        return max(0, self._clock.wall() - round(age * 1e9))

    def in_force(self, connection: SqliteReading, kind: FileKind) -> Sequence[Hold]:
        """The holds of one file; what they made this pass over is looked at again once one is gone."""
        found = holds.in_force(connection)
        known = frozenset(found)
        if self._known[kind] - known:
            self._releases[kind] += 1
            for stream in kind.streams:
                self._passed.pop(stream, None)
                self._held.pop(stream, None)
        self._known[kind] = known
        return found

    def releases(self, kind: FileKind) -> int:
        """How often holds of a file were found to be gone."""
        return self._releases[kind]

    def look(self, connection: sqlite3.Connection, stream: int) -> Over:
        """Note and return by how much a stream exceeds its limits. Logs take what nothing else does."""
        row = connection.execute(
            "SELECT coalesce(sum(bytes + rows * ?), 0) FROM usage WHERE stream IN (?, ?)",
            (ROW_OVERHEAD, *((SAMPLES, QUARANTINED) if stream == LOGS else (stream, stream))),
        ).fetchone()
        taken = int(row[0])
        if stream == LOGS:
            size, free = space(connection)
            taken = size - free - taken
        count, held = self.limits.count(stream), self._held.get(stream, 0)
        row = connection.execute("SELECT rows FROM usage WHERE stream = ?", (stream,)).fetchone()
        rows = int(row[0]) if row else 0
        self._width[stream] = taken / max(rows, held, 1)
        held_bytes = int(held * self._width[stream])
        over = Over(
            bytes=taken - held_bytes - self.limits.size(stream),
            rows=rows - held - count if count else 0,
            held_bytes=held_bytes,
            held_rows=held,
        )
        return self.overrun.note(kind_of(stream), stream, over)

    def delete(self, stream: int, most: int, *, by_age: bool = True) -> Swept:
        """Look at the oldest `most` rows of a stream that were not passed over yet; delete those that have to go."""
        table, kind = ROW_TABLES[stream], kind_of(stream)
        with self._store.upkeep(kind) as connection:
            held = holds.of_stream(self.in_force(connection, kind), stream, SQLITE)
            over = self.look(connection, stream)
            ends = _ends(connection, table, self._passed.get(stream, 0))
            # The newest row always stays: it keeps SQLite from giving its id to the next one.
            if ends is None or ends[0] >= ends[1]:
                return Swept()
            first, last = ends
            end = first
            if over.bytes > 0:
                # No more than what is too much: behind what is held there may be little.
                enough = max(FEWEST_ROWS, int(over.bytes / max(self._width[stream], 1.0)))
                end = _behind(connection, table, first, min(most, enough), last)
            else:
                if over.rows > 0:
                    end = _behind(connection, table, first, min(most, over.rows), last)
                if by_age:
                    kept = self.first_kept(connection, table, self.ago(self.limits.age(stream)), first, last)
                    if kept > end:
                        end = min(kept, _behind(connection, table, first, most, last))
            if end <= first:
                return Swept()
            condition = f"id >= ? AND id < ? AND {held.free}"
            which = f"FROM {table} WHERE {condition}"
            values = (first, end, *held.values)
            size = (
                0
                if stream == LOGS
                else connection.execute(f"SELECT coalesce(sum(length(data)), 0) {which}", values).fetchone()[
                    0
                ]
            )
            there = 0
            if held is not NOTHING:
                rows = f"SELECT count(*) FROM {table} WHERE id >= ? AND id < ?"  # noqa: S608
                there = connection.execute(rows, (first, end)).fetchone()[0]
            if stream == LOGS:
                indexing.forget(connection, condition, values, in_place=not self._store.rescuing)
            done = connection.execute(f"DELETE {which}", values).rowcount
            uncount(connection, stream, done, size)
            if over:
                oldest = f"SELECT arrived FROM {table} WHERE id >= ? ORDER BY id LIMIT 1"  # noqa: S608
                self.cut[stream] = connection.execute(oldest, (end,)).fetchone()[0]
            failpoints.hit(CHUNK)
        if held is not NOTHING:
            self._passed[stream] = end
            self._held[stream] = self._held.get(stream, 0) + there - done
        with self._store.looking(kind) as connection:
            self.look(connection, stream)
        return Swept(end - first, done)

    def delete_level(self, level: Level, most: int) -> Swept:
        """Look at some of the log records that are too old for their level and were not looked at yet."""
        name = marks.name_of(level)
        with self._store.upkeep(RECORDS) as connection:
            held = holds.of_stream(self.in_force(connection, RECORDS), LOGS, SQLITE)
            mark = marks.read(connection, name) or marks.Mark()
            ends = _ends(connection, "log", mark.upto)
            if ends is None or ends[0] >= ends[1]:
                return Swept()
            first, last = ends
            end = self.first_kept(connection, "log", self.ago(level.age), first, last)
            if end <= first:
                return Swept()
            end = min(end, _behind(connection, "log", first, most * LOOKED_AT, last))
            condition = f"id >= ? AND id < ? AND severity BETWEEN ? AND ? AND {held.free}"
            which = f"FROM log WHERE {condition}"
            values = (first, end, level.low, level.high, *held.values)
            found = connection.execute(f"SELECT id {which} ORDER BY id LIMIT ?", (*values, most)).fetchall()
            if len(found) == most:
                end = found[-1][0] + 1
            done = 0
            if found:
                values = (first, end, *values[2:])
                indexing.forget(connection, condition, values, in_place=not self._store.rescuing)
                done = connection.execute(f"DELETE {which}", values).rowcount
                uncount(connection, LOGS, done, 0)
                failpoints.hit(CHUNK)
            marks.write(connection, name, marks.Mark(end))
        return Swept(end - first, done)

    def boundary(self, connection: sqlite3.Connection, stream: int) -> tuple[int, int] | None:
        """Id and arrival of the oldest row that is not there because of a hold alone; None: there is none."""
        row = connection.execute(
            f"SELECT id, arrived FROM {ROW_TABLES[stream]} WHERE id >= ? ORDER BY id LIMIT 1",  # noqa: S608
            (self._passed.get(stream, 0),),
        ).fetchone()
        return None if row is None else (int(row[0]), int(row[1]))

    def first_kept(
        self, connection: sqlite3.Connection, table: str, limit: int, first: int, last: int
    ) -> int:
        """The id up to which rows arrived before `limit`, found by halving: ids follow arrival."""
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


def _ends(connection: sqlite3.Connection, table: str, since: int) -> tuple[int, int] | None:
    """The first id from `since` on, and the last one; asked for together, SQLite would read the whole table."""
    ends = f"SELECT (SELECT min(id) FROM {table} WHERE id >= ?), (SELECT max(id) FROM {table})"  # noqa: S608
    first, last = connection.execute(ends, (since,)).fetchone()
    return None if first is None else (first, last)


def _behind(connection: sqlite3.Connection, table: str, first: int, rows: int, last: int) -> int:
    """The id of the row that comes so many rows after `first`, `last` at most."""
    row = connection.execute(
        f"SELECT id FROM {table} WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?",  # noqa: S608
        (first, rows),
    ).fetchone()
    return last if row is None else min(int(row[0]), last)
