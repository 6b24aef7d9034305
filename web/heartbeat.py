"""The heartbeat strip: when a node was heard, minute by minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tabard.web.charts import MINUTE
from tabard.web.words import coordinate
from tabard.web.zones import SECOND, DisplayZone

MAX_CELLS: Final = 240
"""Of a strip: more would be thinner than a pixel on a phone."""
ENOUGH: Final = 0.8
"""The share of expected beacons from which on a stretch counts as whole: timers drift."""
OVERDUE: Final = 2
"""Beacons that the stretch still running must have been due for, before none of them is silence."""


@dataclass(frozen=True)
class Cell:
    """One stretch of a strip that is 1000 wide."""

    x: str
    width: str
    state: str
    """``full``, ``some``, ``none``; ``unknown`` before the node first spoke, and where nobody could hear it."""
    title: str


def cell_width(span: int, interval: float) -> int:
    """Whole minutes, in nanoseconds, that one cell stands for: two beacons at least must fall into it."""
    by_count = -(-span // (MAX_CELLS * MINUTE))
    by_beacons = -(-round(2 * interval * SECOND) // MINUTE)
    return max(by_count, by_beacons, 1) * MINUTE


def heartbeat_strip(
    beats: Sequence[tuple[int, int]],
    since: int,
    until: int,
    interval: float,
    zone: DisplayZone,
    *,
    known: bool,
    listened: int | None = None,
) -> list[Cell]:
    """The strip of ``beats`` (minutes with the beacons heard in each) from the cell of ``since`` to ``until``.

    ``interval`` is the seconds between beacons. ``known`` says whether the node was heard before: if not,
    the time before its first beacon is unknown, not silence. So is what comes after ``listened``, where that is given: up to
    then the recorder wrote what it heard.
    """
    width = cell_width(until - since, interval)
    start = since // width * width
    heard: dict[int, int] = {}
    for minute, beacons in beats:
        index = (minute - start) // width
        heard[index] = heard.get(index, 0) + beacons
    first = min(heard, default=None)
    count = -(-(until - start) // width)
    heard_until = until if listened is None else min(until, listened)
    cells: list[Cell] = []
    for index in range(count):
        begin = start + index * width
        due = int((min(begin + width, heard_until) - begin) / SECOND / interval)
        got = heard.get(index, 0)
        if not known and (first is None or index < first):
            state, said = "unknown", "not known yet"
        elif got == 0 and due < OVERDUE and begin + width > heard_until < until:
            state, said = "unknown", "not known, the recorder says nothing"
        elif got == 0 and (due >= OVERDUE or (cells and cells[-1].state == "none")):
            state, said = "none", "not heard"
        elif got >= ENOUGH * due or (index == first and not known):
            state, said = "full", f"heard, {got} beacons"
        else:
            state, said = "some", f"{got} of {due} beacons heard"
        title = f"{zone.date(begin)} {zone.clock(begin)[:5]}: {said}"
        cells.append(Cell(coordinate(1000 * index / count), coordinate(900 / count), state, title))
    return cells
