"""Which broker of a pair is used: the decisions of whoever is connected to both, from what it hears of each.

Both are heard all the time; one is used. It is left when three of its heartbeats were missed, or when it says that it
hears nothing from above, and only if the other one is well just then: between two that are not, nothing is won by moving.
A reader that was frozen itself finds both silent, and stays. It does not go back by itself, so that two brokers that are
well and ill by turns do not send everybody to and fro.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabard.brokers.wire.heartbeat import Heartbeat

MISSED: Final = 3
"""Heartbeats missed in a row after which a broker counts as away."""
EVERY: Final = 1.0
"""Seconds between two heartbeats, and how long one is waited for that was never heard."""


@dataclass
class Link:
    """One broker as it is heard."""

    end: str
    """Where it is dialled, for people."""
    since: float
    """When somebody began to listen."""
    heard: float | None = None
    beat: Heartbeat | None = None

    def is_heard(self, now: float) -> bool:
        """Whether fewer than three heartbeats were missed."""
        if self.heard is None or self.beat is None:
            return False
        return now - self.heard <= MISSED * self.beat.interval

    def is_well(self, now: float) -> bool:
        """Whether it is heard, and hears who is above it."""
        return self.is_heard(now) and self.beat is not None and self.beat.above

    def is_given_time(self, now: float) -> bool:
        """Whether it never said anything, and there was not the time to."""
        return self.heard is None and now - self.since <= MISSED * EVERY


class Pair:
    """The brokers that one could use, the preferred one first; one alone is no pair, and always used."""

    def __init__(self, ends: Sequence[str], now: float) -> None:
        self.links = [Link(end, now) for end in ends]
        self.active = 0
        """Which of `links` is used."""

    def hear(self, which: int, now: float, beat: Heartbeat) -> None:
        """A heartbeat came from one of them."""
        link = self.links[which]
        link.heard, link.beat = now, beat

    def move(self, now: float) -> bool:
        """Decide anew, at the pace of heartbeats; whether another one is used from now on."""
        used = self.links[self.active]
        if used.is_well(now) or used.is_given_time(now):
            return False
        for which, link in enumerate(self.links):
            if which != self.active and link.is_well(now):
                self.active = which
                return True
        return False

    def is_well(self, now: float) -> bool:
        """Whether the one that is used leads on, as far as anybody knows."""
        return self.links[self.active].is_well(now)

    def status(self, now: float, wall: int) -> list[dict[str, Any]]:
        """Of each broker: where it is dialled, its name, whether it is used and leads on, when it was heard last."""
        return [
            {
                "end": link.end,
                "broker": link.beat.broker if link.beat else None,
                "zone": link.beat.zone if link.beat else None,
                "used": which == self.active,
                "well": link.is_well(now),
                "heard": None if link.heard is None else wall - round((now - link.heard) * 1e9),
            }
            for which, link in enumerate(self.links)
        ]
