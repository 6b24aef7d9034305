"""Looking into the store of a bench from outside, as a reader does: over read-only connections."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final, Protocol

from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.postgresql import server
from tabard.ops.bench.records import NUMBER, PRODUCT

_LOOKS: Final = 100
"""Looks at the rows after ids were drawn last."""
_SELDOM: Final = 50
"""Of so many later ones, one is taken."""
_TAIL: Final = 2_048
"""Rows at the end of the log among which the newest record is looked for: more than is said on the side."""


def connect(where: str) -> Stored:
    """One that looks into the store there: a directory, or the URL of a database. Raises the driver's errors."""
    return StoredOnServer(where) if where.startswith("postgresql:") else StoredInFiles(Path(where))


class Stored(Protocol):
    """One connection that asks cheaply and often."""

    def close(self) -> None:
        """Close the connection."""

    def changed(self) -> bool:
        """Whether anything may have been committed since the last call."""

    def has(self, number: int, product: str) -> bool:
        """Whether the record with that number can be queried; it must be among the last ones stored."""

    def after(self, row: int) -> list[tuple[int, int, str]]:
        """Id, event time and product of every log record with an id beyond `row`."""

    def last(self) -> int:
        """The highest id, 0 of an empty log."""

    def first(self) -> int:
        """The lowest id, 0 of an empty log."""

    def missing(self, count: int) -> int:
        """How many of the records 1 to `count` are not there exactly once."""


class StoredInFiles:
    """On SQLite."""

    def __init__(self, store: Path) -> None:
        self._connection = sqlite3.connect(
            f"{RECORDS.path(store).as_uri()}?mode=ro", uri=True, timeout=5.0, isolation_level=None
        )
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

    def first(self) -> int:
        """The lowest id, 0 of an empty log."""
        return int(self._connection.execute("SELECT coalesce(min(id), 0) FROM log").fetchone()[0])

    def missing(self, count: int) -> int:
        """How many of the records 1 to `count` are not there exactly once."""
        once = self._connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM log WHERE product = ? GROUP BY {NUMBER} HAVING count(*) = 1)",  # noqa: S608
            (PRODUCT,),
        ).fetchone()
        return count - int(once[0])


class StoredOnServer:
    """On PostgreSQL. With one recorder ids become visible in their order."""

    def __init__(self, url: str) -> None:
        self._connection = server.connect(url, "", server.schema_of(RECORDS), "tabard bench")
        self._cursor = self._connection.cursor()
        self._drawn = self._before = self._last_drawn()
        self._looks = 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def changed(self) -> bool:
        """By the ids that were drawn, which costs the server next to nothing."""
        drawn, self._drawn = self._drawn, self._last_drawn()
        # Rows become visible some time after their ids were drawn.
        self._looks = _LOOKS if self._drawn != drawn else self._looks - 1
        return self._looks > 0 or self._looks % _SELDOM == 0

    def has(self, number: int, product: str) -> bool:
        """By the ids of the last rows; not looked at before as many were drawn, for that costs the server something."""
        if self._drawn - self._before < number:
            return False
        # In this order the index serves also a table of which the server has no statistics yet.
        newest = f"SELECT {NUMBER}, product FROM log ORDER BY id DESC LIMIT {_TAIL}"  # noqa: S608
        text = f"SELECT 1 FROM ({newest}) AS newest WHERE {NUMBER} = %s AND product = %s"  # noqa: S608
        return self._first(text, number, product) is not None

    def after(self, row: int) -> list[tuple[int, int, str]]:
        """By the index of ids, which so few rows are read by also while the server has no statistics of the table."""
        self._cursor.execute("SELECT id, time, product FROM log WHERE id > %s ORDER BY id LIMIT 1000", (row,))
        return self._cursor.fetchall()

    def last(self) -> int:
        """By the index of ids."""
        row = self._first("SELECT coalesce(max(id), 0) FROM log")
        return int(row[0]) if row else 0

    def first(self) -> int:
        """By the index of ids."""
        row = self._first("SELECT id FROM log ORDER BY id LIMIT 1")
        return int(row[0]) if row else 0

    def missing(self, count: int) -> int:
        """By a look at each."""
        text = f"SELECT count(*) FROM (SELECT 1 FROM log WHERE product = %s GROUP BY {NUMBER} HAVING count(*) = 1) AS once"  # noqa: S608
        row = self._first(text, PRODUCT)
        return count - int(row[0] if row else 0)

    def _last_drawn(self) -> int:
        row = self._first("SELECT last_value FROM log_id_seq")
        return int(row[0]) if row else 0

    def _first(self, text: str, *values: Any) -> tuple[Any, ...] | None:
        self._cursor.execute(text, values)
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row
