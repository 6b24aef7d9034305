"""How a sink that is retired tells its nodes, and how one that is not any more takes that back.

It answers beacons: a retired sink every beacon of a node that does not say that it has heard, one that is required again
every farewell of a node that was retired by its word. So each node hears, however long it was away, as long as somebody
answers for the sink; and nothing but the store, where the word itself is kept, has to last.
"""

from __future__ import annotations

from tabard.brokers.delivery.notes import BY_SINK, Retirement
from tabard.brokers.delivery.seal import Seal, sealed
from tabard.brokers.wire import topics
from tabard.brokers.wire.messages import Beacon, Message, Retire, encode_retire

RETIRED = "retired"
"""The fact of a beacon that says since when its node takes the sink for retired."""
RETIRED_BY = "retired_by"
"""By whose word."""


class Retiring:
    """One sink's part in it; `word` is its retirement, None while it is required."""

    def __init__(self, sink: str, seal: Seal) -> None:
        self.word: Retirement | None = None
        self._sink = sink
        self._seal = seal

    def ends(self, beacon: Beacon) -> bool:
        """Whether there is nothing to deliver between the sink and this node."""
        return self.word is not None or RETIRED in beacon.facts

    def answer(self, beacon: Beacon) -> list[Message]:
        """What the node has to hear, if anything."""
        heard = RETIRED in beacon.facts
        if self.word is not None and not heard:
            return [self._tell(beacon, self.word, retired=True)]
        if self.word is None and heard and beacon.facts.get(RETIRED_BY) == BY_SINK:
            return [self._tell(beacon, Retirement(BY_SINK, "", beacon.wall), retired=False)]
        return []

    def _tell(self, beacon: Beacon, word: Retirement, *, retired: bool) -> Message:
        retire = Retire(self._sink, beacon.node, beacon.nonce, retired, word.since, word.who)
        head = encode_retire(retire)
        topic = topics.down_topic(beacon.zone, beacon.node)
        return sealed(self._seal, topic, head)
