"""What a node knows of one of its sinks."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tabard.brokers.delivery.lately import MOST_SAID, OWN
from tabard.brokers.delivery.notes import Retirement
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.sender import Sender
from tabard.brokers.wire.hop import Cap
from tabard.brokers.wire.messages import MAX_EPOCHS, NO_SESSION, BeaconStream
from tabard.brokers.wire.streams import STREAM_NAMES

LIVE: Final = "live"
BACKFILLING: Final = "backfilling"
"""It takes new records as they come, and what it lacks of older ones beside them."""
AWAY: Final = "away"
STARTING: Final = "starting"
"""It was never heard of."""
RETIRED: Final = "retired"

MISSED: Final = 3
"""Beacons without an answer after which a sink counts as away."""
_NONCES_KEPT: Final = 4
_DEAD_SESSIONS_KEPT: Final = 16
_NOTHING: Final = Ranges()


@dataclass
class SinkState:
    """One sink as this run of the node knows it; nothing in here outlives the process."""

    name: str
    senders: dict[int, Sender]
    """By stream; none once it is retired."""
    session: bytes = NO_SESSION
    number: int = 0
    hello: bytes = NO_SESSION
    dead: deque[bytes] = field(default_factory=lambda: deque(maxlen=_DEAD_SESSIONS_KEPT))
    nonces: deque[bytes] = field(default_factory=lambda: deque(maxlen=_NONCES_KEPT))
    next_beacon: float = 0.0
    unheard: int = 0
    """Beacons sent since the start without a word from the sink."""
    last_beacon: float = float("-inf")
    stuck_since: float | None = None
    linger: float = 0.0
    linger_until: float = float("-inf")
    """A sink that is away has no say in how long records wait."""
    heard: float | None = None
    """Monotonic seconds when a cursor of it was taken into account; None: not since the start."""
    topics: dict[int, bytes] = field(default_factory=dict)
    retirement: Retirement | None = None
    farewells: int = 0
    """Beacons still to be sent to say that its retirement was heard."""

    def retire(self, now: float, retirement: Retirement, farewells: int) -> None:
        """Send nothing any more, but for so many farewells."""
        self.retirement = retirement
        self.senders = {}
        self.linger = 0.0
        self.session = NO_SESSION
        self.stuck_since = None
        self.bid_farewell(now, farewells)

    def bid_farewell(self, at: float, farewells: int) -> None:
        """Say from `at` on, so many times, that the retirement was heard."""
        self.farewells = max(self.farewells, farewells)
        self.next_beacon = min(self.next_beacon, at)

    def limit(self, caps: Sequence[Cap], *, again: bool = False) -> None:
        """Take over what the links on the way let pass of each stream; of those that are not named, all.

        `again`: of a cursor that was heard already, so only what is more than before is news.
        """
        named = {cap.stream: cap for cap in caps}
        for stream, sender in self.senders.items():
            if not again or stream in named:
                sender.limit(named.get(stream), again=again)

    def is_stuck(self, now: float) -> bool:
        """Whether there is something to send and no credit, or no live position."""
        return any(
            sender.is_stuck(now) or (sender.session != NO_SESSION and sender.live == 0)
            for sender in self.senders.values()
        )

    def stored(self) -> dict[int, Mapping[bytes, Ranges]]:
        """By stream and epoch, what it has of what the journal keeps."""
        return {stream: sender.cursors for stream, sender in self.senders.items()}

    def lag(self) -> dict[int, int]:
        """By stream, how many durable records it has not stored."""
        return {
            stream: sum(
                last - first + 1
                for span in sender.journal.spans()
                for first, last in sender.cursors.get(span.epoch, _NOTHING).holes(span.last, span.oldest)
            )
            for stream, sender in self.senders.items()
        }

    def standing(self, now: float, interval: float, *, met: bool) -> str:
        """`LIVE`, `BACKFILLING`, `AWAY`, `STARTING` or `RETIRED`."""
        if self.retirement is not None:
            return RETIRED
        if self.heard is None and not met:
            return STARTING
        if self.heard is None or now - self.heard > MISSED * interval:
            return AWAY
        return BACKFILLING if any(map(_lacks_older, self.senders.values())) else LIVE

    def report(self, now: float, interval: float, *, met: bool) -> dict[str, Any]:
        """In words and numbers, for the status file; `silent` is seconds since it was heard, null if it never was."""
        return {
            "attached": self.session != NO_SESSION,
            "state": self.standing(now, interval, met=met),
            "silent": None if self.heard is None else round(now - self.heard, 1),
            "retired": None if self.retirement is None else self.retirement._asdict(),
            "streams": {
                STREAM_NAMES[stream]: {
                    "sent": self.senders[stream].sent,
                    "wants": self.senders[stream].envelope.wants,
                    "lag": lag,
                }
                for stream, lag in self.lag().items()
            },
        }

    def own(self) -> dict[str, tuple[bytes, ...]]:
        """The fact of the next beacon about what it named and is this node's, where that is asked."""
        own = [digest for sender in self.senders.values() for digest in sender.own]
        return {OWN: tuple(own[:MOST_SAID])} if own else {}

    def streams(self) -> tuple[BeaconStream, ...]:
        """What the next beacon says of each stream; nothing to a sink that is retired."""
        return tuple(_said(stream, sender) for stream, sender in sorted(self.senders.items()))


def _said(stream: int, sender: Sender) -> BeaconStream:
    spans = sender.unsettled()
    named = [*spans[: MAX_EPOCHS - 1], spans[-1]] if len(spans) > MAX_EPOCHS else spans
    return BeaconStream(
        stream,
        tuple((span.epoch, span.oldest, span.last, span.digest) for span in named),
        len(spans) - len(named),
        sender.envelope,
        sender.live,
    )


def _lacks_older(sender: Sender) -> bool:
    """Whether the sink lacks records from before the newest that it has: what is on its way is none of them."""
    spans = sender.journal.spans()
    for span in spans:
        stored = sender.cursors.get(span.epoch, _NOTHING)
        upto = min(stored.high, span.last) if span is spans[-1] else span.last
        if stored.holes(upto, span.oldest):
            return True
    return False
