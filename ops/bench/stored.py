"""Looking into the store of a bench from outside, as a reader does: over read-only connections."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from tabard.consumers.store.layout import RECORDS
from tabard.ops.bench.records import NUMBER, PRODUCT

_TAIL: Final = 2_048
"""Rows at the end of the log among which the newest record is looked for: more than is said on the side."""


def connect(store: Path) -> sqlite3.Connection:
    """A read-only connection to the file with the log records. Raises sqlite3.Error when it is not there."""
    return sqlite3.connect(
        f"{RECORDS.path(store).as_uri()}?mode=ro", uri=True, timeout=5.0, isolation_level=None
    )


class Stored:
    """One connection that asks cheaply and often."""

    def __init__(self, store: Path) -> None:
        self._connection = connect(store)
        self._version = -1

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def changed(self) -> bool:
        """Whether anything was committed since the last call."""
        version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        changed, self._version = version != self._version, version
        return changed

    def has(self, number: int, product: str) -> bool:
        """Whether the record with that number can be queried; it must be among the last ones stored."""
        found = self._connection.execute(
            f"SELECT 1 FROM log WHERE id > (SELECT max(id) FROM log) - {_TAIL} AND {NUMBER} = ? AND product = ?",  # noqa: S608
            (number, product),
        ).fetchone()
        return found is not None

    def after(self, row: int) -> list[tuple[int, int, str]]:
        """Id, event time and product of every log record with an id beyond `row`."""
        return self._connection.execute(
            "SELECT id, time, product FROM log WHERE id > ? ORDER BY id", (row,)
        ).fetchall()

    def last(self) -> int:
        """The highest id, 0 of an empty log."""
        return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()[0])

    def missing(self, count: int) -> int:
        """How many of the records 1 to `count` are not there exactly once."""
        once = self._connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM log WHERE product = ? GROUP BY {NUMBER} HAVING count(*) = 1)",  # noqa: S608
            (PRODUCT,),
        ).fetchone()
        return count - int(once[0])
