"""What retention on PostgreSQL knows of days and remembers from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from tabard.consumers.store.postgresql.counting import State
from tabard.consumers.store.postgresql.partitions import Partition

THOUSANDTHS: Final = 1000
"""Widths are kept in thousandths of bytes."""


class Passed(NamedTuple):
    """Of one day: the id below which nothing is left but what holds cover, and how many rows that are."""

    upto: int = 0
    held: int = 0


class Day(NamedTuple):
    """One day as it is."""

    day: Partition
    files: int
    """Bytes on the disk."""
    rows: int | None
    """None where nobody has to know."""
    held: int
    """Rows that holds keep, as far as they were passed over."""
    width: int | None
    """None: no rows were deleted one by one."""

    @property
    def size(self) -> int:
        """Bytes that it takes: of rows that are there."""
        if self.width is None or self.rows is None:
            return self.files
        return min(self.files, self.rows * self.width // THOUSANDTHS)

    @property
    def held_size(self) -> int:
        """Bytes of what holds keep."""
        return self.size * self.held // max(self.rows or 0, self.held, 1)


class View(NamedTuple):
    """Which days there are; good for some steps."""

    days: list[Partition]
    newest: Partition | None
    """The last one that has rows."""
    files: Mapping[str, int]
    until: float
    """Monotonic seconds."""


@dataclass(slots=True)
class Plan:
    """Rows of one day that are to go: good for some steps, since to find out costs more than to delete."""

    day: Partition
    left: float
    """How many rows are still to be passed."""
    last: bool
    """Whether the newest row is among those of this day."""
    cut: bool
    """Whether size or count takes them, not age."""
    until: float
    """Monotonic seconds."""
    state: State
    """That of the day: when it is another one, somebody else has deleted."""
