"""How many records go into one commit of a database that works apart: what it takes in within a moment.

What a commit costs beside its rows (a turn of the loop, statements that wait for their answers, the disk) costs a server
time in which it takes in nothing, so under load larger commits are faster. One that lasts long, though, keeps
the loop from its leases, and nodes from their cursors.
"""

from __future__ import annotations

from typing import Final

MOMENT: Final = 0.25
"""Seconds that a commit may last by what is known of those before it."""
LEAST: Final = 4_096
"""Records that go into one however slow the database is, and before anything is known of it."""


class Sizing:
    """Follows the commits, one at a time."""

    def __init__(self) -> None:
        self._rate = 0.0
        """Records a second of the last commit."""
        self._begun: tuple[float, int] | None = None

    def begin(self, now: float, records: int) -> None:
        """A commit of so many records begins."""
        self._begun = (now, records)

    def end(self, now: float) -> None:
        """It is over."""
        if self._begun is not None:
            began, records = self._begun
            self._begun = None
            self._rate = records / max(now - began, 0.001)

    def most(self, limit: int) -> int:
        """How many records the next one may have, `limit` at the most."""
        return min(limit, max(LEAST, int(self._rate * MOMENT)))
