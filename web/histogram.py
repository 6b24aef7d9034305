"""How many records of which level when: the bars above the log table.

The store counts from the newest record on, within a time box, so a huge range costs no more than a small one:
what could not be counted is drawn as not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tabard.consumers.store.ports import StoreReader
from tabard.web.params import LogParams
from tabard.web.scales import nice_ceiling, spaced
from tabard.web.zones import SECOND, DisplayZone, iso

BUDGET: Final = 0.2
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
TICKS: Final = 5
"""Labels on the axis of time."""
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
    """Records that were counted; at least so many there are, when `partial`."""
    partial: bool
    """Some buckets were not counted within the time box."""
    span: str
    """What is drawn, when the reader chose no range."""
    whole: bool
    """Nothing in the store is older than what is drawn."""


def draw_histogram(
    reader: StoreReader, params: LogParams, *, now: int, link: Callable[..., str]
) -> Histogram:
    """Count and draw the records that fit the filters, over the chosen range or about the last 24 hours.

    When everything is asked for, it begins with the oldest record, and ends now or at ``until`` as ever.
    """
    until = min(params.query.until or now, now) if params.query.since is None else params.query.until or now
    oldest = reader.oldest()
    since = params.query.since
    if since is None:
        since = max(until - DEFAULT_SPAN, 0)
        if "since" in params.raw and oldest is not None:  # everything was asked for
            since = min(since, oldest)
    step = bucket_width(until - since)
    first, last = since // step, -(-until // step)
    first -= (first - last) % (TICKS - 1)  # the labels stand at ends of bars then, which are round times
    if params.query.since is None:
        since = first * step
    whole = replace(params.query, since=since, until=until, before=None, after=None)
    counted = reader.histogram(whole, step, BUDGET)
    counts = {start: _by_layer(levels) for start, levels in counted.counts.items()}
    highest = max((sum(levels.values()) for levels in counts.values()), default=0)
    top = nice_ceiling(highest)
    width = 1000 / max(last - first, 1)
    counted_from = counted.counted_from or 0

    def levels_at(start: int) -> Mapping[str, int] | None:
        return counts.get(start, {}) if start >= counted_from else None

    bars = [
        _bar(
            levels_at(index * step),
            (index - first) * width,
            width,
            top,
            params.zone,
            index * step,
            step,
            link,
        )
        for index in range(first, last)
        if (index + 1) * step > since
    ]
    return Histogram(
        bars=bars,
        top=f"{top:,.0f}",
        ticks=[
            _tick(params.zone, moment, until - since) for moment in spaced(first * step, last * step, TICKS)
        ],
        total=counted.seen,
        partial=counted.partial,
        span=""
        if params.query.since is not None
        else f"since {params.zone.date(since)} {params.zone.clock(since)[:5]}",
        whole=oldest is None or since <= oldest,
    )


def bucket_width(span: int) -> int:
    """The width of a bar, in nanoseconds, that makes at most about `BUCKETS` of ``span``."""
    return next(
        (step for step in STEPS if step * BUCKETS >= span), STEPS[-1] * -(-span // (STEPS[-1] * BUCKETS))
    )


def _by_layer(levels: Mapping[str, int]) -> dict[str, int]:
    return {level.lower() or "none": count for level, count in levels.items()}


def _bar(
    levels: Mapping[str, int] | None,
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
