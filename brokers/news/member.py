"""Rosters at a role that is no broker: it asks the brokers that it hears, and gives them what only its home has.

As long as its broker has nothing else than its home, which is nearly always, nothing but that is looked at, and the exchange
is not even loaded: an agent is to be small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tabard.brokers.loop import Loop
from tabard.brokers.trust.files import Trust
from tabard.brokers.wire.heartbeat import decode_heartbeat
from tabard.brokers.wire.rosters import (
    MARK_BYTES,
    NODE,
    Speaker,
    Version,
    concerns,
    decode_versions,
    is_news,
)
from tabard.digests import digest
from tabard.errors import WireError

if TYPE_CHECKING:
    from tabard.brokers.news.driver import Driver

MOST_LINKS: Final = 16


class Member:
    """What an agent or a recorder does about rosters.

    Args:
        me: the role; None while its home has no key for it.
        trust: of its home; None while it has none.
        loop: calls back.
        counters: of the role.
        send: sends frames over a link.
        changed: is called after a roster was taken in.
    """

    def __init__(
        self,
        me: Callable[[], Speaker | None],
        trust: Callable[[], Trust | None],
        loop: Loop,
        counters: Counter[str],
        send: Callable[[str, list[bytes]], object],
        changed: Callable[[], None],
    ) -> None:
        self._me = me
        self._trust = trust
        self._loop = loop
        self._counters = counters
        self._send = send
        self._changed = changed
        self._driver: Driver | None = None
        self._same: dict[str, tuple[bytes, int]] = {}
        """By link what was said last and differs in nothing from what is here, and the edition of that."""

    def hear(self, link: str, frames: Sequence[bytes]) -> bool:
        """A message of a link came; whether it was about rosters and nothing else."""
        driver = self._driver or self._needed(link, frames)
        return driver.hear(link, frames) if driver is not None else is_news(frames)

    def _needed(self, link: str, frames: Sequence[bytes]) -> Driver | None:
        """The exchange, once somebody says what differs from what is here."""
        trust, me = self._trust(), self._me()
        said = frames[1] if len(frames) == 6 else b""
        if not said or trust is None or me is None or self._same.get(link) == (said, trust.edition):
            return None
        try:
            beat, rows = decode_heartbeat(frames[2]), decode_versions(said)
        except WireError:
            return None  # whoever looks at the heartbeat counts it
        if not differs(me, Speaker("broker", beat.zone, beat.broker), rows, trust):
            if len(self._same) >= MOST_LINKS:
                self._same.clear()
            self._same[link] = (said, trust.edition)
            return None
        from tabard.brokers.news.driver import Driver

        self._driver = Driver(me, trust, self._loop, self._counters, self._send, self._changed)
        return self._driver

    def versions(self) -> list[str]:
        """The rosters that are here of the zones that the role lies in, each ``ZONE@NUMBER``: what a beacon says."""
        trust, me = self._trust(), self._me()
        if trust is None or me is None:
            return []
        node = me._replace(role=NODE)
        directory = trust.directory
        return [f"{zone}@{directory.version(zone)}" for zone in directory.rosters() if concerns(node, zone)]

    def status(self) -> dict[str, Any] | None:
        """As `Driver.status`; None in a home without keys."""
        if self._driver is not None:
            return self._driver.status()
        trust = self._trust()
        if trust is None:
            return None
        known = [trust.directory.roster(zone) for zone in sorted(trust.directory.rosters())]
        held = [
            {"zone": each.zone, "version": each.version, "made": each.time, "written": True}
            for each in known
            if each is not None
        ]
        return {"held": held, "behind": [], "ahead": [], "contradicting": [], "fault": None}


def differs(me: Speaker, peer: Speaker, rows: Sequence[Version], trust: Trust) -> bool:
    """Whether a neighbour has what this role might need, or lacks what it needs itself and is here."""
    directory = trust.directory
    mine = directory.rosters()
    told = {row.zone: row.number for row in rows}
    return any(
        concerns(me, row.zone) and (row.zone not in mine or digest(mine[row.zone])[:MARK_BYTES] != row.mark)
        for row in rows
    ) or any(concerns(peer, zone) and directory.version(zone) > told.get(zone, 0) for zone in mine)
