"""The exchange of rosters in a running role: its clock, its timers, and what is recorded of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from tabard.brokers.loop import Loop, Timer
from tabard.brokers.news.exchange import Exchange
from tabard.brokers.news.shelf import TrustShelf
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.trust.files import Trust
from tabard.brokers.wire.rosters import Speaker
from tabard.clock import wall

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files."""

_log = logging.getLogger(__name__)


class Driver:
    """Runs an `Exchange`.

    Args:
        me: the role.
        trust: of its home.
        loop: calls back.
        counters: of the role.
        send: sends frames over a link.
        changed: is called after a roster was taken in.
    """

    def __init__(
        self,
        me: Speaker,
        trust: Trust,
        loop: Loop,
        counters: Counter[str],
        send: Callable[[str, list[bytes]], object],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._send = send
        self._shelf = TrustShelf(trust, wall, changed)
        self.exchange = Exchange(me, self._shelf, counters, loop.now())
        self._timer: Timer | None = None
        self._told: set[str] = set()
        loop.every(LOOK_EVERY, self._look)

    def hear(self, link: str, frames: Sequence[bytes], peer: Certificate | None = None) -> bool:
        """A message of a link came; whether it was about rosters and nothing else."""
        sure = None if peer is None else Speaker(peer.role, peer.zone, peer.name)
        mine = self.exchange.hear(self._loop.now(), link, frames, sure)
        self._go()
        return mine

    def versions(self) -> bytes:
        """For the envelope of a heartbeat."""
        return self.exchange.versions()

    def _look(self) -> None:
        self._shelf.look()
        self._go()

    def _go(self) -> None:
        """Send what is to be said, and see that the next deadline is met."""
        now = self._loop.now()
        for link, frames in self.exchange.outgoing(now, wall()):
            self._send(link, frames)
        self._tell()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.exchange.deadline()
        if due < float("inf"):
            self._timer = self._loop.call_at(due, self._go)

    def _tell(self) -> None:
        asking = self.exchange.asking
        for row, peer in asking.news:
            _log.info("roster %d of %s came from %s", row.number, row.zone, peer)
        asking.news.clear()
        contradicting = set(asking.contradicting())
        for zone in contradicting - self._told:
            _log.error(
                "there are two rosters of %s under one number: somebody else may have its authority's key, or its home was put back to an older state",
                zone,
            )
        self._told = contradicting

    def status(self) -> dict[str, Any]:
        """The rosters that are here (``held``), what neighbours have of them, and the ``fault`` that keeps one from being written.

        See `TrustShelf.status` and `Exchange.status`.
        """
        return {
            "held": self._shelf.status(),
            **self.exchange.status(self._loop.now(), wall()),
            "fault": self._shelf.fault,
        }
