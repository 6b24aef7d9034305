"""Nodes: who was heard, what is missing of them, how the whole store stands."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tabard.brokers.wire.streams import STREAM_IDS, STREAM_NAMES
from tabard.consumers.store import withheld
from tabard.consumers.store.filters import zone_condition
from tabard.consumers.store.gaps import gap_row, gap_select
from tabard.consumers.store.held import held
from tabard.consumers.store.layout import FILES, ROW_TABLES
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import GapRow, NodeRow, Stats, StreamStats

LATE: Final = 2.0
SILENT: Final = 3.0
"""Intervals since the last beacon after which a node is late, and silent."""

_NODES: Final = (
    "SELECT node.id, node.name, node.zone, presence.beacon, presence.wall, presence.interval, presence.state,"
    " presence.facts FROM node LEFT JOIN presence ON presence.node_id = node.id"
)


def nodes(connection: Reading, now: int) -> list[NodeRow]:
    """Every node, by zone and name."""
    counts = _gap_counts(connection)
    return [
        _node_row(row, counts, now) for row in connection.execute(_NODES + " ORDER BY node.zone, node.name")
    ]


def node(connection: Reading, name: str, now: int, zone: str | None) -> NodeRow | None:
    """One node, as `Reader.node` says."""
    row_id = node_id(connection, name, zone)
    if row_id is None:
        return None
    row = connection.execute(_NODES + " WHERE node.id = ?", (row_id,)).fetchone()
    _id, name, zone, *_rest = row
    return _node_row(row, _gap_counts(connection, name, zone), now)


def newest_beacon(connection: Reading) -> tuple[int, int] | None:
    """The last beacon of any node, as `Reader.newest_beacon` says."""
    row = connection.execute(
        "SELECT presence.beacon, presence.interval FROM presence ORDER BY beacon DESC LIMIT 1"
    ).fetchone()
    return None if row is None else (row[0], row[1])


def node_id(connection: Reading, name: str, zone: str | None) -> int | None:
    """The number of the node of that name in that zone; without a zone of the one heard last."""
    row = connection.execute(
        "SELECT node.id FROM node LEFT JOIN presence ON presence.node_id = node.id"
        " WHERE node.name = ? AND (node.zone = ? OR ?) ORDER BY presence.beacon IS NULL, presence.beacon DESC, node.id LIMIT 1",
        (name, zone, zone is None),
    ).fetchone()
    return None if row is None else int(row[0])


def heartbeats(
    connection: Reading, name: str, since: int, until: int, zone: str | None
) -> list[tuple[int, int]]:
    """Minutes with beacons, as `Reader.heartbeats` says."""
    return connection.execute(
        "SELECT minute, beacons FROM heartbeat WHERE node_id = ? AND minute >= ? AND minute < ? ORDER BY minute",
        (node_id(connection, name, zone), since, until),
    ).fetchall()


def gaps(
    connection: Reading,
    node_name: str | None,
    zone: str | None,
    stream: str | None,
    since: int | None,
    until: int | None,
    limit: int,
) -> list[GapRow]:
    """Gaps of both files, as `Reader.gaps` says."""
    wanted = {"gap.time >= ?": since, "gap.time < ?": until}
    given = {text: value for text, value in wanted.items() if value is not None}
    conditions: list[str] = ["gap.stream = ?", *given]
    values: list[int | str] = list(given.values())
    if zone is not None:
        inside, ends = zone_condition("node.zone", zone)
        conditions.append(inside)
        values += ends
    found: list[GapRow] = []
    for database, kind in zip(connection.sql.parts, FILES, strict=True):
        # One question for each stream and node: each is answered straight from an index, newest first.
        nodes_of = _nodes_called(connection, database, node_name)
        lane = " AND gap.node_id = ?" if node_name is not None else ""
        query = (
            f"{gap_select(connection.sql, database)} WHERE {' AND '.join(conditions)}{lane}"
            " ORDER BY gap.time DESC, gap.id DESC LIMIT ?"
        )
        for number in kind.streams:
            if stream is None or STREAM_IDS.get(stream) == number:
                for one in nodes_of:
                    found += map(gap_row, connection.execute(query, (number, *values, *one, limit)))
    found.sort(key=lambda gap: gap.key, reverse=True)
    return found[:limit]


def _nodes_called(connection: Reading, database: str, name: str | None) -> list[tuple[int, ...]]:
    """The numbers of the nodes of that name in one of the two files; without a name one that stands for all."""
    if name is None:
        return [()]
    return connection.execute(f"SELECT id FROM {database}.node WHERE name = ?", (name,)).fetchall()  # noqa: S608


def stats(connection: Reading, store: Path) -> Stats:
    """The store in numbers. Rows are counted as they are written and deleted, not here."""
    streams = {}
    for kind, database in zip(FILES, connection.sql.parts, strict=True):
        rows = dict(connection.execute(f"SELECT stream, rows FROM {database}.usage").fetchall())  # noqa: S608
        for stream in sorted(kind.streams):
            table = f"{database}.{ROW_TABLES[stream]}"
            ends = [
                connection.execute(f"SELECT arrived FROM {table} ORDER BY id {order} LIMIT 1").fetchone()  # noqa: S608
                for order in ("ASC", "DESC")
            ]
            oldest, newest = (None if end is None else int(end[0]) for end in ends)
            streams[STREAM_NAMES[stream]] = StreamStats(rows.get(stream, 0), oldest, newest)
    free = sum(
        _pragma(connection, database, "freelist_count") * _pragma(connection, database, "page_size")
        for database in connection.sql.parts
    )
    kept = held(connection)
    return Stats(
        holds=kept.holds,
        held=kept.rows,
        held_partial=kept.partial,
        streams=streams,
        nodes=_count(connection, f"{connection.sql.records}.node"),
        gaps=sum(_count(connection, f"{database}.gap") for database in connection.sql.parts),
        quarantined=sum(_count(connection, f"{database}.quarantine") for database in connection.sql.parts),
        withheld=withheld.total(connection),
        bytes=sum(_size(kind.path(store)) for kind in FILES),
        free=free,
    )


def _gap_counts(
    connection: Reading, name: str | None = None, zone: str | None = None
) -> Counter[tuple[str, str]]:
    """Gaps per zone and node: of all, or of one."""
    one = " WHERE node.zone = ? AND node.name = ?" if name is not None else ""
    counts: Counter[tuple[str, str]] = Counter()
    for database in connection.sql.parts:
        for at, called, count in connection.execute(
            "SELECT node.zone, node.name, (SELECT count(*)"  # noqa: S608
            f" FROM {database}.gap AS gap WHERE gap.node_id = node.id) FROM {database}.node AS node{one}",
            (zone, name) if one else (),
        ):
            counts[at, called] += count
    return counts


def _node_row(row: tuple[Any, ...], counts: Mapping[tuple[str, str], int], now: int) -> NodeRow:
    _id, name, zone, beacon, wall, interval, state, facts = row
    known = _map(facts)
    version = known.get("version")
    return NodeRow(
        name=name,
        zone=zone,
        state="never" if beacon is None else _state(now - beacon, interval),
        last_beacon=beacon,
        interval=None if interval is None else interval / 1e9,
        clock=None if beacon is None else wall - beacon,
        version=version if isinstance(version, str) else None,
        lag=_lag(_map(state)),
        gaps=counts.get((zone, name), 0),
        facts=known,
    )


def _state(age: int, interval: int) -> str:
    if age <= LATE * interval:
        return "up"
    return "late" if age <= SILENT * interval else "silent"


def _lag(state: Mapping[str, Any]) -> dict[str, int]:
    """Per stream, what the node has beyond what is stored of it; streams of which that is not known are left out."""
    return {
        stream: numbers["behind"]
        for stream, numbers in state.items()
        if isinstance(numbers, dict) and isinstance(numbers.get("behind"), int)
    }


def _map(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def _count(connection: Reading, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def _pragma(connection: Reading, database: str, name: str) -> int:
    return int(connection.execute(f"PRAGMA {database}.{name}").fetchone()[0])


def _size(path: Path) -> int:
    size = 0
    for suffix in ("", "-wal"):
        try:
            size += os.stat(f"{path}{suffix}").st_size
        except FileNotFoundError:
            continue
    return size
