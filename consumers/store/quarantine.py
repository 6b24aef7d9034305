"""Batches that the store could not take, as rows of the log: they are kept, and nobody can read what they say.

Their event times are not known. A batch of the stream of logs stands just after the record before it in its epoch,
or with the first one after it; where neither is left, and in the other streams, at its arrival.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import QUARANTINE

_SAID_BEFORE: Final = (
    "(SELECT log.time FROM {2}.log AS log WHERE log.epoch_id = held.epoch_id AND log.seq {0} held.first"
    " ORDER BY log.seq {1} LIMIT 1)"
)


def counts(connection: Reading) -> Counter[tuple[str, str]]:
    """How many batches of each zone and node there are; of nodes without any there is no entry."""
    found: Counter[tuple[str, str]] = Counter()
    for database in connection.sql.parts:
        for zone, name, count in connection.execute(
            f"SELECT node.zone, node.name, count(*) FROM {database}.quarantine AS held"  # noqa: S608
            f" JOIN {database}.node AS node ON node.id = held.node_id GROUP BY held.node_id"
        ):
            found[zone, name] += count
    return found


def select(sql: Sql, database: str, stream: int) -> str:
    """The start of a query for one stream's batches, as the columns of a gap."""
    before, after = (_SAID_BEFORE.format(*side, database) for side in (("<", "DESC"), (">", "ASC")))
    time = f"coalesce({before}, {after}, held.arrived)" if stream == LOGS else "held.arrived"
    return (
        f"SELECT held.id AS id, node.name, node.zone, held.stream, {sql.epoch}, held.first,"  # noqa: S608
        f" held.first + held.count - 1, held.count, 0, '{QUARANTINE}', held.reason, '', {time} AS time, held.arrived"
        f" FROM {database}.quarantine AS held {sql.join} {database}.node AS node ON node.id = held.node_id"
        f" LEFT JOIN {database}.epoch AS epoch ON epoch.id = held.epoch_id"
    )
