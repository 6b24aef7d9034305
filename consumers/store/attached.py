"""What goes with the records of an SQLite store: headers and attestations of batches, gaps, stubs, quarantine, heartbeats, versions.

What a hold covers stays. A batch header stays as long as a record of its batch is there because of a hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tabard.consumers.store import holds
from tabard.consumers.store.layout import QUARANTINED, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.overrun import Over
from tabard.consumers.store.reading import SQLITE
from tabard.consumers.store.readonly import SqliteReading
from tabard.consumers.store.room import ROW_OVERHEAD, kind_of, uncount
from tabard.consumers.store.sqlite import SqliteStore
from tabard.consumers.store.sweeping import Sweeper

_WITH_BATCHES: Final = ("attestation", "batch")
"""Tables by epoch and first number of a batch, its header last."""
NODES_PER_STEP: Final = 200
BODIES_BYTES: Final = 4 * 2**20
"""Most bytes of quarantined batches deleted in one step."""


class Attached:
    """Deletes it, in steps; each answers how many rows went, or 0 when there is nothing left to do."""

    def __init__(self, store: SqliteStore, sweeper: Sweeper) -> None:
        self._store = store
        self._sweeper = sweeper
        self._headers: dict[int, tuple[int, int]] = {}
        """By stream, arrival up to which all headers were looked at, and the releases of holds by then."""

    def delete_headers(self, stream: int, most: int) -> int:
        """Delete headers that are older than the oldest row left, and too old ones where no row was ever deleted."""
        kind = kind_of(stream)
        with self._store.upkeep(kind) as connection:
            found = self._sweeper.in_force(connection, kind)
            row = self._sweeper.boundary(connection, stream)
            limits = self._sweeper.limits
            untouched = row is None or row[0] == 1
            limit = self._sweeper.ago(limits.age(stream))
            if row is not None and not untouched:
                limit = min(row[1], self._sweeper.ago(0.0))
            if found:
                return self._delete_headers_between_held(connection, kind, stream, limit, most)
            going = (
                "SELECT epoch_id, first FROM batch WHERE stream = ? AND arrived < ? ORDER BY arrived LIMIT ?"
            )
            return _delete_with_attestations(connection, going, (stream, limit, most))

    def _delete_headers_between_held(
        self, connection: SqliteReading, kind: FileKind, stream: int, limit: int, most: int
    ) -> int:
        """Those of which no row is left. What was looked at once is not looked at again."""
        releases = self._sweeper.releases(kind)
        since, known = self._headers.get(stream, (-1, releases))
        if known != releases:
            since = -1
        found = connection.execute(
            "SELECT arrived FROM batch WHERE stream = ? AND arrived > ? AND arrived < ? ORDER BY arrived LIMIT ?",
            (stream, since, limit, most),
        ).fetchall()
        if not found:
            return 0
        # All of one commit have the same time: they are looked at together.
        last = int(found[-1][0])
        _delete_with_attestations(
            connection,
            "SELECT epoch_id, first FROM batch WHERE stream = ? AND arrived > ? AND arrived <= ? AND NOT EXISTS"  # noqa: S608
            f" (SELECT 1 FROM {ROW_TABLES[stream]} AS record WHERE record.epoch_id = batch.epoch_id"
            " AND record.seq >= batch.first AND record.seq < batch.first + batch.count)",
            (stream, since, last),
        )
        self._headers[stream] = (last, releases)
        return len(found)

    def delete_gaps(self, stream: int, most: int) -> int:
        """Delete gaps that are too old, and those whose records on both sides had to go because of size or count.

        A loss is not to become silence: whatever happens to the records of others, a gap keeps its age.
        """
        table, kind = ROW_TABLES[stream], kind_of(stream)
        with self._store.upkeep(kind) as connection:
            held = holds.condition(self._sweeper.in_force(connection, kind), "gap", SQLITE)
            done = connection.execute(
                "DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE stream = ? AND arrived < ?"  # noqa: S608
                f" AND {held.free} ORDER BY arrived LIMIT ?)",
                (stream, self._sweeper.ago(self._sweeper.limits.age(stream)), *held.values, most),
            ).rowcount
            done += connection.execute(
                "DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE stream = ? AND arrived < ?"  # noqa: S608
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq = gap.first - 1)"
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq > gap.first"
                f" AND seq <= coalesce(gap.last + 1, gap.first)) AND {held.free} ORDER BY arrived LIMIT ?)",
                (stream, self._sweeper.cut.get(stream, 0), *held.values, most),
            ).rowcount
        return done

    def delete_withheld(self, stream: int, most: int) -> int:
        """Delete what is said of records that were withheld, as old as records that go: it is no loss that has to stay."""
        kind = kind_of(stream)
        with self._store.upkeep(kind) as connection:
            held = holds.condition(self._sweeper.in_force(connection, kind), "withheld", SQLITE)
            limit = max(self._sweeper.ago(self._sweeper.limits.age(stream)), self._sweeper.cut.get(stream, 0))
            return connection.execute(
                "DELETE FROM withheld WHERE id IN (SELECT id FROM withheld WHERE stream = ? AND arrived < ?"  # noqa: S608
                f" AND {held.free} ORDER BY arrived LIMIT ?)",
                (stream, limit, *held.values, most),
            ).rowcount

    def delete_quarantined(self, kind: FileKind, most: int) -> int:
        """Delete the oldest quarantined batches beyond their own age and size, whatever records there are."""
        limits, overrun = self._sweeper.limits, self._sweeper.overrun
        with self._store.upkeep(kind) as connection:
            held = holds.condition(self._sweeper.in_force(connection, kind), "quarantine", SQLITE)
            row = connection.execute(
                "SELECT bytes + rows * ?, rows FROM usage WHERE stream = ?", (ROW_OVERHEAD, QUARANTINED)
            ).fetchone()
            taken, count = row or (0, 0)
            over = overrun.note(kind, QUARANTINED, Over(taken - limits.quarantine_bytes)).bytes
            if not count:
                return 0
            limit = self._sweeper.ago(limits.quarantine_age)
            found = connection.execute(
                "SELECT id, arrived, length(header) + length(signature) + length(body) FROM quarantine"  # noqa: S608
                f" WHERE {held.free} ORDER BY id LIMIT ?",
                (*held.values, most),
            ).fetchall()
            size, going = 0, []
            for row_id, arrived, bytes_ in found:
                if (over <= 0 and arrived >= limit) or size > BODIES_BYTES:
                    break
                over -= bytes_ + ROW_OVERHEAD
                size += bytes_
                going.append((row_id,))
            if going:
                connection.executemany("DELETE FROM quarantine WHERE id = ?", going)
                uncount(connection, QUARANTINED, len(going), size)
            overrun.note(kind, QUARANTINED, Over(over))
        return len(going)

    def next_heartbeats(self) -> Callable[[], bool]:
        """What deletes heartbeats of a few nodes at each call; False after the last ones."""
        with self._store.looking(RECORDS) as connection:
            left = [row[0] for row in connection.execute("SELECT id FROM node ORDER BY id")]

        def step() -> bool:
            limit = self._sweeper.ago(self._sweeper.limits.samples_age)
            with self._store.upkeep(RECORDS) as connection:
                in_force = self._sweeper.in_force(connection, RECORDS)
                held = holds.condition(in_force, "heartbeat", SQLITE)
                connection.executemany(
                    f"DELETE FROM heartbeat WHERE node_id = ? AND minute < ? AND {held.free}",  # noqa: S608
                    [(node, limit, *held.values) for node in left[:NODES_PER_STEP]],
                )
            del left[:NODES_PER_STEP]
            return bool(left)

        return step

    def delete_versions(self, most: int) -> bool:
        """Delete what ran too long ago, then the configurations that nothing speaks of any more."""
        with self._store.upkeep(RECORDS) as connection:
            held = holds.condition(self._sweeper.in_force(connection, RECORDS), "deployment", SQLITE)
            done = connection.execute(
                "DELETE FROM deployment WHERE id IN (SELECT id FROM deployment WHERE last < ?"  # noqa: S608
                f" AND {held.free} LIMIT ?)",
                (self._sweeper.ago(self._sweeper.limits.versions_age), *held.values, most),
            ).rowcount
            done += connection.execute(
                "DELETE FROM configuration WHERE id IN (SELECT id FROM configuration WHERE NOT EXISTS"
                " (SELECT 1 FROM deployment WHERE configuration_id = configuration.id) LIMIT ?)",
                (most,),
            ).rowcount
        return done > 0


def _delete_with_attestations(connection: SqliteReading, going: str, values: Sequence[int]) -> int:
    """Delete the headers of batches and who attests them; `going` answers their epochs and first numbers."""
    done = 0
    for table in _WITH_BATCHES:
        done = connection.execute(
            f"DELETE FROM {table} WHERE (epoch_id, first) IN ({going})",  # noqa: S608
            values,
        ).rowcount
    return done
