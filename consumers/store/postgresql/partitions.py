"""Rows by the day of their arrival: one partition each, made ahead of its day, dropped whole when it is too old.

Arrival is the recorder's clock. That of a node can neither delete its records early nor keep them for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

import psycopg2
from psycopg2 import extensions

DAY: Final = 86_400_000_000_000
"""Nanoseconds."""
AHEAD: Final = 2
"""Days for which partitions are made before they begin."""
LOCK: Final = 0x7461_6261_7264
"""The advisory lock under which partitions are made: "tabard"."""
_END: Final = 2**63 - 1
"""The last time there is."""


class Partition(NamedTuple):
    """One day of one table."""

    table: str
    day: int
    """Days since 1970."""

    @property
    def name(self) -> str:
        """``log_20261122``."""
        return f"{self.table}_{datetime.fromtimestamp(self.day * 86_400, UTC):%Y%m%d}"


def day_of(arrived: int) -> int:
    """The day of a time in nanoseconds, UTC."""
    return max(arrived // DAY, 0)


def ensure(connection: extensions.connection, table: str, day: int) -> None:
    """See that a table has the partition of a day. Raises psycopg2.Error.

    It is made apart and attached: only that leaves those who read the table alone.
    """
    wanted = Partition(table, day)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            cursor.execute("SELECT to_regclass(%s)", (wanted.name,))
            if cursor.fetchone() == (None,):
                _make(cursor, wanted)
            cursor.execute("COMMIT")
        except psycopg2.Error:
            if not connection.closed:
                cursor.execute("ROLLBACK")
            raise


def _make(cursor: extensions.cursor, wanted: Partition) -> None:
    table, name = wanted.table, wanted.name
    low, high = wanted.day * DAY, (wanted.day + 1) * DAY
    end = str(high) if high <= _END else "MAXVALUE"
    cursor.execute(
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING STORAGE)"
    )
    # Within one day the place of a record is its own; across days the cursor sees to it.
    cursor.execute(f"CREATE UNIQUE INDEX {name}_place ON {name} (epoch_id, seq)")
    # With it, attaching need not read the rows.
    cursor.execute(
        f"ALTER TABLE {name} ADD CONSTRAINT {name}_day CHECK (arrived BETWEEN {low} AND {min(high - 1, _END)})"
    )
    cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({end})")
    cursor.execute(f"ALTER TABLE {name} DROP CONSTRAINT {name}_day")


def existing(connection: extensions.connection, table: str) -> list[Partition]:
    """The partitions of a table, oldest first. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
            " WHERE inhparent = to_regclass(%s) ORDER BY child.relname",
            (table,),
        )
        names = [name for (name,) in cursor.fetchall()]
    found = []
    bare = table.rpartition(".")[2]
    for name in names:
        written = name.removeprefix(f"{bare}_")
        day = datetime.strptime(written, "%Y%m%d").replace(tzinfo=UTC)
        found.append(Partition(bare, int(day.timestamp()) // 86_400))
    return sorted(found)
