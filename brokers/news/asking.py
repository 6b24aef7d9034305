"""Getting the rosters that neighbours have and this home has not: whom to ask for which, part by part. Pure.

What neighbours say of themselves is a claim. What was thought of:

* A part is lost, doubled, or comes out of order: it is asked for again; each has its place; others are passed over.
* Somebody claims a number that there is none of, or sends what proves nothing: each time that costs one roster's transfer, and the
  claimant is not asked for that zone for a time that doubles. Whoever disappointed less often is asked first, for whatever zone.
* Somebody claims many zones that there are not: what nobody is known to sign is not asked for. Its certificate comes with the
  roster of the zone above.
* Of one neighbour, rosters of zones further out come first: their members are who signs those of the zones below.
* Two different ones bear one number: the other one is fetched once, and if both are signed that is told to people.
* A neighbour goes while it is asked, or is too busy to answer: what came of the last such roster is kept, and it goes on where it
  was when the same neighbour still has it. Parts of several are never mixed: one of them might be made up.
* One roster is collected at a time, so a flood of claims fills no memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tabard.brokers.news.ports import REFUSED, TAKEN, Peer, Shelf
from tabard.brokers.trust.rosters import AHEAD
from tabard.brokers.wire.rosters import PART, Ask, Part, Speaker, Version, concerns

HEARD_FOR: Final = 5.0
"""Seconds for which the word of a neighbour holds; it is said anew each second."""
PATIENCE: Final = 2.0
"""Seconds until a part is asked for again."""
TRIES: Final = 3
"""How often in a row nothing comes until somebody is not asked any more, for a time."""
SHUNNED: Final = 5.0
"""Seconds for which somebody is not asked for a zone; doubles each time."""
SHUNNED_MOST: Final = 600.0
REFUSED_FOR: Final = 600.0
"""Seconds for which a roster that was refused is not fetched again, unless another one was taken in meanwhile."""
MOST_PEERS: Final = 256
MOST_ZONES: Final = 1_000
"""Zones of which the word of one neighbour is kept."""
MOST_REMEMBERED: Final = 1_024


class Behind(NamedTuple):
    """A neighbour that has an older roster than this home."""

    peer: Peer
    zone: str
    number: int
    since: float
    """Monotonic seconds at which it was first heard to lack the newer one."""


@dataclass
class _Heard:
    """What a neighbour says that it has."""

    at: float
    rows: dict[str, Version] = field(default_factory=dict)
    behind: dict[str, float] = field(default_factory=dict)


@dataclass
class _Collected:
    """A roster that is on its way."""

    peer: Peer
    row: Version
    parts: dict[int, bytes] = field(default_factory=dict)
    size: int | None = None
    asked_at: float | None = None
    tries: int = 0

    @property
    def missing(self) -> int | None:
        """The first part that lacks; None when it is whole."""
        if self.size is None:
            return 0
        count = -(-self.size // PART)
        return next((part for part in range(count) if part not in self.parts), None)


class Asking:
    """What this role lacks, and where it is to be had.

    Args:
        me: who asks.
        shelf: of the home.
        counters: of the role.
    """

    def __init__(self, me: Speaker, shelf: Shelf, counters: Counter[str]) -> None:
        self._me = me
        self._shelf = shelf
        self._counters = counters
        self._peers: dict[Peer, _Heard] = {}
        self._collected: _Collected | None = None
        self._left: _Collected | None = None
        """What was begun and not finished."""
        self._shunned: dict[tuple[Peer, str], tuple[float, int]] = {}
        """Until when, and how often so far."""
        self._disappointed: Counter[Peer] = Counter()
        """How often each was shunned for any zone since something was taken in from it."""
        self._refused: dict[bytes, float] = {}
        self._contradicting: dict[str, Version] = {}
        """By zone a roster that bore the number of the one that was here."""
        self.news: list[tuple[Version, Peer]] = []
        """What was taken in, for whoever tells people of it."""

    # --- what neighbours say ---------------------------------------------------------------

    def hear(self, now: float, peer: Peer, rows: Sequence[Version]) -> None:
        """A neighbour says what it has: all of it, or where it has much some of it in turn."""
        heard = self._peers.get(peer)
        if heard is None:
            if len(self._peers) >= MOST_PEERS and not self._make_room(now):
                self._counters["rosters dropped: too many neighbours"] += 1
                return
            heard = self._peers[peer] = _Heard(now)
        heard.at = now
        for row in rows:
            if row.zone in heard.rows or len(heard.rows) < MOST_ZONES:
                heard.rows[row.zone] = row
        self._compare(now, peer, heard)

    def _make_room(self, now: float) -> bool:
        self._peers = {peer: heard for peer, heard in self._peers.items() if now - heard.at <= HEARD_FOR}
        return len(self._peers) < MOST_PEERS

    def _compare(self, now: float, peer: Peer, heard: _Heard) -> None:
        """Note since when the neighbour lacks what is here."""
        lacks = {row.zone for row in lacking(peer, heard.rows, self._shelf.versions())}
        heard.behind = {zone: heard.behind.get(zone, now) for zone in lacks}

    def take(self, now: float, link: str, name: str, part: Part) -> None:
        """A part came over a link, from somebody of that name."""
        asked = self._collected
        if asked is None or asked.row != part.of or part.part in asked.parts:
            return  # another one on the link asked for it, or it came twice
        if (asked.peer.link, asked.peer.who.name) != (link, name):
            return
        if asked.size not in {None, part.size}:
            self._give_up(now, asked, "parts of two")
            self._left = None
            return
        asked.size, asked.tries = part.size, 0
        asked.parts[part.part] = part.data
        asked.asked_at = None
        if asked.missing is None:
            self._collected = None
            self._finish(now, asked)

    def _finish(self, now: float, asked: _Collected) -> None:
        came = b"".join(asked.parts[part] for part in sorted(asked.parts))
        taken = self._shelf.take(asked.row.zone, asked.row.mark, came)
        if taken.did == TAKEN:
            self._counters["rosters taken in"] += 1
            self._refused.clear()  # who signs may be known now
            self._shunned.pop((asked.peer, asked.row.zone), None)
            self._disappointed.pop(asked.peer, None)
            self.news.append((asked.row, asked.peer))
            for peer, heard in self._peers.items():
                self._compare(now, peer, heard)
            return
        if taken.did == REFUSED:
            self._counters[f"rosters refused: {taken.why}"] += 1
        if taken.contradicts:
            self._contradicting[asked.row.zone] = asked.row
        if len(self._refused) >= MOST_REMEMBERED:
            self._refused.clear()
        self._refused[asked.row.mark] = now + REFUSED_FOR
        if taken.damaged:
            self._shun(now, asked.peer, asked.row.zone)

    # --- what is asked ---------------------------------------------------------------------

    def ask(self, now: float, wall: int) -> tuple[str, Ask] | None:
        """The next question and the link that it is for; None when there is none now. ``wall``: nanoseconds since 1970."""
        asked = self._collected
        if asked is not None and asked.asked_at is not None and now - asked.asked_at < PATIENCE:
            return None
        if asked is not None and asked.tries >= TRIES:
            self._give_up(now, asked, "nothing came")
        elif asked is not None and not self._is_heard(now, asked.peer):
            self._collected, self._left = None, asked
        if self._collected is None:
            self._collected = asked = self._choose(now, wall)
        if asked is None or asked.missing is None:
            return None
        asked.asked_at, asked.tries = now, asked.tries + 1
        return asked.peer.link, Ask(asked.peer.who, asked.row, asked.missing)

    def deadline(self) -> float:
        """When `ask` has something to say at the latest, as far as nothing more is heard; infinite for nothing."""
        asked = self._collected
        if asked is None:
            return float("inf")
        return 0.0 if asked.asked_at is None else asked.asked_at + PATIENCE

    def _give_up(self, now: float, asked: _Collected, why: str) -> None:
        self._counters[f"rosters not had: {why}"] += 1
        self._collected, self._left = None, asked
        self._shun(now, asked.peer, asked.row.zone)

    def _shun(self, now: float, peer: Peer, zone: str) -> None:
        if len(self._shunned) >= MOST_REMEMBERED:
            self._shunned = {key: each for key, each in self._shunned.items() if each[0] > now}
        if len(self._disappointed) >= MOST_REMEMBERED:
            self._disappointed = Counter({each: self._disappointed[each] for each in self._peers})
        self._disappointed[peer] += 1
        often = self._shunned.get((peer, zone), (0.0, 0))[1]
        self._shunned[peer, zone] = now + min(SHUNNED * 2**often, SHUNNED_MOST), min(often + 1, 16)

    def _is_heard(self, now: float, peer: Peer) -> bool:
        heard = self._peers.get(peer)
        return heard is not None and now - heard.at <= HEARD_FOR

    def _choose(self, now: float, wall: int) -> _Collected | None:
        """What to collect next: from whom disappointed least, of the outermost zone, the highest number."""
        wanted = list(self._wanted(now, wall))
        if wanted:
            self._shelf.look()  # another role of this home may have taken it in meanwhile
            wanted = list(self._wanted(now, wall))
        if not wanted:
            return None
        peer, row = min(
            wanted,
            key=lambda each: (
                self._disappointed[each[0]],
                each[1].zone.count("/"),
                self._shunned.get((each[0], each[1].zone), (0.0, 0))[1],
                each[1].zone,
                -each[1].number,
            ),
        )
        left = self._left
        if left is not None and (left.peer, left.row) == (peer, row):
            self._left, left.asked_at, left.tries = None, None, 0
            return left
        return _Collected(peer, row)

    def _wanted(self, now: float, wall: int) -> Iterator[tuple[Peer, Version]]:
        mine = {row.zone: row for row in self._shelf.versions()}
        most = wall // 1_000_000_000 + AHEAD
        for peer, heard in self._peers.items():
            if now - heard.at > HEARD_FOR:
                continue
            for row in heard.rows.values():
                here = mine.get(row.zone)
                if (
                    0 < row.number <= most
                    and concerns(self._me, row.zone)
                    and self._shelf.knows(row.zone)
                    and (here is None or (row.number >= here.number and row.mark != here.mark))
                    and self._refused.get(row.mark, 0.0) <= now
                    and self._shunned.get((peer, row.zone), (0.0, 0))[0] <= now
                ):
                    yield peer, row

    # --- for people ------------------------------------------------------------------------

    def behind(self, now: float) -> list[Behind]:
        """Neighbours that are heard and lack something newer that is here."""
        return [
            Behind(peer, zone, heard.rows[zone].number if zone in heard.rows else 0, since)
            for peer, heard in self._peers.items()
            if now - heard.at <= HEARD_FOR
            for zone, since in sorted(heard.behind.items())
        ]

    def contradicting(self) -> list[str]:
        """The zones of whose rosters there are two under the number of the one that is here."""
        mine = {row.zone: row.number for row in self._shelf.versions()}
        return sorted(zone for zone, row in self._contradicting.items() if mine.get(zone) == row.number)

    def ahead(self, now: float) -> list[tuple[Peer, Version]]:
        """Neighbours that say they have a newer one than is here, of what concerns this role."""
        mine = {row.zone: row.number for row in self._shelf.versions()}
        return [
            (peer, row)
            for peer, heard in self._peers.items()
            if now - heard.at <= HEARD_FOR
            for row in heard.rows.values()
            if concerns(self._me, row.zone) and row.number > mine.get(row.zone, 0)
        ]


def lacking(peer: Peer, told: Mapping[str, Version], mine: Sequence[Version]) -> list[Version]:
    """The rosters of this home that a neighbour needs, and does not say that it has."""
    return [
        row
        for row in mine
        if row.number
        and concerns(peer.who, row.zone)
        and row.number > (told[row.zone].number if row.zone in told else 0)
    ]
