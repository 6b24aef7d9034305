"""Which files rotation made of a log while nobody looked: those nobody has read yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from tabard.agents.intake.tail.marks import Mark
from tabard.agents.intake.tail.order import rotated_later
from tabard.agents.intake.tail.siblings import Sibling


class Met(Enum):
    """What is known of a file beside the path."""

    LAST = auto()
    """It is the marked file, or the copy of it that is read on."""
    READ = auto()
    """It was followed, or is so now, or is a copy of such a file."""
    OTHER = auto()
    """It is of no concern: it lay there before, or is a copy of the file at the path."""
    NEW = auto()
    """Nothing is known of it."""


class Unseen(NamedTuple):
    """What was found."""

    newer: Sequence[Sibling]
    """Rotated after the marked file was read, oldest first: they are to be read whole."""
    doubtful: Sequence[Sibling]
    """Perhaps so: their times say they are older, but something changed about them since."""


def unseen_since(mark: Mark, found: Iterable[tuple[Sibling, Met]]) -> Unseen:
    """Those of the numbered files ``found`` beside a path that came about after the marked one was read.

    They do when the log was rotated more than once between two looks, or emptied and rotated. The time of
    the last change says so; where a clock was set back, or a tool gave a file another time, its place
    beside the marked file says it, or among those that were read if that one is gone. Of a marked file that was empty
    the place says nothing: it may have been filled and emptied again before it was rotated.
    """
    numbered = [(sibling, met) for sibling, met in found if sibling.number]
    last = [sibling for sibling, met in numbered if met is Met.LAST and mark.length]
    read = last or [sibling for sibling, met in numbered if met is Met.READ]
    newer, doubtful = [], []
    for sibling, met in numbered:
        if met is not Met.NEW:
            continue
        if sibling.modified >= mark.modified:
            newer.append(sibling)
            continue
        order = {rotated_later(sibling.number, other.number) for other in read}
        since = sibling.changed >= mark.modified
        if False in order and (last or True not in order):
            continue
        if True in order and since:
            newer.append(sibling)
        elif True in order or since:
            doubtful.append(sibling)
    return Unseen(sorted(newer, key=lambda sibling: sibling.modified), doubtful)
