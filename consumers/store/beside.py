"""What stands on the way through the log for records that are not here: gaps, batches in quarantine, stubs.

Few of them, each from an index of its own; all that is asked of them is their place in time and their node.
"""

from __future__ import annotations

from typing import Final

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import quarantine, withheld
from tabard.consumers.store.filters import Filter, among
from tabard.consumers.store.gaps import gap_row, gap_select
from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import GAP_BASE, QUARANTINE_BASE, WITHHELD_BASE, GapRow, Key
from tabard.records import INT_MIN

NO_ID: Final = INT_MIN
"""Less than the id of any record or gap."""
_GAP_ID: Final = f"gap.id + {GAP_BASE}"


def found(connection: Reading, only: Filter, ends: tuple[Key, Key], order: str, limit: int) -> list[GapRow]:
    """Up to `limit` of each kind, of the stream of logs, between two places (both exclusive); `order` is ASC or DESC.

    Stubs are no loss: where more is asked than place and time they are left out.
    """
    nodes, sql = only.nodes, connection.sql
    within, values = bounds(*ends, "gap.time", _GAP_ID)
    lane, of_nodes = _among_nodes("gap", nodes)
    inside, held_values = bounds(*ends, "held.time", f"held.id + {QUARANTINE_BASE}")
    held_lane, held_nodes = _among_nodes("held", nodes)
    stubs, stub_values = ("", ()) if only.conditions else _stubs(sql, nodes, ends, order, limit)
    rows = connection.again(
        f"SELECT * FROM ({gap_select(sql, sql.records)} WHERE gap.stream = ? AND {within}{lane}"  # noqa: S608
        f" ORDER BY gap.time {order}, gap.id {order} LIMIT ?) AS gaps UNION ALL"
        f" SELECT * FROM ({quarantine.select(sql, sql.records)} WHERE held.stream = ? AND {inside}{held_lane}"
        f" ORDER BY held.time {order}, held.id {order} LIMIT ?) AS batches{stubs}",
        (LOGS, *values, *of_nodes, limit, LOGS, *held_values, *held_nodes, limit, *stub_values),
    )
    return list(map(gap_row, rows))


def _stubs(
    sql: Sql, nodes: tuple[int, ...] | None, ends: tuple[Key, Key], order: str, limit: int
) -> tuple[str, tuple[int, ...]]:
    """What to add to the question, with its values."""
    within, values = bounds(*ends, "stub.time", f"stub.id + {WITHHELD_BASE}")
    lane, of_nodes = _among_nodes("stub", nodes)
    text = (
        f" UNION ALL SELECT * FROM ({withheld.select(sql, sql.records)} WHERE stub.stream = ? AND {within}{lane}"  # noqa: S608
        f" ORDER BY stub.time {order}, stub.id {order} LIMIT ?) AS stubs"
    )
    return text, (LOGS, *values, *of_nodes, limit)


def _among_nodes(table: str, nodes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]]:
    """The condition that a row of that table is of one of the nodes, with its values; None is any."""
    return ("", ()) if nodes is None else (f" AND {among(f'{table}.node_id', nodes)}", nodes)


def bounds(
    low: Key, high: Key, time: str = "log.time", row_id: str = "log.id", plus: str = ""
) -> tuple[str, tuple[int, ...]]:
    """The condition for places between `low` and `high`, both exclusive.

    The plus signs leave one range for the index, or with `plus` none; what remains decides among records of the same time.
    """
    conditions, values = [f"{plus}{time} >= ?"], [low[0]]
    if low[1] != NO_ID:
        conditions.append(f"(+{time} > ? OR +({row_id}) > ?)")
        values += low
    conditions.append(f"{plus}{time} {'<' if high[1] == NO_ID else '<='} ?")
    values.append(high[0])
    if high[1] != NO_ID:
        conditions.append(f"(+{time} < ? OR +({row_id}) < ?)")
        values += high
    return " AND ".join(conditions), tuple(values)
