"""Line charts and the heartbeat strip, drawn on the server as plain SVG: nothing to load, nothing to run.

Drawings are 1000 wide and 100 high and stretched to their place; labels are text beside them, so that they
keep their size on every screen.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tabard.web.scales import nice_ceiling, show_bytes, show_number, spaced
from tabard.web.words import coordinate
from tabard.web.zones import SECOND, DisplayZone

Series = Mapping[str, Sequence[tuple[int, float]]]

MINUTE: Final = 60 * SECOND
MAX_CELLS: Final = 240
"""Of a heartbeat strip: more would be thinner than a pixel on a phone."""
ENOUGH: Final = 0.8
"""The share of expected beacons from which on a stretch counts as whole: timers drift."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    label: str
    latest: str
    path: str
    area: str
    """The surface below it, empty for all but the only line of a chart."""


@dataclass(frozen=True)
class Probe:
    """A stretch of time that tells its values when pointed at."""

    x: str
    width: str
    title: str


@dataclass(frozen=True)
class Chart:
    """One chart, ready to be drawn."""

    title: str
    curves: list[Curve]
    probes: list[Probe]
    y_labels: list[str]
    """From top to bottom, evenly spaced."""
    x_labels: list[str]
    summary: str


@dataclass(frozen=True)
class Plan:
    """What one chart shows: series by key with their labels, how numbers are written, a fixed upper end."""

    title: str
    lines: Mapping[str, str]
    show: Callable[[float], str]
    top: float | None = None
    binary: bool = False


def _percent(value: float) -> str:
    return f"{show_number(round(value, 1))} %"


def _rate(value: float) -> str:
    return f"{show_bytes(value)}/s"


PLANS: Final = (
    Plan("CPU, all cores", {"cpu": "busy"}, _percent, top=100),
    Plan(
        "Memory", {"mem_used": "used", "swap_used": "swap", "mem_total": "there is"}, show_bytes, binary=True
    ),
    Plan("Load, 1 minute", {"load": "load"}, show_number),
    Plan("Network", {"net_rx": "received", "net_tx": "sent"}, _rate, binary=True),
    Plan("Disk traffic", {"disk_read": "read", "disk_write": "written"}, _rate, binary=True),
    Plan("Processes", {"procs": "processes"}, show_number),
)
MAX_MOUNTS: Final = 6
"""File systems in the chart of used space, fullest first."""


def host_charts(series: Series, since: int, until: int, zone: DisplayZone) -> list[Chart]:
    """The charts of a host for which there are values between two event times."""
    plans = list(PLANS)
    mounts = sorted(
        (name for name, points in series.items() if name.startswith("disk:") and points),
        key=lambda name: -series[name][-1][1],
    )
    if mounts:
        lines = {name: name.removeprefix("disk:") for name in mounts[:MAX_MOUNTS]}
        plans.insert(3, Plan("Disk space used", lines, _percent, top=100))
    drawn = (draw_chart(plan, series, since, until, zone) for plan in plans)
    return [chart for chart in drawn if chart is not None]


def draw_chart(plan: Plan, series: Series, since: int, until: int, zone: DisplayZone) -> Chart | None:
    """The chart of ``plan``, None when none of its series has a value."""
    lines = {label: series[key] for key, label in plan.lines.items() if series.get(key)}
    if not lines:
        return None
    highest = max(value for points in lines.values() for _, value in points)
    top = max(plan.top or 0, highest) if plan.top else nice_ceiling(highest, binary=plan.binary)

    def x_of(moment: int) -> float:
        return 1000 * (moment - since) / max(until - since, 1)

    curves = [
        _curve(label, points, x_of, top, plan.show, filled=len(lines) == 1) for label, points in lines.items()
    ]
    return Chart(
        title=plan.title,
        curves=curves,
        probes=_probes(lines, x_of, plan.show, zone),
        y_labels=[plan.show(top), plan.show(top / 2), plan.show(0)],
        x_labels=time_labels(zone, since, until),
        summary=", ".join(f"{curve.label} {curve.latest}" for curve in curves),
    )


def time_labels(zone: DisplayZone, since: int, until: int, count: int = 4) -> list[str]:
    """Evenly spaced labels of a time axis: clock times, dates when it spans days."""
    moments = spaced(since, until, count)
    if until - since > 2 * 1440 * MINUTE:
        return [f"{zone.date(moment)[5:]} {zone.clock(moment)[:5]}" for moment in moments]
    return [zone.clock(moment)[: 8 if until - since < 10 * MINUTE else 5] for moment in moments]


def _curve(
    label: str,
    points: Sequence[tuple[int, float]],
    x_of: Callable[[int], float],
    top: float,
    show: Callable[[float], str],
    *,
    filled: bool,
) -> Curve:
    """A line that is broken where samples are missing: a straight line there would be an invention."""
    path, area = [], []
    for run in _runs(points):
        spots = [
            f"{coordinate(x_of(moment))} {coordinate(100 - 100 * max(value, 0) / top)}"
            for moment, value in run
        ]
        if len(spots) == 1:
            spots.append(f"{coordinate(x_of(run[0][0]) + 1)} {spots[0].split()[1]}")
        path.append("M" + "L".join(spots))
        first, last = spots[0].split()[0], spots[-1].split()[0]
        area.append(f"M{first} 100L{'L'.join(spots)}L{last} 100Z")
    return Curve(label, show(points[-1][1]), "".join(path), "".join(area) if filled else "")


def _runs(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """``points`` split where more than three usual intervals lie between two of them."""
    steps = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    limit = 3 * statistics.median(steps) if steps else 0
    runs = [[points[0]]]
    for step, point in zip(steps, points[1:], strict=True):
        if step > limit:
            runs.append([])
        runs[-1].append(point)
    return runs


def _probes(
    lines: Mapping[str, Sequence[tuple[int, float]]],
    x_of: Callable[[int], float],
    show: Callable[[float], str],
    zone: DisplayZone,
) -> list[Probe]:
    values = {label: dict(points) for label, points in lines.items()}
    moments = sorted({moment for points in values.values() for moment in points})
    spots = [x_of(moment) for moment in moments]
    edges = [(left + right) / 2 for left, right in pairwise(spots)]
    probes = []
    for moment, left, right in zip(moments, [spots[0], *edges], [*edges, spots[-1]], strict=True):
        said = ", ".join(
            f"{label} {show(points[moment])}" for label, points in values.items() if moment in points
        )
        title = f"{zone.date(moment)} {zone.clock(moment, millis=False)}: {said}"
        probes.append(Probe(coordinate(left), coordinate(max(right - left, 1)), title))
    return probes


@dataclass(frozen=True)
class Cell:
    """One stretch of a heartbeat strip."""

    x: str
    width: str
    state: str
    """``full``, ``some``, ``none``, or ``unknown`` before the node first spoke."""
    title: str


def heartbeat_strip(
    beats: Sequence[tuple[int, int]],
    since: int,
    until: int,
    interval: float,
    zone: DisplayZone,
    *,
    known_before: bool,
) -> list[Cell]:
    """The strip of ``beats`` (minute and beacons heard in it) between two times.

    ``interval`` is the seconds between beacons, ``known_before`` whether the node was heard before ``since``:
    if not, the time before its first beacon counts as unknown, not as silence.
    """
    minutes = -(-(until - since) // MINUTE)
    width = -(-minutes // MAX_CELLS) * MINUTE
    start = since // width * width
    heard: dict[int, int] = {}
    for minute, count in beats:
        index = (minute - start) // width
        heard[index] = heard.get(index, 0) + count
    first = 0 if known_before else min(heard, default=None)
    count = -(-(until - start) // width)
    cells = []
    for index in range(count):
        begin = start + index * width
        expected = (min(begin + width, until) - begin) / SECOND / interval
        got = heard.get(index, 0)
        if first is None or index < first:
            state, said = "unknown", "not known yet"
        elif got == 0 and expected >= 1:
            state, said = "none", "not heard"
        elif got >= ENOUGH * int(expected) or index == first:
            state, said = "full", f"{got} beacons"
        else:
            state, said = "some", f"{got} of about {expected:.0f} beacons"
        title = f"{zone.date(begin)} {zone.clock(begin)[:5]}: {said}"
        cells.append(Cell(coordinate(1000 * index / count), coordinate(900 / count), state, title))
    return cells
