"""What is known of a connection that this side opens: the states of one dial. Pure: events and time in, decisions out.

libzmq tries a connection again by itself while the other side is away. It does not after the other side refused the key, or
does not speak the protocol: then it is dialled anew here, not too often, and at once when the rosters changed. A handshake
that the other side ends without a word is what a wrong key of the *broker* looks like, and also a tunnel that leads
nowhere; where the broker may have several keys, the next one is tried. Where it has one, libzmq's own attempts do most times, and
not where the other side's key changed in the middle of a handshake: so that is dialled anew as well, more seldom.

An attempt that was let go of lives on for a moment in libzmq, by the key before, and fails once more. That says nothing of the connection
which took its place.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from tabard.brokers.trust.certificates import Certificate

AGAIN: Final = 5.0
"""Seconds until one is dialled again who refused; up to half of it more or less, so that not all do at once."""
STILL: Final = 15.0
"""The same, for one who has one key and did not shake hands."""

LINGERS: Final = 5.0
"""Seconds for which an attempt that was let go of may still be heard of: some of them more than a socket lingers."""

TRYING: Final = "not connected yet"
CONNECTED: Final = "connected"
GONE: Final = "connection lost"
REFUSED: Final = "it refused the key of this role"
NO_ANSWER: Final = "no handshake: what is there has another key, is frozen, or is a tunnel that leads nowhere"
OTHER: Final = "what is there does not speak CURVE as this role does"
UNKNOWN: Final = "no certificate of it holds now"


class Event(Enum):
    """What libzmq tells of a connection."""

    UP = auto()
    LOST = auto()
    REFUSED = auto()
    BROKEN = auto()
    OTHER = auto()


_WORDS: Final = {
    Event.UP: CONNECTED,
    Event.LOST: GONE,
    Event.REFUSED: REFUSED,
    Event.BROKEN: NO_ANSWER,
    Event.OTHER: OTHER,
}
FAILED: Final = frozenset({REFUSED, NO_ANSWER, OTHER, UNKNOWN})
"""Words that tell of a fault."""


class Dial:
    """One endpoint that is dialled, and the certificates by which its broker may show itself."""

    def __init__(self, endpoint: str, known: Sequence[Certificate]) -> None:
        self.endpoint: Final = endpoint
        self.known = list(known)
        self.used: Certificate | None = self.known[0] if self.known else None
        """The one whose key is expected now; None: nobody is dialled."""
        self.own = 0
        """Which of the own keys is shown, for who has two: the next one after each refusal."""
        self.word = TRYING if self.known else UNKNOWN
        self.changes = 0
        """How often the connection came up or went."""
        self._due: float | None = None
        self._left = float("-inf")
        """Until when an attempt before may be heard of."""
        self._failing = False
        """One of those has failed, and its end is yet to be told."""

    def hear(self, event: Event, now: float) -> bool:
        """Note an event; whether that is news for people."""
        before = self.word
        if self._is_left_over(event, now):
            return False
        if event in {Event.UP, Event.LOST}:
            self.changes += 1
        if (
            event is not Event.LOST or before == CONNECTED
        ):  # the end of a failed handshake says less than its reason
            self.word = _WORDS[event]
        if event in {Event.REFUSED, Event.OTHER}:  # libzmq gives up
            self._due = now + AGAIN * random.uniform(0.5, 1.5)
        elif event is Event.BROKEN and self._due is None:  # libzmq tries more often than that, most times
            several = len(self.known) > 1
            self._due = now + (
                AGAIN * random.uniform(0.1, 0.3) if several else STILL * random.uniform(0.5, 1.5)
            )
        elif event is Event.UP:
            self._due = None
        return self.word != before

    def _is_left_over(self, event: Event, now: float) -> bool:
        """Whether an event is about an attempt before: what is up has shaken hands, so another one failed; then that one ends."""
        if event is Event.LOST:
            left, self._failing = self._failing, False
            return left
        self._failing = event is not Event.UP and self.word == CONNECTED and now < self._left
        return self._failing

    def look(self, known: Sequence[Certificate], now: float, *, anew: bool) -> bool:
        """Decide whether to dial anew, with `used`; where that is None, to let go.

        Args:
            known: the certificates of its broker that hold now, the newest first.
            now: monotonic seconds.
            anew: the own key changed, or the rosters did and this connection is not up.
        """
        changed = [each.key for each in known] != [each.key for each in self.known]
        self.known = list(known)
        keys = [each.key for each in known]
        if self.used is None or self.used.key not in keys:
            if self.used is None and not known:
                return False
            self.used = self.known[0] if self.known else None
        elif anew:
            self.own = 0
        elif self._due is not None and now >= self._due and self.word == REFUSED:
            self.own += 1  # the broker's key was the right one
        elif self._due is not None and now >= self._due:
            self.used = self.known[(keys.index(self.used.key) + 1) % len(keys)]
        elif not (changed and self.word != CONNECTED):
            return False
        self._due, self._failing = None, False
        self._left = now + LINGERS
        self.word = (
            UNKNOWN if self.used is None else TRYING if self.word in {CONNECTED, UNKNOWN} else self.word
        )
        return True

    def sentence(self) -> str:
        """For people."""
        who = f"the broker {self.used.name} of {self.used.zone}" if self.used else "the broker"
        return f"{who} at {self.endpoint}: {self.word}"
