"""The order within the rows: lines should cross as little as a few sweeps up and down can make them."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise

from tabard.fsm.drawing.graph import Rows

SWEEPS = 12
"""Most sweeps; many slots get fewer, and none but the first saves much then."""
_WORK = 60_000


def arrange(rows: Rows) -> None:
    """Order the slots of each row in place. The same rows give the same order."""
    above, below = rows.links()
    best = [list(row) for row in rows.rows]
    fewest = _crossings(best, below)
    for sweep in range(max(min(SWEEPS, _WORK // len(rows.slots)), 4)):
        if fewest == 0:
            break
        downward = sweep % 2 == 0
        numbers = range(1, len(rows.rows)) if downward else range(len(rows.rows) - 2, -1, -1)
        for number in numbers:
            beside = rows.rows[number - 1 if downward else number + 1]
            _by_middle(rows.rows[number], beside, above if downward else below)
        _swap(rows.rows, above, below)
        found = _crossings(rows.rows, below)
        if found < fewest:
            fewest, best = found, [list(row) for row in rows.rows]
    rows.rows[:] = best


def _by_middle(row: list[int], beside: Sequence[int], links: Sequence[Sequence[int]]) -> None:
    """Put each slot below the middle of those it is joined with; one that is joined with none stays where it is."""
    place = {slot: index for index, slot in enumerate(beside)}
    middle = {
        slot: sum(place[other] for other in links[slot]) / len(links[slot]) if links[slot] else float(index)
        for index, slot in enumerate(row)
    }
    row.sort(key=middle.__getitem__)  # stable: what is equal keeps its order


def _swap(rows: Sequence[list[int]], above: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> None:
    """Swap neighbours as long as that saves crossings."""
    for number, row in enumerate(rows):
        places = [
            ({slot: index for index, slot in enumerate(rows[number - 1])} if number else {}, above),
            ({slot: index for index, slot in enumerate(rows[number + 1])} if number + 1 < len(rows) else {}, below),
        ]  # fmt: skip
        for _ in range(len(row)):
            better = False
            for index in range(len(row) - 1):
                left, right = row[index], row[index + 1]
                now = sum(_pair(links[left], links[right], place) for place, links in places)
                then = sum(_pair(links[right], links[left], place) for place, links in places)
                if then < now:
                    row[index], row[index + 1] = right, left
                    better = True
            if not better:
                break


def _pair(left: Sequence[int], right: Sequence[int], place: dict[int, int]) -> int:
    """Crossings between the lines of two neighbours."""
    return sum(place[one] > place[other] for one in left for other in right)


def _crossings(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {slot: index for index, slot in enumerate(lower)}
        seen: list[int] = []
        for slot in upper:
            ends = sorted(place[other] for other in below[slot])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
