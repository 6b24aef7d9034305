"""The numbers that messages of the down lane bear from hop to hop: made by who sends them, and compared by who receives them.

Every broker and recorder numbers what it sends to a topic. A jump is what the hop lost. As with the tallies of brokers (`hops`),
only numbers of one session are compared: it rises whenever a peer asks for the topic anew, or the sender's own connection came up
anew, so that a restart or a cut is no loss. And a jump counts once something of the same session comes a moment later: who sends may
not have noticed yet that its connection is another one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from tabard.brokers.wire.hop import BOOT_BYTES, Cap, Descent, encode_descent

MOST: Final = 20_000
"""Topics that are numbered, and compared, at a time."""
SETTLE: Final = 1.0
"""Seconds after which a jump is believed."""


class Numbering:
    """Of one sender; `boot` are 8 random bytes of its start."""

    def __init__(self, boot: bytes) -> None:
        if len(boot) != BOOT_BYTES:
            raise ValueError(f"expected {BOOT_BYTES} bytes, found {len(boot)}")
        self._boot = boot
        self._sent: dict[bytes, int] = {}
        self._sessions: dict[bytes, int] = {}
        self._session = 0
        self._common = 0

    def joined(self, topic: bytes | None = None) -> None:
        """A peer asks for a topic anew; None: for any."""
        self._session += 1
        if topic is None:
            self._common = self._session
        elif topic in self._sent:
            self._sessions[topic] = self._session

    def envelope(self, topic: bytes, caps: tuple[Cap, ...] = ()) -> bytes:
        """Of the next message of a topic."""
        number = self._sent.get(topic, 0) + 1
        if number == 1 and len(self._sent) >= MOST:
            self._sent.clear()
            self._sessions.clear()
            self.joined()
        self._sent[topic] = number
        session = max(self._common, self._sessions.get(topic, 0))
        return encode_descent(Descent(self._boot, session, number, caps))


@dataclass
class _Row:
    """How far one topic of one sender is compared."""

    session: int
    last: int
    jump: int = 0
    """Numbers that were passed over,"""
    since: float = 0.0
    """and when."""


class Descents:
    """Of one receiver: what came of what was numbered, since it was first compared."""

    def __init__(self, most: int = MOST) -> None:
        self.sent = 0
        self.received = 0
        self.begun = False
        """Whether anything was compared yet."""
        self._most = most
        self._rows: OrderedDict[tuple[bytes, bytes], _Row] = OrderedDict()

    @property
    def lost(self) -> int:
        """What lacks."""
        return self.sent - self.received

    def take(self, now: float, topic: bytes, descent: Descent) -> int:
        """A message came with its number; how many more are known to be lost by now."""
        key = (descent.boot, topic)
        row = self._rows.get(key)
        if row is None or row.session != descent.session:
            if row is None and len(self._rows) >= self._most:
                self._rows.popitem(last=False)
            self._rows[key] = _Row(descent.session, descent.number)
            return 0
        if descent.number <= row.last:
            return 0  # twice, or late: what was said is said
        self.begun = True
        lost = 0
        if row.jump and now - row.since >= SETTLE:
            lost, row.jump = row.jump, 0
        missing = descent.number - row.last - 1
        if missing:
            row.jump += missing
            row.since = now
        row.last = descent.number
        self.sent += 1 + lost
        self.received += 1
        return lost
