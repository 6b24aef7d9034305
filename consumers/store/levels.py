"""How many log records there are of each level: counted where they are few, estimated from a sample where they are many.

No index knows levels, since every index costs ingest; to count them would mean to read the log. So stretches of ids are
looked at, spread over all that there are. As many ids belong to each, so one from which retention took the lower levels
weighs less, as it should.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import LevelRows
from tabard.records import severity_name

FEW: Final = 50_000
"""Records that are counted."""
STRETCHES: Final = 100
STRETCH: Final = 300
"""Ids in each of them."""


def levels(connection: Reading) -> list[LevelRows]:
    """Records of each level that there is, the lowest first, as `Reader.levels` says."""
    total = connection.total().records
    first, last = connection.execute("SELECT min(id), max(id) FROM log").fetchone()
    if first is None:
        return []
    if total > FEW:
        found = _counted(connection, " OR ".join(_stretches(first, last)))
        looked_at = found.total()
        if looked_at:
            return _rows(
                {each: round(total * rows / looked_at) for each, rows in found.items()}, estimated=True
            )
    return _rows(_counted(connection, "1 = 1"), estimated=False)


def _stretches(first: int, last: int) -> list[str]:
    """Conditions for ids somewhere in each of equal parts of all between two: what comes at regular intervals counts as all else."""
    part = (last - first + 1) / STRETCHES
    room = max(int(part) - STRETCH, 0) + 1
    somewhere = random.Random(0)  # the same of the same store
    starts = [first + int(part * number) + somewhere.randrange(room) for number in range(STRETCHES)]
    return [f"id BETWEEN {start} AND {start + STRETCH - 1}" for start in starts]


def _counted(connection: Reading, where: str) -> Counter[int]:
    """Records by severity number."""
    found: Any = connection.execute(f"SELECT severity, count(*) FROM log WHERE {where} GROUP BY severity")  # noqa: S608
    return Counter({int(severity): int(rows) for severity, rows in found})


def _rows(found: dict[int, int], *, estimated: bool) -> list[LevelRows]:
    by_level: Counter[str] = Counter()
    for severity in sorted(found):
        by_level[severity_name(severity)] += found[severity]
    return [LevelRows(level, rows, estimated) for level, rows in by_level.items()]
