"""What is not in the log and why: gaps, doubts, and batches in quarantine."""

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
