"""What is laid out: boxes and the lines between them, without a word about what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(slots=True)
class Box:
    """A rectangle. ``right`` is extra room beside it, for the lines that lead back to it."""

    width: float
    height: float
    right: float = 0.0
    x: float = 0.0
    y: float = 0.0
    """Its centre, after it was placed."""


@dataclass(slots=True)
class Line:
    """A line between two boxes, by their numbers, with a label of this size in its middle."""

    source: int
    target: int
    width: float
    height: float
    points: list[tuple[float, float]] = field(default_factory=list)
    """From source to target, after it was placed: between the odd and the next even point it is straight."""
    x: float = 0.0
    y: float = 0.0
    """The centre of the label, after it was placed."""


@dataclass(slots=True)
class Slot:
    """A place in a row: a box, the label of a line, or the point where a line passes through."""

    width: float
    height: float
    right: float = 0.0
    box: int | None = None
    line: int | None = None
    x: float = 0.0

    @property
    def passing(self) -> bool:
        """Whether it is not a box but a part of a line."""
        return self.box is None


@dataclass(slots=True)
class Chain:
    """A line as it runs through the rows from top to bottom, ends included, by the numbers of its slots."""

    line: int
    upward: bool
    """Whether the line's source is the lower end."""
    slots: list[int]


@dataclass(slots=True)
class Rows:
    """Slots in rows. Boxes stand in even rows, labels in odd ones."""

    slots: list[Slot]
    rows: list[list[int]]
    chains: list[Chain]

    def links(self) -> tuple[list[list[int]], list[list[int]]]:
        """For each slot the slots it is joined with in the row above, and in the row below."""
        above: list[list[int]] = [[] for _ in self.slots]
        below: list[list[int]] = [[] for _ in self.slots]
        for chain in self.chains:
            for upper, lower in pairwise(chain.slots):
                below[upper].append(lower)
                above[lower].append(upper)
        return above, below
