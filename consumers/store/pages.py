"""Pages of the log: filters, keyset paging on (time, id), gaps in their places, searches in a time box.

An index gives the newest or the next page at once when nothing is filtered. A filter that few records pass
would have SQLite read the whole log: it is searched in windows of the index, each of known size, so that the
search can stop between them and say how far it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from tabard.consumers.store import quarantine, walk
from tabard.consumers.store.filters import filter_of
from tabard.consumers.store.newest import newest
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import GapRow, Key, LogPage, LogQuery, LogRow, Stored
from tabard.consumers.store.walk import RECORD_COLUMNS, Walk, from_log, searched


def page(connection: Reading, query: LogQuery, budget: float) -> LogPage:
    """One page of records and gaps, as `Reader.logs` says."""
    falling = query.falls
    deadline = monotonic() + budget

    def found(way: Walk) -> tuple[Walk, list[LogRow], Key | None]:
        return (way, *way.records(query.limit + 1, deadline))

    way, records, reached = searched(connection, query, found, falling=falling)
    items: list[LogRow | GapRow] = [*records, *way.gaps(query.limit + 1, reached)]
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
        index=way.how,
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
        end = min(at + walk.LAST_WINDOW, last)
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


def stored(connection: Reading, row_id: int) -> Stored | None:
    """The record with the highest id up to `row_id`."""
    row = connection.execute(
        f"SELECT log.id, log.arrived, coalesce({connection.sql.epoch}, ''), log.seq FROM log"  # noqa: S608
        " LEFT JOIN epoch ON epoch.id = log.epoch_id WHERE log.id <= ? ORDER BY log.id DESC LIMIT 1",
        (row_id,),
    ).fetchone()
    return None if row is None else Stored(*row)


def stored_before(connection: Reading, low: int, high: int, arrived: int) -> Stored | None:
    """The last record that came before a moment, of those with ids between two: by halves, no index knows when they came."""
    first, last = low, high - 1
    while first < last:
        middle = (first + last + 1) // 2
        row = connection.execute(
            "SELECT id, arrived FROM log WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1", (middle, last)
        ).fetchone()
        if row is not None and row[1] < arrived:
            first = row[0]
        else:
            last = middle - 1
    return None if first <= low else stored(connection, first)


def epochs(connection: Reading, ids: Sequence[int]) -> dict[int, str]:
    """The names of epochs, in hexadecimal digits, by their ids; those of which something is left."""
    marks = ", ".join("?" * len(ids))
    found = connection.execute(
        f"SELECT id, {connection.sql.epoch} FROM epoch WHERE id IN ({marks})",  # noqa: S608
        tuple(ids),
    )
    return dict(found.fetchall())


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


def quarantined(
    connection: Reading, node: str | None, zone: str | None, stream: str | None, limit: int
) -> list[GapRow]:
    """Batches in quarantine of both files, as `Reader.quarantine` says."""
    return newest(connection, node, zone, stream, limit, quarantine.select, "held")
