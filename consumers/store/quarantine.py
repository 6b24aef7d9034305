"""Batches that the store could not take, as rows of the log: they are kept, and nobody can read what they say.

Their event times are not known: a batch stands where a gap would.
"""

from __future__ import annotations

from collections import Counter

from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import QUARANTINE


def counts(connection: Reading) -> Counter[tuple[str, str]]:
    """How many batches of each zone and node there are; of nodes without any there is no entry."""
    found: Counter[tuple[str, str]] = Counter()
    for database in connection.sql.parts:
        for zone, name, count in connection.execute(
            f"SELECT node.zone, node.name, count(*) FROM {database}.quarantine AS held"  # noqa: S608
            f" JOIN {database}.node AS node ON node.id = held.node_id GROUP BY node.zone, node.name"
        ):
            found[zone, name] += count
    return found


def select(sql: Sql, database: str) -> str:
    """The start of a query for batches in one of the two files, as the columns of a gap."""
    return (
        f"SELECT held.id, node.name, node.zone, held.stream, {sql.epoch}, held.first,"  # noqa: S608
        f" held.first + held.count - 1, held.count, 0, '{QUARANTINE}', held.reason, '', held.time, held.arrived"
        f" FROM {database}.quarantine AS held {sql.join} {database}.node AS node ON node.id = held.node_id"
        f" LEFT JOIN {database}.epoch AS epoch ON epoch.id = held.epoch_id"
    )
