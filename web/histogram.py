"""How many records of which level when: the bars above the log table.

The store is asked bucket by bucket, newest first, within a time box, so a huge range costs no more than a
small one: what could not be counted is drawn as not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tabard.consumers.store.read import Reader
from tabard.records import severity_name
from tabard.web.params import LogParams
from tabard.web.scales import nice_ceiling, spaced
from tabard.web.zones import SECOND, DisplayZone, iso

BUDGET: Final = 0.25
"""Seconds for the whole histogram."""
BUCKETS: Final = 60
"""About how many bars."""
DEFAULT_SPAN: Final = 24 * 3600 * SECOND
"""What is drawn when no ``since`` is given."""
STEPS: Final = tuple(
    seconds * SECOND
    for seconds in (
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800, 2592000,
    )
)  # fmt: skip
"""Widths of a bar that a person can read."""
LAYERS: Final = ("none", "trace", "debug", "info", "warning", "error", "critical")
"""From the foot of a bar to its top."""
HEIGHT: Final = 100


@dataclass(frozen=True)
class Layer:
    """One level's part of a bar, in the drawing's units."""

    level: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """One bucket: where it stands, what it says, what a click on it leads to."""

    x: float
    width: float
    layers: list[Layer]
    title: str
    link: str
    counted: bool


@dataclass(frozen=True)
class Histogram:
    """A drawing 1000 wide and 100 high."""

    bars: list[Bar]
    top: str
    """The label of the upper edge."""
    ticks: list[str]
    """Labels below, evenly spaced."""
    total: int
    partial: bool
    """Some buckets were not counted within the time box."""
    span: str
    """What is drawn, when the reader chose no range."""


def draw_histogram(reader: Reader, params: LogParams, *, now: int, link: Callable[..., str]) -> Histogram:
    """Count and draw the records that fit the filters, over the chosen range or the last 24 hours."""
    until = min(params.query.until or now, now) if params.query.since is None else params.query.until or now
    since = params.query.since if params.query.since is not None else max(until - DEFAULT_SPAN, 0)
    step = bucket_width(until - since)
    first, last = since // step, -(-until // step)
    counts = _count(reader, params, first, last, step)
    highest = max((sum(levels.values()) for levels in counts.values()), default=0)
    top = nice_ceiling(highest)
    width = 1000 / max(last - first, 1)
    bars = [
        _bar(counts.get(index), (index - first) * width, width, top, params.zone, index * step, step, link)
        for index in range(first, last)
    ]
    return Histogram(
        bars=bars,
        top=f"{top:,.0f}",
        ticks=[_tick(params.zone, moment, until - since) for moment in spaced(first * step, last * step, 5)],
        total=sum(sum(levels.values()) for levels in counts.values()),
        partial=len(counts) < last - first,
        span="" if params.query.since is not None else "last 24 h",
    )


def bucket_width(span: int) -> int:
    """The width of a bar, in nanoseconds, that makes at most about `BUCKETS` of ``span``."""
    return next(
        (step for step in STEPS if step * BUCKETS >= span), STEPS[-1] * -(-span // (STEPS[-1] * BUCKETS))
    )


def _count(reader: Reader, params: LogParams, first: int, last: int, step: int) -> dict[int, dict[str, int]]:
    """Records per level in each bucket, newest bucket first for as long as the time box allows."""
    deadline = time.monotonic() + BUDGET
    whole = replace(params.query, before=None, after=None)
    counts: dict[int, dict[str, int]] = {}
    for index in range(last - 1, first - 1, -1):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        bucket = replace(
            whole,
            since=max(index * step, whole.since or 0),
            until=min((index + 1) * step, whole.until or (index + 1) * step),
        )
        levels: dict[str, int] = {}
        for severity, count in reader.facets(bucket, "severity", 25, left):
            level = severity_name(int(severity or 0)).lower() or "none"
            levels[level] = levels.get(level, 0) + count
        if time.monotonic() < deadline:  # else this very bucket may have been cut short
            counts[index] = levels
    return counts


def _bar(
    levels: dict[str, int] | None,
    x: float,
    width: float,
    top: float,
    zone: DisplayZone,
    start: int,
    step: int,
    link: Callable[..., str],
) -> Bar:
    words = (
        f"{zone.date(start)} {zone.clock(start, millis=False)} to {zone.clock(start + step, millis=False)}"
    )
    target = link(since=iso(start), until=iso(start + step))
    if levels is None:
        return Bar(x, width, [], f"{words}: not counted, it took too long", target, counted=False)
    layers, height = [], 0.0
    for level in LAYERS:
        if levels.get(level):
            part = HEIGHT * levels[level] / top
            height += part
            layers.append(Layer(level, HEIGHT - height, part))
    said = ", ".join(
        f"{levels[level]:,} {level.replace('none', 'without level')}"
        for level in reversed(LAYERS)
        if levels.get(level)
    )
    return Bar(x, width, layers, f"{words}: {said or 'nothing'}", target, counted=True)


def _tick(zone: DisplayZone, moment: int, span: int) -> str:
    if span > 2 * 86400 * SECOND:
        return zone.date(moment)
    clock = zone.clock(moment, millis=False)
    return clock if span < 600 * SECOND else clock[:5]
