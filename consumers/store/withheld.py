"""What policies withheld, as rows of the log, and who attests the batches that they changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tabard.consumers.store import layout
from tabard.consumers.store.attestation import Attestation, Withholding
from tabard.consumers.store.newest import newest
from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import EQUAL_FIELDS, WITHHELD, GapRow, LogQuery, LogRow
from tabard.records import MAX_RECORDS


def select(sql: Sql, database: str) -> str:
    """The start of a query for stubs in one of the two files, as the columns of a gap."""
    return (
        f"SELECT stub.id, node.name, node.zone, stub.stream, {sql.epoch}, stub.first,"  # noqa: S608
        f" stub.first + stub.count - 1, stub.count, 0, '{WITHHELD}', policy.name,"
        " policy.zone, stub.time, stub.arrived"
        f" FROM {database}.withheld AS stub {sql.join} {database}.node AS node ON node.id = stub.node_id"
        f" LEFT JOIN {database}.policy AS policy ON policy.id = stub.policy_id"
        f" LEFT JOIN {database}.epoch AS epoch ON epoch.id = stub.epoch_id"
    )


def asks_of_records(query: LogQuery) -> bool:
    """Whether a query asks for more than place and time: then stubs, which are no loss, are left out of its answer."""
    given = (query.level, query.min_severity > 0, query.text, query.words)
    return any(given) or any(getattr(query, name) is not None for name in EQUAL_FIELDS)


def listed(
    connection: Reading, node: str | None, zone: str | None, stream: str | None, limit: int
) -> list[GapRow]:
    """Stubs of both files, as `StoreReader.withheld` says."""
    return newest(connection, node, zone, stream, limit, select, "stub")


def withholding(connection: Reading, stream: int, since: int) -> list[Withholding]:
    """As `StoreReader.withholding` says: one look into an index for each node, however much was withheld."""
    found: set[Withholding] = set()
    for database, kind in zip(connection.sql.parts, layout.FILES, strict=True):
        if stream in kind.streams:
            rows = connection.execute(newest_stubs(connection.sql, database), (stream, since)).fetchall()
            found |= {Withholding(*row) for row in rows}
    return sorted(found)


def newest_stubs(sql: Sql, database: str) -> str:
    """The query for zone and policy of each node's newest stub; stream and the least arrival are its parameters."""
    return (
        f"SELECT DISTINCT last.zone, policy.name, policy.zone FROM (SELECT node.zone AS zone,"  # noqa: S608
        f" (SELECT newest.id FROM {database}.withheld AS newest WHERE newest.node_id = node.id"
        f" AND newest.stream = ? ORDER BY newest.time DESC LIMIT 1) AS id FROM {database}.node AS node) AS last"
        f" {sql.join} {database}.withheld AS stub ON stub.id = last.id"
        f" {sql.join} {database}.policy AS policy ON policy.id = stub.policy_id WHERE stub.arrived >= ?"
    )


def total(connection: Reading) -> int:
    """How many records were withheld, as far as that is kept."""
    return sum(
        int(connection.execute(f"SELECT coalesce(sum(count), 0) FROM {database}.withheld").fetchone()[0])  # noqa: S608
        for database in connection.sql.parts
    )


def attested(connection: Reading, rows: Sequence[LogRow]) -> Mapping[int, Sequence[Attestation]]:
    """As `StoreReader.attested` says: one question for each epoch of the rows, if there is anything to ask for."""
    records = connection.sql.records
    if connection.execute(f"SELECT 1 FROM {records}.attestation LIMIT 1").fetchone() is None:  # noqa: S608
        return {}
    by_epoch: dict[int, list[LogRow]] = defaultdict(list)
    for row in rows:
        by_epoch[row.epoch_id].append(row)
    found: dict[int, Sequence[Attestation]] = {}
    for epoch_id, some in by_epoch.items():
        some.sort(key=lambda row: row.seq)
        said = connection.execute(
            "SELECT said.first, said.last, policy.zone, policy.name, said.broker"  # noqa: S608
            f" FROM {records}.attestation AS said JOIN {records}.policy AS policy ON policy.id = said.policy_id"
            " WHERE said.epoch_id = ? AND said.first > ? AND said.first <= ? ORDER BY said.first, said.place",
            (epoch_id, some[0].seq - MAX_RECORDS, some[-1].seq),
        ).fetchall()
        batches: dict[tuple[int, int], list[Attestation]] = defaultdict(list)
        for first, last, *who in said:
            batches[first, last].append(Attestation(*who))
        ranges = sorted(batches)
        at = 0
        for row in some:
            while at < len(ranges) and ranges[at][1] < row.seq:
                at += 1
            if at < len(ranges) and ranges[at][0] <= row.seq:
                found[row.id] = batches[ranges[at]]
    return found
