"""What the peers of one sending socket ask for: which subscriptions are taken, and when there are too many.

libzmq keeps every subscription of every peer letter by letter, hands it down the chain, and never forgets it while
the peer stays. So a broker takes only those that a recorder, a node or a broker can mean, and cuts off all peers of
a socket on which more was asked for than a fleet of the size that it is made for can ask.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum, auto
from typing import Final

from tabard.brokers.wire.topics import MAX_TOPIC
from tabard.names import MAX_ZONE_DEPTH, NAME

MOST: Final = 20_000
"""Topics that the peers of one socket may ask for: a node takes three, a recorder one for each shard."""
MOST_REFUSED: Final = 1_000
"""Refused subscriptions after which the peers of a socket are cut off; libzmq remembers even those."""
MAX_BYTES: Final = MAX_TOPIC + 1
"""Bytes of a subscription with the one that says whether it is taken back."""

_NAME: Final = NAME.pattern.encode()
_UP: Final = re.compile(rb"l/|u/%b/(?:\d\d/(?:%b/){0,%d})?" % (_NAME, _NAME, MAX_ZONE_DEPTH + 1), re.ASCII)
_DOWN: Final = re.compile(rb"l/|a/(?:%b/)?|d/(?:%b/){1,%d}" % (_NAME, _NAME, MAX_ZONE_DEPTH + 1), re.ASCII)


def is_up(topic: bytes) -> bool:
    """Whether recorders or inner brokers ask for this: a sink, a shard of it, a zone or node in that, or heartbeats."""
    return len(topic) < MAX_BYTES and _UP.fullmatch(topic) is not None


def is_down(topic: bytes) -> bool:
    """Whether nodes or outer brokers ask for this: a zone, a node, what goes to all nodes, or heartbeats."""
    return len(topic) < MAX_BYTES and _DOWN.fullmatch(topic) is not None


class Step(Enum):
    """What is to be done about what a peer said."""

    FIRST = auto()
    """Take the subscription: nobody had asked for this topic before."""
    MORE = auto()
    """Take it: others have it already."""
    LESS = auto()
    """Take it back for this peer: others still have it."""
    LAST = auto()
    """Take it back: nobody asks for the topic any more."""
    REFUSE = auto()
    """It is none that anybody can mean, or no subscription at all."""
    BAR = auto()
    """There is such a topic, and it is not for this peer."""
    IGNORE = auto()
    """It takes back what was refused."""


class Subscriptions:
    """The topics asked for on one socket, by how many."""

    def __init__(self, *, up: bool) -> None:
        self._wanted = is_up if up else is_down
        self.topics: Counter[bytes] = Counter()
        self._barred: Counter[bytes] = Counter()
        self.refused = 0

    def hear(self, frame: bytes, *, may: bool | None = True) -> Step:
        """Decide about one message of a peer: the topic behind a byte that is 1, or 0 to take it back.

        `may`: whether this peer may ask for the topic; None when nobody knows who said it. libzmq takes back in the
        name of nobody what somebody who left had asked for, barred or not: what was barred goes first, so that whoever may
        ask never loses by it what they asked for.
        """
        sign, topic = frame[:1], frame[1:]
        if may is False and sign == b"\1" and self._wanted(topic):
            self._barred[topic] += 1
            self.refused += 1
            return Step.BAR
        if sign == b"\0" and not may and self._barred.get(topic, 0):
            self._barred[topic] -= 1
            return Step.IGNORE
        if sign == b"\0" and may is False:
            return Step.IGNORE
        if sign == b"\1" and self._wanted(topic):
            self.topics[topic] += 1
            return Step.FIRST if self.topics[topic] == 1 else Step.MORE
        if sign != b"\0":
            self.refused += 1
            return Step.REFUSE
        count = self.topics.get(topic, 0)
        if count > 1:
            self.topics[topic] = count - 1
            return Step.LESS
        return Step.LAST if self.topics.pop(topic, 0) else Step.IGNORE

    @property
    def too_many(self) -> bool:
        """Whether the peers are to be cut off; those who mean it ask again when they are back."""
        return len(self.topics) > MOST or self.refused > MOST_REFUSED
