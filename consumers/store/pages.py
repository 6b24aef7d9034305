"""Pages of the log: filters, keyset paging on (time, id), gaps in their places, searches in a time box.

An index gives the newest or the next page at once when nothing is filtered. A filter that few records pass
would have SQLite read the whole log: it is searched in windows of the index, each of known size, so that the
search can stop between them and say how far it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Final

from tabard.brokers.wire.streams import LOGS, STREAM_NAMES
from tabard.consumers.store import layout, quarantine
from tabard.consumers.store.filters import Filter, among, filter_of, node_ids
from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import (
    GAP_BASE,
    QUARANTINE_BASE,
    GapRow,
    Key,
    LogPage,
    LogQuery,
    LogRow,
)
from tabard.records import INT_MIN, TIME_MAX

FIRST_WINDOW: Final = 1_000
LAST_WINDOW: Final = 16_000
"""Index entries searched between two looks at the clock; the first windows are smaller."""

_NODE_FIELDS: Final = ("node", "zone")
RECORD_COLUMNS: Final = ", ".join(
    f"node.{'name' if field == 'node' else field}" if field in _NODE_FIELDS else f"log.{field}"
    for field in LogRow._fields
)
_GAP_COLUMNS: Final = (
    "gap.id, node.name, node.zone, gap.stream, {epoch}, gap.first, gap.last, gap.count, gap.at_least,"
    " gap.kind, gap.reason, gap.detail, gap.time, gap.arrived"
)
_GAP_ID: Final = f"gap.id + {GAP_BASE}"
_NO_ID: Final = INT_MIN
"""Less than the id of any record or gap."""
_TOP: Final[Key] = (TIME_MAX + 1, _NO_ID)
_BOTTOM: Final[Key] = (-1, _NO_ID)


def page(connection: Reading, query: LogQuery, budget: float) -> LogPage:
    """One page of records and gaps, as `Reader.logs` says."""
    falling = query.falls
    walk = Walk(connection, query, filter_of(connection, query), falling)
    records, reached = walk.records(query.limit + 1, monotonic() + budget)
    items: list[LogRow | GapRow] = [*records, *walk.gaps(query.limit + 1, reached)]
    items.sort(key=lambda item: item.key, reverse=falling)
    more = len(items) > query.limit
    del items[query.limit :]
    onward = items[-1].key if more else reached
    start = query.before if falling else query.after
    back = None if start is None else (items[0].key if items else start)
    if falling != (query.order == "new"):
        items.reverse()
    return LogPage(
        rows=items,
        older=onward if falling else back,
        newer=back if falling else onward,
        partial=reached is not None and not more,
        reached=None if reached is None or more else reached[0],
    )


def tail(
    connection: Reading, query: LogQuery, after_id: int, budget: float, last: int
) -> tuple[list[LogRow], int]:
    """Records stored after `after_id`, as `Reader.tail` says, up to the id `last`."""
    only = filter_of(connection, query)
    if only.nodes == ():
        return [], last
    deadline = monotonic() + budget
    rows: list[LogRow] = []
    conditions, values = only.rest
    if only.nodes is not None and len(only.nodes) == 1:
        conditions, values = conditions + " AND +log.node_id = ?", (*values, *only.nodes)
    at = after_id
    while at < last and len(rows) < query.limit and monotonic() < deadline:
        end = min(at + LAST_WINDOW, last)
        found = connection.execute(
            f"SELECT {RECORD_COLUMNS} {from_log(connection)} WHERE log.id > ? AND log.id <= ?{conditions}"
            " ORDER BY log.id LIMIT ?",
            (at, end, *values, query.limit - len(rows)),
        ).fetchall()
        rows += map(LogRow._make, found)
        at = rows[-1].id if len(rows) == query.limit else end
    return rows, at


def last_id(connection: Reading) -> int:
    """The id of the record stored last, 0 when there is none."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()[0])


def oldest(connection: Reading) -> int | None:
    """Event time of the oldest record, from the index."""
    found: int | None = connection.execute("SELECT min(time) FROM log").fetchone()[0]
    return found


def one(connection: Reading, row_id: int) -> LogRow | None:
    """The record with that id."""
    row = connection.execute(
        f"SELECT {RECORD_COLUMNS} {from_log(connection)} WHERE log.id = ?", (row_id,)
    ).fetchone()
    return None if row is None else LogRow._make(row)


def context(connection: Reading, row_id: int, count: int) -> list[LogRow]:
    """A record and its neighbours in the same epoch, by seq; empty when it is not there."""
    middle = one(connection, row_id)
    if middle is None:
        return []
    place = (middle.epoch_id, middle.seq, count)
    select = f"SELECT {RECORD_COLUMNS} {from_log(connection)} WHERE log.epoch_id = ? AND log.seq "
    before = connection.execute(select + "< ? ORDER BY log.seq DESC LIMIT ?", place).fetchall()
    after = connection.execute(select + "> ? ORDER BY log.seq LIMIT ?", place).fetchall()
    return [*map(LogRow._make, reversed(before)), middle, *map(LogRow._make, after)]


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


def quarantined(
    connection: Reading, node: str | None, zone: str | None, stream: str | None, limit: int
) -> list[GapRow]:
    """Batches in quarantine of both files, as `Reader.quarantine` says."""
    found: list[GapRow] = []
    for database, kind in zip(connection.sql.parts, layout.FILES, strict=True):
        lane, nodes = _in_quarantine(node_ids(connection, node, zone, database))
        for number in kind.streams:
            if stream is None or STREAM_NAMES[number] == stream:
                rows = connection.execute(
                    f"{quarantine.select(connection.sql, database)} WHERE held.stream = ?{lane}"
                    " ORDER BY held.arrived DESC, held.id DESC LIMIT ?",
                    (number, *nodes, limit),
                )
                found += map(gap_row, rows)
    found.sort(key=lambda row: (row.arrived, row.id), reverse=True)
    return found[:limit]


def _in_quarantine(nodes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]]:
    """The condition for batches of those nodes, with its values; None is any."""
    return ("", ()) if nodes is None else (f" AND {among('held.node_id', nodes)}", nodes)


def from_log(connection: Reading) -> str:
    """The records and their nodes, to be read along an index of the records."""
    return f"FROM log {connection.sql.join} node ON node.id = log.node_id"


def gap_select(sql: Sql, database: str) -> str:
    """The start of a query for gaps in one of the two parts."""
    return (
        f"SELECT {_GAP_COLUMNS.format(epoch=sql.epoch)} FROM {database}.gap AS gap"  # noqa: S608
        f" {sql.join} {database}.node AS node ON node.id = gap.node_id"
        f" LEFT JOIN {database}.epoch AS epoch ON epoch.id = gap.epoch_id"
    )


class Walk:
    """A way through the log by (time, id), newest first when `falling`, between two places (both exclusive)."""

    def __init__(self, connection: Reading, query: LogQuery, only: Filter, falling: bool) -> None:
        self._connection = connection
        self._only = only
        self._falling = falling
        self._order = "DESC" if falling else "ASC"
        self._low = max(query.after or _BOTTOM, _BOTTOM if query.since is None else (query.since, _NO_ID))
        self._high = min(query.before or _TOP, _TOP if query.until is None else (query.until, _NO_ID))

    def records(self, limit: int, deadline: float) -> tuple[list[LogRow], Key | None]:
        """Up to `limit` records, and the place reached when the deadline ended the search (None: it did not)."""
        rows: list[LogRow] = []
        for where, values, edge in self.windows(stepwise=bool(self._only.rest[0])):
            found = self._connection.execute(
                f"SELECT {RECORD_COLUMNS} {from_log(self._connection)} WHERE {where}"
                f" ORDER BY log.time {self._order}, log.id {self._order} LIMIT ?",
                (*values, limit - len(rows)),
            ).fetchall()
            rows += map(LogRow._make, found)
            if len(rows) >= limit:
                break
            if edge is not None and monotonic() >= deadline:
                return rows, edge
        return rows, None

    def gaps(self, limit: int, reached: Key | None) -> list[GapRow]:
        """Up to `limit` gaps and batches in quarantine of the stream of logs on the same way, none beyond `reached`."""
        nodes = self._only.nodes
        low, high = self._between(self._low, self._high, reached)
        bounds, values = _bounds("gap.time", _GAP_ID, low, high)
        lane = "" if nodes is None else f" AND {among('gap.node_id', nodes)}"
        found = self._connection.execute(
            f"{gap_select(self._connection.sql, self._connection.sql.records)} WHERE gap.stream = ? AND {bounds}{lane}"
            f" ORDER BY gap.time {self._order}, gap.id {self._order} LIMIT ?",
            (LOGS, *values, *(nodes or ()), limit),
        )
        rows = [gap_row(row) for row in found]
        rows += self._quarantined(low, high, limit)
        return sorted(rows, key=lambda row: row.key, reverse=self._falling)[:limit]

    def _quarantined(self, low: Key, high: Key, limit: int) -> list[GapRow]:
        """Up to `limit` batches in quarantine between two places, both exclusive."""
        inside, values = _bounds("held.time", f"held.id + {QUARANTINE_BASE}", low, high)
        lane, nodes = _in_quarantine(self._only.nodes)
        sql = self._connection.sql
        found = self._connection.execute(
            f"{quarantine.select(sql, sql.records)} WHERE held.stream = ? AND {inside}{lane}"
            f" ORDER BY held.time {self._order}, held.id {self._order} LIMIT ?",
            (LOGS, *values, *nodes, limit),
        )
        return [gap_row(row) for row in found]

    def windows(self, *, stepwise: bool) -> Iterator[tuple[str, tuple[Any, ...], Key | None]]:
        """Conditions and values of one stretch of the way after another, each with the place where it ends.

        The last one ends nowhere (None); unless `stepwise` it is the only one.
        """
        if self._only.nodes == ():
            return
        lane, lane_values = self._only.lane
        rest, rest_values = self._only.rest
        low, high = self._low, self._high
        size = FIRST_WINDOW
        edge: Key | None = None
        while True:
            edge = self._edge(low, high, size) if stepwise else None
            bounds, values = _bounds("log.time", "log.id", *self._between(low, high, edge))
            yield f"{lane}{bounds}{rest}", (*lane_values, *values, *rest_values), edge
            if edge is None:
                return
            low, high = (low, edge) if self._falling else (edge, high)
            size = min(size * 2, LAST_WINDOW)

    def _between(self, low: Key, high: Key, edge: Key | None) -> tuple[Key, Key]:
        """The exclusive ends of the stretch up to `edge`, which still belongs to it."""
        if edge is None:
            return low, high
        time, row_id = edge
        return ((time, row_id - 1), high) if self._falling else (low, (time, row_id + 1))

    def _edge(self, low: Key, high: Key, size: int) -> Key | None:
        """The place of the `size`-th record from here, by the index alone; None when there are fewer."""
        lane, lane_values = self._only.lane
        bounds, values = _bounds("log.time", "log.id", low, high)
        row = self._connection.execute(
            f"SELECT log.time, log.id FROM log WHERE {lane}{bounds}"  # noqa: S608
            f" ORDER BY log.time {self._order}, log.id {self._order} LIMIT 1 OFFSET ?",
            (*lane_values, *values, size - 1),
        ).fetchone()
        return None if row is None else (row[0], row[1])


def _bounds(time: str, row_id: str, low: Key, high: Key) -> tuple[str, tuple[int, ...]]:
    """The condition for places between `low` and `high`, both exclusive.

    The plus signs leave one range for the index; what remains decides among records of the same time.
    """
    condition = f"{time} >= ? AND {time} <= ? AND (+{time} > ? OR +({row_id}) > ?) AND (+{time} < ? OR +({row_id}) < ?)"
    return condition, (low[0], high[0], *low, *high)
