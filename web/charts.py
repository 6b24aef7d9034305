"""Line charts, drawn on the server as plain SVG: nothing to load, nothing to run.

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

Points = Sequence[tuple[int, float]]
"""Times with values, oldest first."""

MINUTE: Final = 60 * SECOND
DAY: Final = 1440 * MINUTE
REFERENCE: Final = "mem_total"
"""The series that is drawn only for the others to be compared with."""
MAX_MOUNTS: Final = 5
"""File systems in the chart of used space, fullest first."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart."""

    label: str
    latest: str
    colour: str
    """A class of the style sheet."""
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
    """What one chart shows: series by key with their labels, and how numbers are written."""

    title: str
    lines: Mapping[str, str]
    show: Callable[[float], str]
    full: float | None = None
    """The upper end, where values have a natural one."""
    binary: bool = False


def _percent(value: float) -> str:
    return f"{show_number(round(value, 1))} %"


def _rate(value: float) -> str:
    return f"{show_bytes(value)}/s"


PLANS: Final = (
    Plan("CPU, all cores", {"cpu": "busy"}, _percent, full=100),
    Plan("Memory", {"mem_used": "used", "swap_used": "swap", REFERENCE: "total"}, show_bytes, binary=True),
    Plan("Load, 1 minute", {"load": "load"}, show_number),
    Plan("Network", {"net_rx": "received", "net_tx": "sent"}, _rate, binary=True),
    Plan("Disk traffic", {"disk_read": "read", "disk_write": "written"}, _rate, binary=True),
    Plan("Processes", {"procs": "processes"}, show_number),
)


def host_charts(series: Mapping[str, Points], since: int, until: int, zone: DisplayZone) -> list[Chart]:
    """The charts of a host for which there are values between two event times."""
    plans = list(PLANS)
    mounts = [name for name, points in series.items() if name.startswith("disk:") and points]
    mounts.sort(key=lambda name: -series[name][-1][1])
    if mounts:
        lines = {name: name.removeprefix("disk:") for name in mounts[:MAX_MOUNTS]}
        plans.insert(3, Plan("Disk space used", lines, _percent, full=100))
    drawn = (draw_chart(plan, series, since, until, zone) for plan in plans)
    return [chart for chart in drawn if chart is not None]


def draw_chart(
    plan: Plan, series: Mapping[str, Points], since: int, until: int, zone: DisplayZone
) -> Chart | None:
    """The chart of ``plan``, None when none of its series has a value."""
    keys = [key for key in plan.lines if series.get(key)]
    if not keys:
        return None
    highest = max(value for key in keys for _, value in series[key])
    top = max(plan.full, highest) if plan.full else nice_ceiling(highest, binary=plan.binary)

    def spot(moment: int, value: float) -> tuple[float, float]:
        return 1000 * (moment - since) / max(until - since, 1), 100 - 100 * max(value, 0) / top

    curves = []
    for number, key in enumerate(keys):
        runs = [[spot(*point) for point in run] for run in unbroken(series[key])]
        curves.append(
            Curve(
                label=plan.lines[key],
                latest=plan.show(series[key][-1][1]),
                colour="c5" if key == REFERENCE else f"c{number}",
                path="".join(_line(run) for run in runs),
                area="".join(_surface(run) for run in runs) if len(keys) == 1 else "",
            )
        )
    labelled = {plan.lines[key]: dict(series[key]) for key in keys}
    return Chart(
        title=plan.title,
        curves=curves,
        probes=_probes(labelled, lambda moment: spot(moment, 0)[0], plan.show, zone),
        y_labels=[plan.show(top), plan.show(top / 2), plan.show(0)],
        x_labels=time_labels(zone, since, until),
        summary=", ".join(f"{curve.label} {curve.latest}" for curve in curves),
    )


def time_labels(zone: DisplayZone, since: int, until: int, count: int = 4) -> list[str]:
    """Evenly spaced labels of a time axis: clock times, with dates when it spans days."""
    span = until - since
    digits = 8 if span < 10 * MINUTE else 5
    return [
        (f"{zone.date(moment)[5:]} " if span > 2 * DAY else "") + zone.clock(moment)[:digits]
        for moment in spaced(since, until, count)
    ]


def unbroken(points: Points) -> list[list[tuple[int, float]]]:
    """``points`` split where more than three usual intervals lie between two: a line there would be an invention."""
    steps = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    limit = 3 * statistics.median(steps) if steps else 0
    runs = [[points[0]]]
    for step, point in zip(steps, points[1:], strict=True):
        if step > limit:
            runs.append([])
        runs[-1].append(point)
    return runs


def _line(spots: list[tuple[float, float]]) -> str:
    if len(spots) == 1:  # a lone sample is a short dash, not nothing
        spots = [*spots, (spots[0][0] + 2, spots[0][1])]
    return "M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in spots)


def _surface(spots: list[tuple[float, float]]) -> str:
    line = _line(spots).removeprefix("M")
    return f"M{coordinate(spots[0][0])} 100L{line}L{coordinate(spots[-1][0])} 100Z"


def _probes(
    values: Mapping[str, Mapping[int, float]],
    x_of: Callable[[int], float],
    show: Callable[[float], str],
    zone: DisplayZone,
) -> list[Probe]:
    moments = sorted({moment for points in values.values() for moment in points})
    spots = [x_of(moment) for moment in moments]
    edges = [spots[0], *((left + right) / 2 for left, right in pairwise(spots)), spots[-1]]
    probes = []
    for moment, (left, right) in zip(moments, pairwise(edges), strict=True):
        said = ", ".join(
            f"{label} {show(points[moment])}" for label, points in values.items() if moment in points
        )
        title = f"{zone.date(moment)} {zone.clock(moment, millis=False)}: {said}"
        probes.append(Probe(coordinate(left), coordinate(max(right - left, 2)), title))
    return probes
