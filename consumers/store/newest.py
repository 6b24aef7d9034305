"""The newest rows of a table that stands in both files, as rows of the log."""

from __future__ import annotations

from collections.abc import Callable

from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store import layout
from tabard.consumers.store.filters import among, node_ids
from tabard.consumers.store.gaps import gap_row
from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import GapRow


def newest(
    connection: Reading,
    node: str | None,
    zone: str | None,
    stream: str | None,
    limit: int,
    select: Callable[[Sql, str], str],
    alias: str,
) -> list[GapRow]:
    """By arrival, the newest first. `select` begins the query of one file, with its table named `alias`; None is any."""
    found: list[GapRow] = []
    for database, kind in zip(connection.sql.parts, layout.FILES, strict=True):
        nodes = node_ids(connection, node, zone, database)
        lane = "" if nodes is None else f" AND {among(f'{alias}.node_id', nodes)}"
        for number in kind.streams:
            if stream is None or STREAM_NAMES[number] == stream:
                rows = connection.execute(
                    f"{select(connection.sql, database)} WHERE {alias}.stream = ?{lane}"
                    f" ORDER BY {alias}.arrived DESC, {alias}.id DESC LIMIT ?",
                    (number, *(nodes or ()), limit),
                )
                found += map(gap_row, rows)
    found.sort(key=lambda row: (row.arrived, row.id), reverse=True)
    return found[:limit]
