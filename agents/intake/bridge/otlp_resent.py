"""Requests that were sent again because their answer was late or lost: the same bytes are not stored twice.

An exporter that waited in vain sends a request again, unchanged. Two requests that are equal by chance say the same
at the same nanosecond. Only what nobody was told of is recognised, so that a client without clocks may repeat itself.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Asker = TypeVar("Asker")

REMEMBERED: Final = 1_024
REMEMBERED_SECONDS: Final = 900.0
"""How many requests whose answer was lost are remembered, and how long."""


class Resends(Generic[Asker]):
    """Which requests wait to be journaled, and which were and nobody heard of it."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[Asker]] = {}
        self._unheard: dict[bytes, tuple[float, int]] = {}

    def waits(self, digest: bytes, asker: Asker) -> bool:
        """Whether such a request waits already; then ``asker`` is told as well."""
        askers = self._waiting.get(digest)
        if askers is None:
            return False
        askers.append(asker)
        return True

    def begin(self, digest: bytes, asker: Asker) -> None:
        """The request waits from now on."""
        self._waiting[digest] = [asker]

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
        kept = self._unheard.pop(digest, None)
        return kept[1] if kept is not None and now - kept[0] <= REMEMBERED_SECONDS else None
