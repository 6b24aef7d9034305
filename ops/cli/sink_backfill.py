"""``tabard sink backfill``: ask again for what a sink lacks, while its nodes may still keep it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import SinkName, Text, Zone
from tabard.ops.heard import check_heard_of
from tabard.ops.output import emit
from tabard.settings import Settings, load

COLUMNS: Final = ("sink", "node", "zone", "stream", "asked", "came", "state")
LOOK_EVERY: Final = 0.5
"""Seconds between two looks with ``--wait``."""


@command(
    "backfill",
    audited="sink.backfill",
    examples=[
        ("tabard sink backfill", "All that the sink of this home skipped, or holds as gaps"),
        ("tabard sink backfill plant --node web1 --wait -o json", "Of one node, until it was all looked for"),
    ],
)
@click.argument("sink", type=SinkName(), required=False)
@click.option("--node", type=Text(), metavar="NAME", help="Of this node.")
@click.option("--zone", type=Zone(), metavar="PATH", help="Of the nodes of this zone and those below it.")
@click.option(
    "--wait", is_flag=True, help="End when all of it was looked for; nodes that are away are waited for."
)
@output_option
def sink_backfill(
    home: Home, sink: str | None, node: str | None, zone: str | None, wait: bool, output: str
) -> int:
    """Ask again for what a sink skipped when it began, and for what it holds as gaps.

    Run it in the home of the sink's recorder. Nodes send what they still keep, at the rate that the sink grants, beside what is
    new. What comes takes its place; what no node keeps any more stays the gap that it is. Inexact gaps, and doubts, are
    left alone. A row is one stream of one node: how many records were asked for, and how many of them have come. Asking once
    more for what is being looked for changes nothing.
    """
    settings = load(home)
    name = _check(settings, sink)
    rows = _ask(home, settings, name, node, zone)
    while wait and any(row["state"] == "asked" for row in rows):
        time.sleep(LOOK_EVERY)  # another process's work: there is no event to wait for
        rows = _look(home, settings, rows)
    emit(rows, COLUMNS, output)
    return exits.DONE


def _check(settings: Settings, sink: str | None) -> str:
    own = settings.str("recorder.sink")
    if sink is not None and sink != own:
        raise _foreign(own, sink, "recorder.sink")
    return own


def _foreign(own: str, sink: str, where: str) -> UsageError:
    return UsageError(
        "the store of this home is not that sink's",
        expected=own,
        found=sink,
        where=where,
        hint="Run it in the home of that sink's recorder: only the sink can say what it lacks",
    )


def _ask(
    home: Home, settings: Settings, sink: str, node: str | None, zone: str | None
) -> list[Mapping[str, object]]:
    from tabard.consumers.store.place import Place
    from tabard.ops.sinks import somebody, written_store

    with written_store(home, settings) as store:
        if store is None:
            raise UsageError(
                "there is no store here",
                expected=f"the store of sink {sink}",
                where=str(home.path),
                hint="Pass --home",
            )
        owned = store.owned()
        if owned is not None and owned.name != sink:
            raise _foreign(owned.name, sink, str(Place.of(settings, home)))
        wanted = store.ask_again(node, zone, somebody(), time.time_ns())
    if not wanted and (node is not None or zone is not None):
        check_heard_of(_known(home, settings), node, zone)
    return [
        {
            "sink": sink,
            "node": each.key.node,
            "zone": each.key.zone,
            "stream": each.stream,
            "asked": each.asked,
            "came": 0,
            "state": "asked",
        }
        for each in wanted
    ]


def _known(home: Home, settings: Settings) -> set[tuple[str, str]]:
    """Zone and name of every node."""
    from tabard.ops.stores import open_reader

    with open_reader(home, settings) as reader:
        return {(each.zone, each.name) for each in reader.nodes(time.time_ns())}


def _look(home: Home, settings: Settings, rows: list[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The same rows as they stand now."""
    from tabard.consumers.store.sink_results import StreamKey
    from tabard.ops.stores import open_reader

    with open_reader(home, settings) as reader:
        asked = reader.sink().asked
    found: list[Mapping[str, object]] = []
    for row in rows:
        now = asked.get(StreamKey(str(row["zone"]), str(row["node"]), str(row["stream"])))
        if now is None:
            found.append({**row, "state": "done"})
        else:
            state = "asked" if now.ended is None else "done"
            found.append({**row, "asked": now.asked, "came": now.came, "state": state})
    return found
