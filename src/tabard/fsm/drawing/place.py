"""Where everything stands: as close to what it is joined with as its neighbours in the row allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tabard.fsm.drawing.graph import Box, Chain, Line, Rows

BESIDE = 26.0
"""Room between two boxes of a row; half of it between parts of lines."""
BETWEEN = 26.0
"""Least room between two rows; lines bend there."""
SWEEPS = 40
"""Most sweeps; a picture of many parts gets fewer, so that it is drawn in seconds."""
_WORK = 200_000
_PORT = 26.0
"""Most room between two lines at the same side of a box."""


def place(rows: Rows, boxes: Sequence[Box], lines: Sequence[Line]) -> tuple[float, float]:
    """Give boxes, labels and lines their coordinates; the width and height of all."""
    _across(rows)
    tops, bottoms = _down(rows)
    for number, row in enumerate(rows.rows):
        for slot in row:
            box = rows.slots[slot].box
            if box is not None:
                boxes[box].x = rows.slots[slot].x
                boxes[box].y = (tops[number] + bottoms[number]) / 2
    _route(rows, boxes, lines, tops, bottoms)
    wide = max(slot.x + slot.width / 2 + slot.right for slot in rows.slots)
    return wide, bottoms[-1]


def _across(rows: Rows) -> None:
    above, below = rows.links()
    for row in rows.rows:
        _settle(rows, row, [0.0] * len(row), [1.0] * len(row))
    sweeps = max(min(SWEEPS, _WORK // len(rows.slots)), 8)
    for sweep in range(sweeps):
        downward = sweep % 2 == 0
        both = sweep >= sweeps // 2
        for row in rows.rows if downward else reversed(rows.rows):
            wanted: list[float] = []
            weights: list[float] = []
            for slot in row:
                near = above[slot] if downward else below[slot]
                if both:
                    near = above[slot] + below[slot]
                pulls = [(rows.slots[other].x, _weight(rows, slot, other)) for other in near]
                weight = sum(pull for _, pull in pulls)
                wanted.append(sum(x * pull for x, pull in pulls) / weight if weight else rows.slots[slot].x)
                weights.append(weight or 0.1)
            _settle(rows, row, wanted, weights)
    _straighten(rows)
    left = min(each.x - each.width / 2 for each in rows.slots)
    for each in rows.slots:
        each.x = round(each.x - left, 2)


def _straighten(rows: Rows) -> None:
    """Let each long line go straight down as far as its neighbours in the rows allow it."""
    beside: dict[int, tuple[int | None, int | None]] = {}
    for row in rows.rows:
        padded = [None, *row, None]
        beside.update(
            (slot, (before, after)) for before, slot, after in zip(padded, row, padded[2:], strict=False)
        )
    for chain in sorted(rows.chains, key=lambda each: (-len(each.slots), each.line)):
        ahead = chain.slots[1:-1]
        while ahead:
            low, high = _free(rows, beside[ahead[0]], ahead[0])
            together = 1
            while together < len(ahead):
                left, right = _free(rows, beside[ahead[together]], ahead[together])
                if max(low, left) > min(high, right):
                    break
                low, high = max(low, left), min(high, right)
                together += 1
            straight, ahead = ahead[:together], ahead[together:]
            middle = sorted(rows.slots[slot].x for slot in straight)[together // 2]
            for slot in straight:
                rows.slots[slot].x = min(max(middle, low), high)


def _free(rows: Rows, beside: tuple[int | None, int | None], slot: int) -> tuple[float, float]:
    """Where a slot could stand between its neighbours."""
    before, after = beside
    low = -math.inf if before is None else rows.slots[before].x + _distance(rows, before, slot)
    high = math.inf if after is None else rows.slots[after].x - _distance(rows, slot, after)
    return low, high


def _weight(rows: Rows, one: int, other: int) -> float:
    """How much a link wants to be straight: most within a long line, least between a box and its label."""
    return (1.0, 2.0, 8.0)[rows.slots[one].passing + rows.slots[other].passing]


def _settle(rows: Rows, row: Sequence[int], wanted: Sequence[float], weights: Sequence[float]) -> None:
    """The places nearest to those wanted (least squares) that keep order and distance: pool what would overlap."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + _distance(rows, left, right))
    pools: list[tuple[float, float, int]] = []
    """Weighted sum of what is wanted, weight, and number of slots of each pool."""
    for offset, want, weight in zip(offsets, wanted, weights, strict=True):
        pool = ((want - offset) * weight, weight, 1)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
        pools.append(pool)
    places = [total / weight for total, weight, count in pools for _ in range(count)]
    for slot, at, offset in zip(row, places, offsets, strict=True):
        rows.slots[slot].x = at + offset


def _distance(rows: Rows, left: int, right: int) -> float:
    one, other = rows.slots[left], rows.slots[right]
    room = BESIDE / 2 if one.passing or other.passing else BESIDE
    return one.width / 2 + one.right + room + other.width / 2


def _down(rows: Rows) -> tuple[list[float], list[float]]:
    """Top and bottom of each row. Where lines go far to the side there is more room for it."""
    _, below = rows.links()
    tops, bottoms = [], []
    y = 0.0
    for row in rows.rows:
        height = max((rows.slots[slot].height for slot in row), default=0.0)
        tops.append(y)
        bottoms.append(y + height)
        far = max(
            (abs(rows.slots[slot].x - rows.slots[other].x) for slot in row for other in below[slot]),
            default=0.0,
        )
        y += height + BETWEEN + min(far / 14, 40.0)
    return tops, bottoms


def _route(
    rows: Rows, boxes: Sequence[Box], lines: Sequence[Line], tops: Sequence[float], bottoms: Sequence[float]
) -> None:
    rank = {slot: number for number, row in enumerate(rows.rows) for slot in row}
    ports = _ports(rows)
    for chain in rows.chains:
        line = lines[chain.line]
        upper, *passed, lower = chain.slots
        points = [(ports[chain.line, upper], boxes[upper].y + boxes[upper].height / 2)]
        for slot in passed:
            number = rank[slot]
            points += [(rows.slots[slot].x, tops[number]), (rows.slots[slot].x, bottoms[number])]
            if rows.slots[slot].height:
                line.x, line.y = rows.slots[slot].x, (tops[number] + bottoms[number]) / 2
        points.append((ports[chain.line, lower], boxes[lower].y - boxes[lower].height / 2))
        line.points = points[::-1] if chain.upward else points


def _ports(rows: Rows) -> dict[tuple[int, int], float]:
    """Where each line meets its two boxes: in the order in which the lines arrive, so that they do not cross there."""
    sides: dict[tuple[int, bool], list[tuple[float, Chain]]] = {}
    for chain in rows.chains:
        upper, after, *_ = chain.slots
        *_, before, lower = chain.slots
        sides.setdefault((upper, True), []).append((rows.slots[after].x, chain))
        sides.setdefault((lower, False), []).append((rows.slots[before].x, chain))
    ports = {}
    for (slot, _), met in sides.items():
        box = rows.slots[slot]
        met.sort(key=lambda item: (item[0], item[1].line))
        step = min(_PORT, (box.width - 24.0) / len(met))
        for index, (_, chain) in enumerate(met):
            ports[chain.line, slot] = box.x + (index - (len(met) - 1) / 2) * step
    return ports
