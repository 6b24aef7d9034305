"""Gaps in the tables, as rows of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store.reading import Sql
from tabard.consumers.store.results import GapRow

_GAP_COLUMNS: Final = (
    "gap.id, node.name, node.zone, gap.stream, {epoch}, gap.first, gap.last, gap.count, gap.at_least,"
    " gap.kind, gap.reason, gap.detail, gap.time, gap.arrived"
)


def gap_row(row: Sequence[Any]) -> GapRow:
    """A gap from the columns of `gap_select`."""
    row_id, node, zone, stream, epoch, first, last, count, at_least, *rest = row
    return GapRow(
        row_id,
        node,
        zone,
        STREAM_NAMES[stream],
        epoch.lower() if epoch else None,
        first,
        last,
        count,
        bool(at_least),
        *rest,
    )


def gap_select(sql: Sql, database: str) -> str:
    """The start of a query for gaps in one of the two parts."""
    return (
        f"SELECT {_GAP_COLUMNS.format(epoch=sql.epoch)} FROM {database}.gap AS gap"  # noqa: S608
        f" {sql.join} {database}.node AS node ON node.id = gap.node_id"
        f" LEFT JOIN {database}.epoch AS epoch ON epoch.id = gap.epoch_id"
    )
