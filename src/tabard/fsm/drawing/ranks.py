"""In which row each box stands: circles are opened, then everything is as high as what leads to it allows."""

from __future__ import annotations

from collections.abc import Sequence

from tabard.fsm.drawing.graph import Box, Chain, Line, Rows, Slot

THIN = 10.0
"""Width that a line takes in a row it only passes."""


def in_rows(boxes: Sequence[Box], lines: Sequence[Line], first: int) -> Rows:
    """Rows for ``boxes``, all of which can be reached from ``first``; no line may join a box with itself."""
    upward = _turned(len(boxes), lines, first)
    ranks = _ranks(len(boxes), lines, upward)
    slots = [Slot(box.width, box.height, box.right, box=number) for number, box in enumerate(boxes)]
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    chains: list[Chain] = []
    for number, rank in enumerate(ranks):
        rows[rank].append(number)
    for number, line in enumerate(lines):
        upper, lower = (line.target, line.source) if upward[number] else (line.source, line.target)
        middle = (ranks[upper] + ranks[lower]) // 2 | 1
        chain = [upper]
        for rank in range(ranks[upper] + 1, ranks[lower]):
            labelled = rank == middle
            slots.append(
                Slot(line.width if labelled else THIN, line.height if labelled else 0.0, line=number)
            )
            rows[rank].append(len(slots) - 1)
            chain.append(len(slots) - 1)
        chains.append(Chain(number, upward[number], [*chain, lower]))
    return Rows(slots, rows, chains)


def _turned(count: int, lines: Sequence[Line], first: int) -> list[bool]:
    """Which lines lead back to a box on the way from ``first``; turned round, no circle is left."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    for number, line in enumerate(lines):
        leaving[line.source].append(number)
    upward = [False] * len(lines)
    done = [False] * count
    on_way = [False] * count
    way: list[tuple[int, int]] = [(first, 0)]
    on_way[first] = True
    while way:
        box, tried = way.pop()
        if tried == len(leaving[box]):
            on_way[box] = False
            done[box] = True
            continue
        way.append((box, tried + 1))
        number = leaving[box][tried]
        target = lines[number].target
        if on_way[target]:
            upward[number] = True
        elif not done[target]:
            on_way[target] = True
            way.append((target, 0))
    return upward


def _ranks(count: int, lines: Sequence[Line], upward: Sequence[bool]) -> list[int]:
    """The longest way to each box, in steps of two rows."""
    below: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for line, turned in zip(lines, upward, strict=True):
        upper, lower = (line.target, line.source) if turned else (line.source, line.target)
        below[upper].append(lower)
        waiting[lower] += 1
    ranks = [0] * count
    ready = [box for box in range(count) if waiting[box] == 0]
    while ready:
        box = ready.pop()
        for lower in below[box]:
            ranks[lower] = max(ranks[lower], ranks[box] + 2)
            waiting[lower] -= 1
            if waiting[lower] == 0:
                ready.append(lower)
    return ranks
