"""How many records legal holds cover, for people: counted when somebody asks, the oldest first, in a time box."""

from __future__ import annotations

from time import monotonic
from typing import Final, NamedTuple

from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store import holds
from tabard.consumers.store.layout import FILES, ROW_TABLES
from tabard.consumers.store.reading import Reading

BUDGET: Final = 1.0
"""Seconds."""
WINDOW: Final = 20_000
"""Rows between two looks at the clock."""


class Held(NamedTuple):
    """What is held."""

    holds: int
    """Holds in force."""
    rows: dict[str, int]
    """Records under one, by stream: of those looked at."""
    partial: bool
    """Whether there was no time to look at all."""


def held(connection: Reading, budget: float = BUDGET) -> Held:
    """Count what is held. Raises the driver's errors."""
    found: dict[str, int] = {}
    names: set[str] = set()
    deadline = monotonic() + budget
    partial = False
    for kind, part in zip(FILES, connection.sql.parts, strict=True):
        in_force = holds.listed(connection, part)
        names |= {hold.name for hold in in_force}
        for stream in sorted(kind.streams):
            table = ROW_TABLES[stream]
            condition = holds.condition(in_force, table, connection.sql, part)
            rows = after = 0
            while condition is not holds.NOTHING:
                last, count = connection.execute(
                    f"SELECT max(id), coalesce(sum(CASE WHEN {condition.text} THEN 1 ELSE 0 END), 0) FROM"  # noqa: S608
                    f" (SELECT * FROM {part}.{table} WHERE id > ? ORDER BY id LIMIT ?) AS {table}",
                    (*condition.values, after, WINDOW),
                ).fetchone()
                rows += int(count)
                if last is None:
                    break
                if monotonic() > deadline:
                    partial = True
                    break
                after = int(last)
            found[STREAM_NAMES[stream]] = rows
    return Held(len(names), found, partial)
