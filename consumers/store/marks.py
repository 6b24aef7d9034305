"""How far retention got, kept in the transaction of what it deletes, so that a restart does not begin anew.

A mark has a name. Of log records that go early it is ``log LOW-HIGH`` with the severities, on PostgreSQL for each
partition ``log_20261122 LOW-HIGH``; releasing a hold removes these, since what it covered was passed over. On PostgreSQL
there are also the name of a partition, whose rows up to an id are counted, and that name with ``width`` or ``gone``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.consumers.store.limits import Level
from tabard.consumers.store.reading import Reading

LEVELS: Final = "% %-%"
"""What the names of marks are like that speak of levels."""
_READ: Final = "SELECT upto, rows FROM retention_mark WHERE name = ?"
_SET: Final = (
    "INSERT INTO retention_mark (name, upto, rows) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET upto = excluded.upto, rows = excluded.rows"
)


class Mark(NamedTuple):
    """How far."""

    upto: int = 0
    """The id from which on nothing was looked at yet."""
    rows: int = 0
    """What was counted below it, where something is counted."""


def name_of(level: Level) -> str:
    """The mark of a level."""
    return f"log {level.low}-{level.high}"


def read(connection: Reading, name: str) -> Mark | None:
    """The mark with that name, None when there is none."""
    row = connection.execute(_READ, (name,)).fetchone()
    return None if row is None else Mark(*row)


def write(connection: Reading, name: str, mark: Mark) -> None:
    """Set it."""
    connection.execute(_SET, (name, *mark))


def remove(connection: Reading, name: str) -> None:
    """Forget it: what it spoke of is not there any more, or was changed by somebody else."""
    connection.execute("DELETE FROM retention_mark WHERE name = ?", (name,))


def uncounted(connection: Reading, table: str) -> None:
    """On PostgreSQL: rows of a table go by another way than retention, so its days are to be counted anew."""
    connection.execute(
        "DELETE FROM retention_mark WHERE starts_with(name, ?) AND (strpos(name, ' ') = 0 OR name LIKE '% gone')",
        (f"{table}_",),
    )
