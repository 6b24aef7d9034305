"""The rosters of one role and of its neighbours: who tells what to whom. Pure; messages and times in, messages out.

A broker's heartbeat says which versions it has. A role that sends no heartbeat says so only where it has something newer than the
broker that it hears. Whoever hears of a newer one asks, and takes in what proves itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from tabard.brokers.news.answering import Answering
from tabard.brokers.news.asking import Asking, lacking
from tabard.brokers.news.ports import Peer, Shelf
from tabard.brokers.wire.heartbeat import decode_heartbeat
from tabard.brokers.wire.rosters import (
    BROKER,
    MOST_VERSIONS,
    Ask,
    Part,
    Speaker,
    Version,
    decode_said,
    decode_versions,
    encode_ask,
    encode_notice,
    encode_part,
    encode_versions,
)
from tabard.errors import WireError

FIRST: Final = 16
"""Rows that are in every statement, those that came last; where there is no room for all, the others take turns."""
NOTICE_EVERY: Final = 0.9
"""Seconds between two notices on a link, at least."""


class Exchange:
    """Asks and answers for one role.

    Args:
        me: the role.
        shelf: the rosters of its home.
        counters: of the role.
        now: monotonic seconds.
    """

    def __init__(self, me: Speaker, shelf: Shelf, counters: Counter[str], now: float) -> None:
        self.me: Final = me
        self._shelf = shelf
        self._counters = counters
        self.asking = Asking(me, shelf, counters)
        self._answering = Answering(shelf, counters, now)
        self._notices: dict[str, tuple[Version, ...]] = {}
        """What is to be said, by link."""
        self._noticed: dict[str, float] = {}
        self._turn = 0

    # --- what is said ----------------------------------------------------------------------

    def versions(self) -> bytes:
        """For the envelope of a heartbeat."""
        rows = [row for row in self._shelf.versions() if row.number]
        if len(rows) > MOST_VERSIONS:
            first, others = rows[:FIRST], rows[FIRST:]
            begin = self._turn % len(others)
            self._turn = begin + MOST_VERSIONS - FIRST
            rows = [*first, *[*others[begin:], *others[:begin]][: MOST_VERSIONS - FIRST]]
        return encode_versions(rows)

    def outgoing(self, now: float, wall: int) -> list[tuple[str, list[bytes]]]:
        """What is to be sent now: frames, each with the link that it is for. ``wall``: nanoseconds since 1970."""
        said = [(link, encode_notice(self.me, rows)) for link, rows in self._notices.items()]
        self._notices.clear()
        asked = self.asking.ask(now, wall)
        if asked is not None:
            said.append((asked[0], encode_ask(self.me, asked[1])))
        said += [(link, encode_part(self.me, part)) for link, part in self._answering.due(now)]
        return said

    def deadline(self) -> float:
        """When `outgoing` has something at the latest; infinite when nothing is going on."""
        return 0.0 if self._notices else min(self.asking.deadline(), self._answering.deadline())

    # --- what is heard ---------------------------------------------------------------------

    def hear(self, now: float, link: str, frames: Sequence[bytes], sure: Speaker | None = None) -> bool:
        """Whether a message of a link is about rosters and nothing else; what a heartbeat says of them is heard, too.

        ``sure``: whose connection it came over, where that is known by a key.
        """
        try:
            said = decode_said(frames)
            if said is None:
                if len(frames) == 6 and frames[1]:
                    beat = decode_heartbeat(frames[2])
                    self._tell(now, Peer(link, Speaker(BROKER, beat.zone, beat.broker)), frames[1], sure)
                return False
            if isinstance(said, Speaker):
                self._tell(now, Peer(link, said), frames[1], sure)
            elif isinstance(said, Part):
                name = frames[0].decode("ascii", "replace").removeprefix("l/").removesuffix("/")
                self.asking.take(now, link, name, said)
            elif said.whom == self.me:
                self._answer(now, link, said)
        except WireError:
            self._counters["rosters dropped: malformed"] += 1
            return decodes_to_no_heartbeat(frames)
        return True

    def _answer(self, now: float, link: str, ask: Ask) -> None:
        self._answering.hear(now, link, ask)

    def _tell(self, now: float, peer: Peer, envelope: bytes, sure: Speaker | None) -> None:
        rows = decode_versions(envelope)
        if peer.who == self.me:
            return
        if sure is not None and peer.who != sure:
            self._counters["rosters refused: versions of another"] += 1
            return
        self.asking.hear(now, peer, rows)
        if self.me.role != BROKER and now - self._noticed.get(peer.link, -NOTICE_EVERY) >= NOTICE_EVERY:
            newer = lacking(peer, {row.zone: row for row in rows}, self._shelf.versions())
            if newer and len(rows) < MOST_VERSIONS:
                self._notices[peer.link] = tuple(newer[:MOST_VERSIONS])
                self._noticed[peer.link] = now

    # --- for people ------------------------------------------------------------------------

    def status(self, now: float, wall: int) -> dict[str, Any]:
        """Who of the neighbours lacks what is here, who has what is not here, and of which zones there are two.

        Times are nanoseconds since 1970 UTC.
        """
        return {
            "behind": [
                {
                    "peer": each.peer.who.name,
                    "role": each.peer.who.role,
                    "zone": each.zone,
                    "version": each.number,
                    "since": wall - round((now - each.since) * 1e9),
                }
                for each in self.asking.behind(now)
            ],
            "ahead": [
                {"peer": peer.who.name, "role": peer.who.role, "zone": row.zone, "version": row.number}
                for peer, row in self.asking.ahead(now)
            ],
            "contradicting": self.asking.contradicting(),
        }


def decodes_to_no_heartbeat(frames: Sequence[bytes]) -> bool:
    """Whether malformed frames are none of a heartbeat, which is looked at further."""
    try:
        decode_heartbeat(frames[2] if len(frames) > 2 else b"")
    except WireError:
        return True
    return False
