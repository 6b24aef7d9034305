"""What a node's beacon says, as it is kept for the nodes page."""

from __future__ import annotations

from tabard.brokers.delivery.book import NodeBook, StreamBook
from tabard.brokers.delivery.lately import OWN
from tabard.brokers.delivery.ports import NodeKey, Presence
from tabard.brokers.wire.messages import Beacon, BeaconStream
from tabard.brokers.wire.streams import CONTROL, STREAM_NAMES


class Hearing:
    """Who was heard since the last look, and when."""

    def __init__(self) -> None:
        self._heard: dict[NodeKey, tuple[int, NodeBook, Beacon]] = {}

    def note(self, wall: int, node: NodeBook, beacon: Beacon) -> None:
        """A beacon of a node, at that time by the sink's clock."""
        self._heard[node.key] = (wall, node, beacon)

    def take(self) -> list[Presence]:
        """One of each node, with what of it is stored by now."""
        found = [heard_of(wall, node, beacon) for wall, node, beacon in self._heard.values()]
        self._heard.clear()
        return found


def heard_of(wall: int, node: NodeBook, beacon: Beacon) -> Presence:
    """A beacon heard at `wall`, with what of the node's streams is stored by now."""
    state = {STREAM_NAMES[part.stream]: _lag(node.streams[part.stream], part) for part in beacon.streams}
    facts = {
        name: fact for name, fact in beacon.facts.items() if name != OWN
    }  # digests are for nobody to read
    return Presence(node.key, wall, beacon.wall, beacon.interval, state, facts, beacon.nonce)


def _lag(stream: StreamBook, part: BeaconStream) -> dict[str, int | str]:
    """Records that the node keeps and the store has not, over all epochs named."""
    behind = 0
    for epoch, oldest, last, _ in part.spans:
        book = stream.epochs.get(epoch)
        holes = book.cursor.ranges.holes(last, oldest) if book else [(oldest, last)]
        behind += sum(hi - lo + (lo > 1) for lo, hi in holes)  # an epoch's opening is no record
    last_span = part.spans[-1] if part.spans else None
    lag: dict[str, int | str] = {
        "oldest": last_span[1] if last_span else 0,
        "last": last_span[2] if last_span else 0,
        "behind": behind,
        "epochs": len(part.spans) + part.more,
    }
    if last_span and part.stream == CONTROL:  # where an audit ends: whoever hears it is a witness
        lag.update(epoch=last_span[0].hex(), head=last_span[3].hex())
    return lag
