"""What stands beside the log in the order it was stored: gaps, batches in quarantine, stubs, for who follows them.

A place is an id of each kind, so that a look costs next to nothing when nothing came, and what came is read page by
page, however much it is. On SQLite the newest id may come again: a gap that is filled goes, and the next one takes its
number. What arrived after the place was taken is new there, whatever its id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Self

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import quarantine, withheld
from tabard.consumers.store.filters import among, node_ids
from tabard.consumers.store.gaps import gap_row, gap_select
from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import QUARANTINE, WITHHELD, GapRow, LogQuery
from tabard.consumers.store.withheld import asks_of_records

_Select = Callable[[Sql, str], str]
_SELECTS: Final[dict[str, tuple[str, _Select]]] = {
    "gap": ("gap", gap_select),
    "quarantine": ("held", quarantine.select),
    "withheld": ("stub", withheld.select),
}
"""By table, in the order of the fields of `Beside`: the name it goes by in its query, and how that begins."""
TABLES: Final = tuple(_SELECTS)
PAGE: Final = 1000
"""Rows of each kind that are read at once."""


class Beside(NamedTuple):
    """How far what stands beside the log was read."""

    gap: int = 0
    quarantine: int = 0
    withheld: int = 0
    """The last id of each kind."""
    arrived: int = 0
    """When the last one came that was there."""

    def __str__(self) -> str:
        """In a word for `read`."""
        return ".".join(map(str, self))

    @classmethod
    def read(cls, text: str) -> Self:
        """The place of such a word. Raises ValueError."""
        parts = text.split(".")
        if len(parts) != len(cls._fields) or not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(
                f"expected {len(cls._fields)} numbers with dots between them, found {text[:100]!r}"
            )
        numbers = [int(part[:20]) for part in parts]
        if max(numbers) >= 2**63:
            raise ValueError(f"a place has numbers below 2^63, found {text[:100]!r}")
        return cls(*numbers)

    def covers(self, row: GapRow) -> bool:
        """Whether the row is none that comes after this place."""
        return row.id <= {QUARANTINE: self.quarantine, WITHHELD: self.withheld}.get(row.kind, self.gap)


def end(connection: Reading, ids: Sequence[int] | None = None) -> Beside:
    """The place behind all that is there; without `ids` up to the highest, where one writer at a time gives them."""
    if ids is None:
        ids = [
            int(connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0])  # noqa: S608
            for table in TABLES
        ]
    arrived = [
        connection.execute(f"SELECT max(arrived) FROM {table} WHERE stream = ?", (LOGS,)).fetchone()[0]  # noqa: S608
        for table in TABLES
    ]
    return Beside._make([*ids, max(0, *(moment or 0 for moment in arrived))])


def since(connection: Reading, arrived: int, last: Beside) -> Beside:
    """The place before all that arrived after a moment, of what is there up to `last`."""
    ids = [_before(connection, table, arrived, last[at]) for at, table in enumerate(TABLES)]
    return Beside._make([*ids, min(arrived, last.arrived)])


def after(
    connection: Reading, query: LogQuery, place: Beside, last: Beside, limit: int, *, again: bool
) -> tuple[list[GapRow], Beside]:
    """Up to `limit` of each kind that came after a place, up to the place `last`, and the place to go on from.

    `again`: ids that were of rows which are gone come again.
    """
    nodes = node_ids(connection, query.node, query.zone, connection.sql.records)
    rows: list[GapRow] = []
    reached: list[int] = []
    for at, (table, (alias, select)) in enumerate(_SELECTS.items()):
        low = place[at]
        if again:
            low = min(_before(connection, table, place.arrived, low), last[at])
        high = max(low, last[at])
        found: list[GapRow] = []
        if low < high and nodes != () and not (table == WITHHELD and asks_of_records(query)):
            lane = "" if nodes is None else f" AND {among(f'{alias}.node_id', nodes)}"
            text = (
                f"{select(connection.sql, connection.sql.records)} WHERE {alias}.stream = ? AND {alias}.id > ?"
                f" AND {alias}.id <= ?{lane} ORDER BY {alias}.id LIMIT ?"
            )
            answer = connection.execute(text, (LOGS, low, high, *(nodes or ()), limit))
            found = list(map(gap_row, answer.fetchall()))
        reached.append(found[-1].id if len(found) == limit else high)
        rows += found
    rows.sort(key=lambda row: (row.arrived, row.id))
    return rows, Beside._make([*reached, last.arrived])


def _before(connection: Reading, table: str, arrived: int, row_id: int) -> int:
    """The id, or a lower one: all that arrived after a moment has ids beyond it."""
    (first,) = connection.execute(
        f"SELECT min(id) FROM {table} WHERE stream = ? AND arrived > ?",  # noqa: S608
        (LOGS, arrived),
    ).fetchone()
    return row_id if first is None else min(row_id, int(first) - 1)
