"""Requests that were sent again because their answer was late or lost: the same bytes are not stored twice.

An exporter that waited in vain sends a request again, unchanged. While the agent lives only what nobody was told of is
recognised, so that a client without clocks may repeat itself. Who was told before an agent was killed nobody knows: of
requests in which each record says its time, and which therefore nobody makes twice, digests are journaled with the
records, and the next agent knows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

Asker = TypeVar("Asker")

REMEMBERED: Final = 1_024
REMEMBERED_SECONDS: Final = 900.0
"""How many requests whose answer was lost are remembered, and how long."""
PREFIX: Final = "otlp:"
"""Begins the names of the marks; the number of a place follows."""
PLACES: Final = 256
"""Requests, the last ones, of which the journal has digests."""
_SECOND: Final = 1_000_000_000
_UNFINISHED: Final = -1


class Resends(Generic[Asker]):
    """Which requests wait to be journaled, and which were and nobody heard of it.

    ``marks`` are the journal's at the start, ``wall`` (ns UTC) and ``now`` (seconds) its time.
    """

    def __init__(self, marks: Mapping[str, Any], wall: int, now: float) -> None:
        self._waiting: dict[bytes, list[Asker]] = {}
        self._unheard: dict[bytes, tuple[float, int]] = {}
        self._journaled: dict[bytes, tuple[float, int]] = {}
        """Requests that an earlier agent journaled whole, and perhaps answered."""
        self._begun: dict[bytes, tuple[float, int]] = {}
        """Requests of which an earlier agent journaled so many records, and then was killed."""
        self._place = self._load(marks, wall, now)

    def _load(self, marks: Mapping[str, Any], wall: int, now: float) -> int:
        """The place to begin with: that behind the last one used."""
        last, place = 0, 0
        for key, mark in marks.items():
            number = key.removeprefix(PREFIX)
            if not key.startswith(PREFIX) or not number.isdecimal() or not _is_mark(mark):
                continue
            digest, taken, rejected, at = mark
            if at >= last:
                last, place = at, (int(number) + 1) % PLACES
            since = now - max(wall - at, 0) / _SECOND
            if rejected == _UNFINISHED:
                self._begun[digest] = since, taken
            else:
                self._journaled[digest] = since, rejected
        return place

    def place(self) -> str:
        """The name of a mark for one more request."""
        place, self._place = self._place, (self._place + 1) % PLACES
        return f"{PREFIX}{place}"

    def waits(self, digest: bytes, asker: Asker) -> bool:
        """Whether such a request waits already; then ``asker`` is told as well."""
        askers = self._waiting.get(digest)
        if askers is None:
            return False
        askers.append(asker)
        return True

    def begun(self, digest: bytes, now: float) -> int:
        """How many records of it, the first ones, an earlier agent journaled before it was killed in the middle."""
        since, taken = self._begun.get(digest, (now, 0))
        return taken if now - since <= REMEMBERED_SECONDS else 0

    def begin(self, digest: bytes, asker: Asker) -> None:
        """The request waits from now on."""
        self._waiting[digest] = [asker]
        self._begun.pop(digest, None)

    def done(self, digest: bytes) -> list[Asker]:
        """It is kept: who is to be told."""
        return self._waiting.pop(digest, [])

    def unheard(self, digest: bytes, rejected: int, now: float) -> None:
        """None of them was there any more."""
        self._unheard[digest] = now, rejected
        if len(self._unheard) > REMEMBERED:
            del self._unheard[next(iter(self._unheard))]

    def known(self, digest: bytes, now: float) -> int | None:
        """How many records of it were rejected, if it was kept and nobody was told; None for a new one."""
        kept = self._journaled.get(digest) or self._unheard.pop(digest, None)
        return kept[1] if kept is not None and now - kept[0] <= REMEMBERED_SECONDS else None


def mark_of(digest: bytes, taken: int, rejected: int | None, wall: int) -> list[Any]:
    """The mark of a request of which ``taken`` records are journaled; ``rejected`` is None while others are missing."""
    return [digest, taken, _UNFINISHED if rejected is None else rejected, wall]


def _is_mark(mark: Any) -> bool:
    return (
        isinstance(mark, (list, tuple))
        and len(mark) == 4
        and isinstance(mark[0], bytes)
        and all(type(number) is int for number in mark[1:])
    )
