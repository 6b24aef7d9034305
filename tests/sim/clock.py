"""Virtual time, and the clocks of simulated hosts that see it their own way."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

EPOCH_NS = 1_700_000_000_000_000_000


class Time:
    """An agenda of events; `run` jumps from one to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def at(self, when: float, event: Callable[..., None], *args: Any) -> None:
        """Let `event` happen with `args` at virtual second `when`, not before now."""
        heapq.heappush(self._agenda, (max(when, self.now), next(self._order), event, args))

    def run(self, until: float) -> None:
        """Let everything happen up to virtual second `until`."""
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, event, args = heapq.heappop(self._agenda)
            event(*args)
        self.now = until


class HostClock:
    """One host's `tabard.clock.Clock`: monotonic since its boot, a wall clock that may jump."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._booted = time.now
        self.jump = 0.0
        self.boots = 1

    def reboot(self) -> None:
        """Monotonic time begins anew."""
        self._booted = self._time.now
        self.boots += 1

    @property
    def boot(self) -> str:
        """The boot id."""
        return f"boot-{self.boots}"

    def monotonic(self) -> float:
        """Seconds since boot."""
        return self._time.now - self._booted + 1.0

    def wall(self) -> int:
        """Nanoseconds as this host believes."""
        return EPOCH_NS + int((self._time.now + self.jump) * 1e9)
