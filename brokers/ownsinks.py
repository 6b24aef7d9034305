"""What goes to a zone's own sinks does not leave it: which subscriptions of brokers above are not taken.

A sink is a zone's own when all its recorders are certified in that zone or below it. Policies say nothing of what such a sink is
sent, so a broker above gets none of it. What was answered about a sink stays the answer until the socket is opened anew: a
subscription that was refused does not come again by itself, and one that was taken cannot be taken from one peer alone. So
when the answer about a sink is another one, all peers of the socket are cut off, and those who may ask again.
"""

from __future__ import annotations

from collections.abc import Callable

from tabard.brokers.subscriptions import MOST, is_up
from tabard.brokers.trust.certificates import BROKER, Certificate
from tabard.brokers.wire import topics
from tabard.names import zone_within


class OwnSinks:
    """Judges those who ask on one socket.

    Args:
        zone: the broker's.
        is_own: whether a sink is the zone's own, by what the home knows now.
    """

    def __init__(self, zone: str, is_own: Callable[[str], bool]) -> None:
        self._zone = zone
        self._is_own = is_own
        self._answers: dict[str, bool] = {}

    def bars(self, peer: Certificate, topic: bytes) -> bool:
        """Whether a peer is a broker outside the zone that asks for what goes to a sink of the zone's own."""
        if peer.role != BROKER or zone_within(peer.zone, self._zone):
            return False
        if not topic.startswith(topics.UP_PREFIX) or not is_up(topic):
            return False
        sink = topic.split(b"/")[1].decode("ascii")
        if sink not in self._answers:
            self._answers[sink] = self._is_own(sink)
        return self._answers[sink]

    def has_changed(self) -> bool:
        """Whether somebody would be answered otherwise now."""
        return any(self._is_own(sink) is not barred for sink, barred in self._answers.items())

    def has_too_many(self) -> bool:
        """Whether there were questions about more sinks than there can be."""
        return len(self._answers) > MOST

    def forget(self) -> None:
        """All peers were cut off."""
        self._answers.clear()
