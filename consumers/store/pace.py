"""How much of retention's work fits between two commits."""

from __future__ import annotations

from typing import Final

STEP_SECONDS: Final = 0.005
"""What a step should take at most; the number of rows adapts to it."""
FEWEST_ROWS: Final = 50


class Pace:
    """How many rows a step may touch, so that it takes some milliseconds and no longer."""

    def __init__(self) -> None:
        self.rows = FEWEST_ROWS * 4

    def adapt(self, took: float, most: int) -> None:
        """A step took so many seconds; none may ever touch more than `most` rows."""
        if took > STEP_SECONDS:
            self.rows = max(FEWEST_ROWS, self.rows // 2)
        elif took < STEP_SECONDS / 2:
            self.rows = min(self.rows * 2, max(most, FEWEST_ROWS))
