"""What is not in the log and why: gaps, doubts, batches in quarantine, and what policies withheld."""

from __future__ import annotations

from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import GapRow


def missing(
    reader: StoreReader, limit: int, node: str | None = None, zone: str | None = None
) -> list[GapRow]:
    """The newest of all streams, those that stand last in the log first: of all nodes, or of one in its very zone."""
    found = [
        *reader.gaps(node, zone=zone, limit=limit),
        *reader.quarantine(node, zone=zone, limit=limit),
    ]
    found = [row for row in found if node is None or row.zone == zone]
    return sorted(found, key=lambda row: row.key, reverse=True)[:limit]


def withheld(reader: StoreReader, limit: int, node: str, zone: str) -> list[GapRow]:
    """What policies withheld of one node in its very zone, the newest of all streams first."""
    return [row for row in reader.withheld(node, zone=zone, limit=limit) if row.zone == zone]
