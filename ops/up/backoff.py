"""How long to wait before a child that ended is started again."""

from __future__ import annotations

from typing import Final

FIRST: Final = 0.25
LONGEST: Final = 30.0
"""Seconds before the first new start, and the longest that doubling leads to."""
STEADY: Final = 60.0
"""Seconds after which a child that ran that long is not held to have failed before."""


class Backoff:
    """Doubles with every end, and begins anew after a child that ran for a while. It never gives up."""

    def __init__(self) -> None:
        self.failures = 0
        """Ends in a row, each soon after its start."""

    def after(self, ran: float) -> float:
        """Seconds to wait after a child ended that ran for `ran` seconds."""
        if ran >= STEADY:
            self.failures = 0
        self.failures += 1
        return min(FIRST * 2.0 ** min(self.failures - 1, 20), LONGEST)
