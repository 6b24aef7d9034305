"""``tabard nodes``: who is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from tabard import exits
from tabard.clock import wall
from tabard.errors import HomeError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.consumers.store.results import NodeRow
    from tabard.consumers.zones.staleness import Known
    from tabard.ops.seen import Seen
    from tabard.web.silence import Silence

KEYS: Final = (
    "node",
    "zone",
    "state",
    "heard",
    "interval",
    "clock",
    "version",
    "lag",
    "gaps",
    "rosters",
    "facts",
)
"""Of a node in JSON."""
COLUMNS: Final = ("node", "zone", "state", "heard", "clock", "behind", "gaps", "rosters", "version")
"""Of the table."""
IN_STEP: Final = 2.0
"""Seconds by which a clock may be off without a word about it: a beacon takes its time."""


@command(
    "nodes",
    examples=[
        ("tabard nodes", "Every node that ever spoke"),
        ("tabard nodes -o ndjson", "One JSON object a line, with lag and facts"),
    ],
)
@output_option
def nodes(home: Home, output: str) -> int:
    """List the nodes, when they were heard, and how far behind they are.

    Reads the store of this home. A node is up, late after two intervals without a beacon, silent after three, never
    when none was heard. While the recorder says nothing, states are those of its last word, and a node that was heard
    until then is unknown. Behind is what the node has and the store has not, by its last beacon. Rosters tells whether the
    node has the newest that this home knows of its zone and those above it, or for how long at least it has gone by an older one.
    """
    from tabard.ops import rosters
    from tabard.ops.stores import open_reader
    from tabard.web.silence import as_known, known_at, overdue, silence_of

    now = wall()
    with open_reader(home) as reader:
        newest = reader.newest_beacon()
        age = overdue(newest, now)
        running = _roles(home)
        recorder = next((role.state for role in running if role.role == "recorder"), None)
        silence = None if age == 0 else silence_of(newest, age, recorder)
        found = [as_known(node, silence) for node in reader.nodes(known_at(silence, now))]
    known = rosters.newest(running)
    if output == "table" and silence is not None:
        click.echo(f"tabard: {_words(silence, now)}", err=True)
    if output == "table":
        emit(_table(found, now, known), COLUMNS, output)
    else:
        emit(_objects(found, known), KEYS, output)
    return exits.DONE


def _roles(home: Home) -> list[Seen]:
    """The roles of this home; none when nobody may ask."""
    from tabard.ops.seen import roles

    try:
        return list(roles(home))
    except HomeError:
        return []


def _words(silence: Silence, now: int) -> str:
    from tabard.web.zones import SECOND, age

    how = {"stopped": "does not run", "silent": "does not answer"}.get(silence.state or "", "says nothing")
    if silence.since is None:
        return f"the recorder {how}: nothing is known of the nodes"
    ago = age((now - silence.since) / SECOND)
    return f"the recorder {how}: nothing is known of the nodes but what it stored until {ago} ago"


def _table(found: Iterable[NodeRow], now: int, known: Known) -> Iterator[Row]:
    from tabard.consumers.zones import staleness
    from tabard.web.zones import SECOND, age

    for node in found:
        stale = staleness.lacking(node.zone, node.facts, known)
        late = [f"{each['zone']} {age((now - each['made']) / SECOND)}" for each in stale or ()]
        behind = [f"{count} {stream}" for stream, count in node.lag.items() if count]
        heard = None if node.last_beacon is None else f"{age((now - node.last_beacon) / SECOND)} ago"
        yield {
            "node": node.name,
            "zone": node.zone,
            "state": node.state,
            "heard": heard,
            "clock": None if node.clock is None else _clock(node.clock / SECOND),
            "behind": (behind or 0) if node.lag else None,
            "gaps": node.gaps,
            "rosters": None if stale is None else "behind: " + ", ".join(late) if late else "current",
            "version": node.version,
        }


def _clock(off: float) -> str:
    """How the clock of a node was at its last beacon, beside that of who heard it."""
    from tabard.web.zones import age

    return "in step" if abs(off) <= IN_STEP else f"{age(abs(off))} {'ahead' if off > 0 else 'behind'}"


def _objects(found: Iterable[NodeRow], known: Known) -> Iterator[Row]:
    from tabard.consumers.zones import staleness
    from tabard.web.zones import SECOND, iso

    for node in found:
        yield {
            "node": node.name,
            "zone": node.zone,
            "state": node.state,
            "heard": None if node.last_beacon is None else iso(node.last_beacon),
            "interval": node.interval,
            "clock": None if node.clock is None else node.clock / SECOND,
            "version": node.version,
            "lag": dict(node.lag),
            "gaps": node.gaps,
            "rosters": _times(staleness.lacking(node.zone, node.facts, known)),
            "facts": dict(node.facts),
        }


def _times(stale: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    from tabard.web.zones import iso

    return None if stale is None else [{**each, "made": iso(each["made"])} for each in stale]
