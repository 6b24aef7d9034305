"""Reading the log in the order a terminal wants it: oldest first, as much as was asked for, and then what is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

from tabard.consumers.store.arriving import Beside
from tabard.consumers.store.attestation import Attestation
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import MAX_LIMIT, GapRow, LogQuery, LogRow, Stored

Row = LogRow | GapRow
PAGE: Final = 1_000


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
    beside: Beside
    """The place behind the gaps and the like that were stored last."""
    which: str = ""
    """Which store it is."""
    before: tuple[Stored, ...] = ()
    """Some of the records up to the last one, that one included: the farther back, the fewer."""

    def covers(self, row: Row) -> bool:
        """Whether the row was stored by then."""
        return self.beside.covers(row) if isinstance(row, GapRow) else row.id <= self.record


def mark(reader: StoreReader) -> Mark:
    """Where the store is now. Raises StoreError."""
    while True:
        which, record = reader.which(), reader.last_id()
        beside = reader.beside_end()
        ids = [record, *(record - 2**power for power in range(record.bit_length()))]
        before = {found.id: found for found in map(reader.stored, ids) if found is not None}
        if reader.which() == which:
            return Mark(record, beside, which, tuple(before[at] for at in sorted(before)))
