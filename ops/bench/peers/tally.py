"""Counting by number what arrived. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Tally(NamedTuple):
    """What became of the records 1 to `given`."""

    given: int
    stored: int
    """Different ones that are in the store."""
    lost: int
    """That are not."""
    doubled: int
    """Rows beyond the first of a record."""
    out_of_order: int
    """Records that first stand behind one with a higher number."""
    foreign: int
    """Rows that are none of these records: text that was cut or mixed up on the way."""


def tally(given: int, numbers: Sequence[int]) -> Tally:
    """Count `numbers`, those of the rows in the order in which the store keeps them."""
    seen: set[int] = set()
    highest = doubled = backwards = foreign = 0
    for number in numbers:
        if not 1 <= number <= given:
            foreign += 1
        elif number in seen:
            doubled += 1
        else:
            seen.add(number)
            backwards += number < highest
            highest = max(highest, number)
    return Tally(given, len(seen), given - len(seen), doubled, backwards, foreign)
