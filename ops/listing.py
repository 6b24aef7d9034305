"""Reading the log in the order a terminal wants it: oldest first, as much as was asked for, and then what is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

from tabard.consumers.store.attestation import Attestation
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import MAX_LIMIT, GapRow, LogQuery, LogRow, Stored
from tabard.consumers.store.withheld import asks_of_records

Row = LogRow | GapRow
PAGE: Final = 1_000
_GAPS: Final = 1_000
LATE: Final = 600 * 10**9
"""Nanoseconds by which a gap may be seen later than another one that arrived after it, by the clocks of two recorders."""


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


def attested(reader: StoreReader, rows: Iterable[Row]) -> Iterator[tuple[Row, Sequence[Attestation]]]:
    """Each row with who attests it, which is asked for many of them at once. Raises StoreError."""
    left = iter(rows)
    while some := list(islice(left, PAGE)):
        found = reader.attested([row for row in some if isinstance(row, LogRow)])
        for row in some:
            yield row, found.get(row.id, ()) if isinstance(row, LogRow) else ()


class Mark(NamedTuple):
    """A moment in the life of the store: what was stored up to it, and what came later."""

    record: int
    """The id of the record stored last."""
    gap: int
    """Arrival of the gap stored last."""
    which: str = ""
    """Which store it is."""
    before: tuple[Stored, ...] = ()
    """Some of the records up to the last one, that one included: the farther back, the fewer."""
    near: tuple[GapRow, ...] = ()
    """The gaps that arrived within `LATE` of the last one."""

    def covers(self, row: Row) -> bool:
        """Whether the row was stored by then."""
        return row.arrived <= self.gap if isinstance(row, GapRow) else row.id <= self.record


def mark(reader: StoreReader, query: LogQuery) -> Mark:
    """Where the store is now. Raises StoreError."""
    while True:
        which, record = reader.which(), reader.last_id()
        gaps = gaps_of(reader, query)
        gap = max((row.arrived for row in gaps), default=0)
        ids = [record, *(record - 2**power for power in range(record.bit_length()))]
        before = {found.id: found for found in map(reader.stored, ids) if found is not None}
        if reader.which() == which:
            return Mark(record, gap, which, tuple(before[at] for at in sorted(before)), near_to(gap, gaps))


def near_to(arrived: int, gaps: Iterable[GapRow]) -> tuple[GapRow, ...]:
    """Those that arrived later than `LATE` before a moment, or after it."""
    return tuple(row for row in gaps if row.arrived > arrived - LATE)


def gaps_of(reader: StoreReader, query: LogQuery) -> list[GapRow]:
    """The newest gaps and batches in quarantine that fit. Raises StoreError."""
    return [
        *reader.gaps(query.node, zone=query.zone, stream="logs", limit=_GAPS),
        *reader.quarantine(query.node, zone=query.zone, stream="logs", limit=_GAPS),
        *(
            ()
            if asks_of_records(query)
            else reader.withheld(query.node, zone=query.zone, stream="logs", limit=_GAPS)
        ),
    ]
