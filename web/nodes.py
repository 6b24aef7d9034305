"""The nodes, and one node: heartbeat, host charts, processes, gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flask import Blueprint, abort

from tabard.consumers.store.results import NodeRow, Process
from tabard.web.args import one_of
from tabard.web.charts import Points, host_charts, time_labels
from tabard.web.facts import facts_of, faults_of
from tabard.web.heartbeat import Cell, cell_width, heartbeat_strip
from tabard.web.missing import missing, withheld
from tabard.web.recorder import silence
from tabard.web.silence import Silence, as_known, known_at
from tabard.web.site import page, page_args, site
from tabard.web.zones import SECOND, DisplayZone

blueprint = Blueprint("nodes", __name__)

STATES: Final = {
    "unknown": "the recorder says nothing, so nobody knows; it was heard before that",
    "silent": "nothing heard for more than three beacon intervals; it may be down, cut off, or only its agent ended",
    "late": "a beacon is overdue",
    "never": "known by its records, no beacon was ever heard",
    "up": "heard in time",
}
"""Problems first."""
RANGES: Final = {"1h": 3600, "6h": 6 * 3600, "24h": 24 * 3600, "7d": 7 * 24 * 3600}
"""What the charts of a node can span, in seconds."""
POINTS: Final = 120
"""Of each curve: more cannot be pointed at."""
DEFAULT_INTERVAL: Final = 10.0
"""Seconds between beacons, when the node has not said."""
SHORTEST: Final = 20 * SECOND
"""That a chart spans at least."""
GAPS_SHOWN: Final = 20

Order = Callable[[Process], Any]
ORDERS: Final[dict[str, Order]] = {
    "cpu": lambda process: (-process.cpu, -process.memory),
    "memory": lambda process: (-process.memory, -process.cpu),
    "threads": lambda process: (-process.threads, process.pid),
    "started": lambda process: (-process.started, process.pid),
    "pid": lambda process: process.pid,
    "user": lambda process: (process.user, -process.cpu),
    "name": lambda process: (process.name.lower(), process.pid),
}
"""Of the process table: numbers greatest first, words from A."""


@blueprint.get("/nodes")
def index() -> tuple[str, int]:
    """Every node with its state, those with problems first."""
    args, zone = page_args()
    now = site().clock.wall()
    reader = site().reader
    hush = silence()
    rows = [as_known(row, hush) for row in reader.nodes(known_at(hush, now))]
    rank = {state: number for number, state in enumerate(STATES)}
    ordered = sorted(rows, key=lambda row: (rank.get(row.state, 0), row.zone, row.name))
    counts = {state: sum(row.state == state for row in rows) for state in STATES}
    return page(
        "nodes.html",
        zone,
        args.problems,
        rows=ordered,
        counts=counts,
        states=STATES,
        quarantined=Counter(reader.quarantined()),
        silence=hush,
    )


@blueprint.get("/nodes/<name>")
def show(name: str) -> tuple[str, int]:
    """One node."""
    args, display = page_args("zone", "range", "sort", "find")
    reader, now = site().reader, site().clock.wall()
    hush = silence()
    node = reader.node(name, known_at(hush, now), args.raw.get("zone"))
    if node is None:
        place = f" in the zone {args.raw['zone']!r}" if "zone" in args.raw else ""
        abort(404, description=f"No node called {name!r}{place} has handed anything on.")
    node = as_known(node, hush)
    span = args.read("range", lambda text: one_of(text, {key: key for key in RANGES}), "1h")
    order = args.read("sort", lambda text: one_of(text, {key: key for key in ORDERS}), "cpu")
    find = args.raw.get("find", "")
    since = now - RANGES[span] * SECOND
    known = bool(reader.heartbeats(name, since - RANGES["7d"] * SECOND, since, zone=node.zone))
    series = reader.host_series(name, since, now, POINTS, zone=node.zone)
    begin = since if known else first_sample(series, since, now)
    table = reader.processes(name, zone=node.zone)
    processes = matching(table.rows, find)
    return page(
        "node.html",
        display,
        args.problems,
        node=node,
        silence=hush,
        states=STATES,
        ranges=list(RANGES),
        span=span,
        strip=_strip(node, since, now, display, known=known, hush=hush),
        strip_labels=time_labels(display, since, now),
        charts=host_charts(series, begin, now, display),
        young=begin > since,
        facts=facts_of(node.facts),
        faults=faults_of(node.facts),
        processes=sorted(processes, key=ORDERS[order]),
        process_count=len(table.rows),
        process_time=table.time,
        order=order,
        find=find,
        gaps=missing(reader, GAPS_SHOWN, name, node.zone),
        withheld=withheld(reader, GAPS_SHOWN, name, node.zone),
        link_zone=node.zone if "zone" in args.raw else None,
    )


def matching(processes: Sequence[Process], find: str) -> list[Process]:
    """The processes with ``find`` in user, name, command or as pid, whatever the case."""
    wanted = find.lower().strip()
    return [
        process
        for process in processes
        if wanted in f"{process.user}\n{process.name}\n{process.command}".lower()
        or wanted == str(process.pid)
    ]


def first_sample(series: Mapping[str, Points], since: int, until: int) -> int:
    """Where the charts of a node begin that was never heard before `since`: an hour of nothing says nothing.

    At least `SHORTEST` before `until`, and `since` when there is no sample.
    """
    first = min((points[0][0] for points in series.values() if points), default=since)
    return max(min(first, until - SHORTEST), since)


def _strip(
    node: NodeRow, since: int, until: int, display: DisplayZone, *, known: bool, hush: Silence | None
) -> list[Cell]:
    reader = site().reader
    interval = node.interval or DEFAULT_INTERVAL
    width = cell_width(until - since, interval)
    start = since // width * width  # so that the first cell is a whole one
    beats = reader.heartbeats(node.name, start, until, zone=node.zone)
    listened = None if hush is None else hush.since
    return heartbeat_strip(beats, since, until, interval, display, known=known, listened=listened)
