"""Giving parts of rosters to who asks for them: no state but what was asked for and sent lately. Pure.

A part goes to everybody on a link at once, so one answer serves all who ask at the same time, and nobody can have the same
part sent again and again. The bytes of a link are bounded; what came in last has precedence, so that whoever asks for
all that there is keeps no news from others.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tabard.brokers.news.ports import Shelf
from tabard.brokers.wire.rosters import MOST_BYTES, PART, Ask, Part, Version

GATHER: Final = 0.05
"""Seconds in which others may ask for the same."""
REPEAT: Final = 1.0
"""Seconds until the same part is sent again on a link."""
BURST: Final = MOST_BYTES
"""Bytes that a link may have at once; one roster as large as there may be."""
RATE: Final = PART
"""Bytes a second beyond that."""
MOST_ASKS: Final = 1_024
"""Different parts that wait to be sent."""
WHY_MANY: Final = "rosters asked for, too many"

_Key = tuple[str, Version, int]


class Answering:
    """The parts that were asked for.

    Args:
        shelf: of the home.
        counters: of the role.
        now: monotonic seconds.
    """

    def __init__(self, shelf: Shelf, counters: Counter[str], now: float) -> None:
        self._shelf = shelf
        self._counters = counters
        self._asked: dict[_Key, float] = {}
        """When each may be sent."""
        self._sent: dict[_Key, float] = {}
        self._left: dict[str, float] = {}
        self._filled = now

    def hear(self, now: float, link: str, ask: Ask) -> None:
        """Somebody on a link asks for a part. What is not here, or not any more, is not answered: versions tell what is."""
        key = (link, ask.wanted, ask.part)
        if key in self._asked or self._data(ask.wanted, ask.part) is None:
            return
        if len(self._asked) >= MOST_ASKS:
            self._counters[WHY_MANY] += 1
            return
        self._asked[key] = max(now + GATHER, self._sent.get(key, -REPEAT) + REPEAT)

    def due(self, now: float) -> list[tuple[str, Part]]:
        """The parts to be sent now, each with its link."""
        self._fill(now)
        order = {row: place for place, row in enumerate(self._shelf.versions())}
        waiting = sorted(
            (key for key, at in self._asked.items() if at <= now),
            key=lambda key: (order.get(key[1], len(order)), key[2]),
        )
        said = []
        for key in waiting:
            link, wanted, part = key
            data = self._data(wanted, part)
            if data is not None and self._left.setdefault(link, BURST) < len(data):
                continue
            del self._asked[key]
            if data is None:  # a newer one has come
                continue
            self._left[link] -= len(data)
            self._sent[key] = now
            said.append((link, Part(wanted, len(self._shelf.roster(wanted.zone) or b""), part, data)))
        return said

    def deadline(self) -> float:
        """When something is due next, in monotonic seconds; infinite when nothing was asked for."""
        return max(min(self._asked.values(), default=float("inf")), self._filled + GATHER)

    def _fill(self, now: float) -> None:
        more = (now - self._filled) * RATE
        self._left = {link: left + more for link, left in self._left.items() if left + more < BURST}
        self._filled = now
        self._sent = {key: at for key, at in self._sent.items() if now - at < REPEAT}

    def _data(self, wanted: Version, part: int) -> bytes | None:
        if wanted not in self._shelf.versions():
            return None
        return (self._shelf.roster(wanted.zone) or b"")[part * PART : (part + 1) * PART] or None
