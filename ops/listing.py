"""Reading the log in the order a terminal wants it: oldest first, as much as was asked for, and then what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import MAX_LIMIT, GapRow, LogQuery, LogRow

Row = LogRow | GapRow
PAGE: Final = 1_000
POLL: Final = 0.05
"""Seconds between two looks for new records; one costs some 0.1 ms."""
GAPS_EVERY: Final = 20
"""Looks for new records between two looks for new gaps."""
_GAPS: Final = 1_000


def newest(reader: StoreReader, query: LogQuery, count: int) -> list[Row]:
    """The newest ``count`` records and gaps that fit, oldest first. Raises StoreError."""
    found: list[Row] = []
    query = replace(query, order="new")
    while len(found) < count:
        for page in reader.search(replace(query, limit=min(count - len(found), MAX_LIMIT))):
            found += page.rows
        if page.older is None:
            break
        query = replace(query, before=page.older)
    found.reverse()
    return found


def every(reader: StoreReader, query: LogQuery) -> Iterator[Row]:
    """All records and gaps that fit, oldest first, one page in memory at a time. Raises StoreError."""
    query = replace(query, order="old", limit=PAGE)
    while True:
        for page in reader.search(query):
            yield from page.rows
        if page.newer is None:
            return
        query = replace(query, after=page.newer)


class Mark(NamedTuple):
    """A moment in the life of the store: what was stored up to it, and what came later."""

    record: int
    """The id of the record stored last."""
    gap: int
    """Arrival of the gap stored last."""

    def covers(self, row: Row) -> bool:
        """Whether the row was stored by then."""
        return row.arrived <= self.gap if isinstance(row, GapRow) else row.id <= self.record


def mark(reader: StoreReader, query: LogQuery) -> Mark:
    """Where the store is now. Raises StoreError."""
    return Mark(reader.last_id(), max((gap.arrived for gap in _gaps(reader, query)), default=0))


def follow(
    reader: StoreReader, query: LogQuery, since: Mark, wait: Callable[[float], None] = time.sleep
) -> Iterator[list[Row]]:
    """What is stored after ``since``, as it comes: records by id, gaps by arrival. Does not end by itself.

    Yields an empty list when nothing new was found, so that a caller can notice that nobody reads it any
    more. Raises StoreError.
    """
    query = replace(query, limit=PAGE)
    after, gap_seen = since
    looks = 0
    while True:
        rows, reached = reader.tail(query, after)
        new: list[Row] = list(rows)
        if looks % GAPS_EVERY == 0:
            gaps = [gap for gap in _gaps(reader, query) if gap.arrived > gap_seen]
            gaps.sort(key=lambda gap: gap.arrived)
            gap_seen = max([gap_seen, *(gap.arrived for gap in gaps)])
            new += gaps
        looks += 1
        yield new
        if reached == after:
            after = min(after, reader.last_id())  # a restored store goes on from a lower id
            wait(POLL)
        else:
            after = reached


def _gaps(reader: StoreReader, query: LogQuery) -> list[GapRow]:
    return [
        *reader.gaps(query.node, zone=query.zone, stream="logs", limit=_GAPS),
        *reader.quarantine(query.node, zone=query.zone, stream="logs", limit=_GAPS),
    ]
