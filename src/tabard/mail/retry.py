"""When to try again, and when to give up. Decisions only: the time is handed in."""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Retry(NamedTuple):
    """Seconds: the first pause, the longest one, and the age at which a mail is given up."""

    first: float = 30.0
    longest: float = 1_800.0
    age: float = 259_200.0

    def pause(self, failures: int, random: Random) -> float:
        """Seconds to wait after so many failures in a row: doubled each time, and never quite the same."""
        full = min(self.first * 2.0 ** min(failures - 1, 60), self.longest)
        return full * random.uniform(0.5, 1.0)

    def due(self, next_try: int, now: int) -> bool:
        """Whether it is time (nanoseconds). A clock that was set back does not put a try off for longer than ever."""
        return next_try <= now or next_try > now + round(self.longest * 1e9)

    def too_old(self, queued: int, now: int) -> bool:
        """Whether a mail queued then is to be given up now."""
        return now - queued > round(self.age * 1e9)
