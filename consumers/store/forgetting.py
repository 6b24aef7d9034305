"""Epochs of which nothing is left: their rows go, their names stay.

A node that cron starts opens an epoch each minute, so cursors must not stay for ever. But an epoch that were
forgotten altogether would be asked for, and stored once more, when its node comes back from an old snapshot. So
of each one that goes, its name and its end stay, some seventy bytes; when anybody asks for it, `asking.load` makes a
cursor of them on which all of it is passed: a copy of a record that was deleted long ago counts as late. Names do not
stay for ever either: of more than `NAMES` those go that were made first. What is then stored once more, for a node
that came back from a snapshot still older, is not stored twice: nothing of the first time is left.

An epoch goes when all of this holds:

* it is finished: nothing of it can come any more, by what its node said;
* it was first heard of longer ago than any age up to which something of its file stays;
* no record, batch header, gap, skip, stub or quarantined batch of it is left;
* it is no history of an epoch that forked, nor forked itself: those find each other by their cursors;
* at most one epoch of its stream and node is unfinished: the order of several shows in the whole chain only.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from tabard.brokers.delivery.book import forked_id
from tabard.consumers.store.layout import ROW_TABLES, FileKind
from tabard.consumers.store.sqlite import SqliteStore

LOOKED_AT: Final = 500
"""Epochs looked at in one step."""
NAMES: Final = 500_000
"""Most epochs of one file whose names are kept, some 35 MB."""
EVERY: Final = 3600.0
"""Seconds between two looks at all of them."""

_EPOCHS: Final = "SELECT id, node_id, stream, uid, previous, ended, finished, created FROM epoch WHERE id > ? ORDER BY id LIMIT ?"
_TOO_MANY: Final = (
    "DELETE FROM past_epoch WHERE id IN (SELECT id FROM past_epoch"
    " WHERE id <= (SELECT max(id) FROM past_epoch) - ? ORDER BY id LIMIT ?)"
)
_ORDERED: Final = "SELECT count(*) <= 1 FROM epoch WHERE node_id = ? AND stream = ? AND finished = 0"
_KNOWN: Final = "SELECT 1 FROM epoch WHERE node_id = ? AND stream = ? AND uid = ?"


class Forgetting:
    """Goes through the epochs of one file, a few at each step."""

    def __init__(self, store: SqliteStore, kind: FileKind) -> None:
        self._store = store
        self._kind = kind
        self._after = 0
        self._due = float("-inf")
        self._ordered: dict[tuple[int, int], bool] = {}
        tables = [
            *(ROW_TABLES[stream] for stream in sorted(kind.streams)),
            "batch",
            "gap",
            "skip",
            "withheld",
            "quarantine",
        ]
        self._left = " OR ".join(f"EXISTS (SELECT 1 FROM {name} WHERE epoch_id = ?1)" for name in tables)  # noqa: S608

    def begin(self, now: float) -> bool:
        """Whether there is something to do: the last look is not over, or it is time for the next."""
        if not self._after and now < self._due:
            return False
        if not self._after:
            self._due = now + EVERY
            self._ordered.clear()
        return True

    def step(self, limit: int) -> bool:
        """Forget what of the next few epochs may go; `limit` is the time before which they began. False: all seen."""
        with self._store.upkeep(self._kind) as connection:
            epochs = connection.execute(_EPOCHS, (self._after, LOOKED_AT)).fetchall()
            gone = [row for row in epochs if row[6] and row[7] < limit and self._may_go(connection, row)]
            connection.executemany(
                "INSERT OR REPLACE INTO past_epoch (node_id, stream, uid, ended) VALUES (?, ?, ?, ?)",
                [(node_id, stream, uid, ended) for _, node_id, stream, uid, _, ended, _, _ in gone],
            )
            connection.executemany("DELETE FROM epoch WHERE id = ?", [row[:1] for row in gone])
            connection.execute(_TOO_MANY, (NAMES, 2 * LOOKED_AT))
        if gone:
            self._store.forget_numbers(self._kind)
        self._after = epochs[-1][0] if len(epochs) == LOOKED_AT else 0
        return bool(self._after)

    def _may_go(self, connection: sqlite3.Connection, row: tuple[int, int, int, bytes, bytes | None]) -> bool:
        row_id, node_id, stream, uid, previous, *_ = row
        lane = (node_id, stream)
        if lane not in self._ordered:
            self._ordered[lane] = bool(connection.execute(_ORDERED, lane).fetchone()[0])
        return (
            self._ordered[lane]
            and not connection.execute(f"SELECT {self._left}", (row_id,)).fetchone()[0]
            and (previous is None or uid != forked_id(previous))
            and connection.execute(_KNOWN, (*lane, forked_id(uid))).fetchone() is None
        )
