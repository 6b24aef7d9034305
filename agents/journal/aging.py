"""Journal time: how old a frame is, whatever the wall clock does."""

from __future__ import annotations

from tabard.agents.journal.segment import Head
from tabard.clock import Clock


class JournalTime:
    """A clock in milliseconds that never goes back and goes on over restarts.

    It follows the monotonic clock while a boot lasts, whether the agent runs or not, and stands still between
    boots, because nobody knows how long those were apart.
    """

    def __init__(self, clock: Clock, boot: str) -> None:
        self._clock = clock
        self._boot = boot
        self._base = 0.0

    def resume(self, last: Head | None, newest: int) -> None:
        """Go on from the newest frame, of journal time `newest`, in the segment with the head `last`."""
        now = self._clock.monotonic() * 1000
        reached = float(newest)
        if last is not None and last.boot == self._boot:
            reached = max(reached, last.kept + now - last.monotonic * 1000)
        self._base = reached - now

    def now(self) -> int:
        """Milliseconds."""
        return self.at(self._clock.monotonic())

    def at(self, monotonic: float) -> int:
        """Milliseconds at a reading of the monotonic clock, in seconds."""
        return int(self._base + monotonic * 1000)
