"""What beacons say, as the store keeps it: the last of each node, and how many came in each minute."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.brokers.delivery.ports import CursorConflict, Presence, StoreUnavailable
from tabard.consumers.store.commit import Commit, Ids
from tabard.consumers.store.writing import Writer

MINUTE: Final = 60_000_000_000


def note_presence(writer: Writer, ids: Ids, beacons: Sequence[Presence]) -> None:
    """One transaction. Raises StoreUnavailable, and the driver's errors."""
    texts = writer.presence
    writer.begin()
    commit = Commit(writer, ids, beacons[0].heard)
    try:
        heard = [(commit.node_id(beacon.key), beacon) for beacon in beacons]
    except CursorConflict as error:
        raise StoreUnavailable(str(error)) from error
    # The last of a node counts; in one order for all, so that two recorders do not wait for each other in a ring.
    for node_id, beacon in sorted(dict(heard).items()):
        writer.run(texts.set_presence, _row(node_id, beacon))
    beats = Counter((node_id, beacon.heard // MINUTE * MINUTE) for node_id, beacon in heard)
    for place, count in sorted(beats.items()):
        writer.run(texts.add_heartbeat, (*place, count))
    writer.commit()


def _row(node_id: int, beacon: Presence) -> tuple[Any, ...]:
    return (
        node_id,
        beacon.heard,
        beacon.wall,
        round(beacon.interval * 1_000_000_000),
        _json(beacon.state),
        _json(beacon.facts),
        beacon.nonce,
    )


def _json(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, default=lambda other: other.hex() if isinstance(other, bytes) else str(other))
    return text.encode("utf-8", "replace").decode()
