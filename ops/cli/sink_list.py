"""``tabard sink list``: what each sink has not got yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from tabard import exits
from tabard.errors import StoreError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit
from tabard.settings import Settings, load

COLUMNS: Final = ("sink", "node", "zone", "stream", "lag", "told_by")


@command(
    "list",
    examples=[
        ("tabard sink list", "Every sink that this home knows of"),
        ("tabard sink list -o json", "For a program"),
    ],
)
@output_option
def sink_list(home: Home, output: str) -> int:
    """List the sinks and how far each is behind.

    A row is one stream of one node. Lag is the number of records that the node has and the sink has not; it is
    empty when nobody said yet. Where an agent runs, it tells of its own node and of every sink it hands up to;
    where a store is, the last beacons tell of all nodes.
    """
    settings = load(home)
    emit([*_by_agent(home, settings), *_by_store(home, settings)], COLUMNS, output)
    return exits.DONE


def _by_agent(home: Home, settings: Settings) -> Iterator[Row]:
    """The sinks of the agent of this home, if it runs."""
    from tabard.ops.report import streams
    from tabard.ops.seen import roles

    said = next((seen.said for seen in roles(home) if seen.name == "agent"), {})
    for stream in streams(said):
        yield {
            "sink": stream["sink"],
            "node": settings.str("node.name"),
            "zone": settings.str("node.zone"),
            "stream": stream["stream"],
            "lag": stream["lag"],
            "told_by": "agent",
        }


def _by_store(home: Home, settings: Settings) -> Iterator[Row]:
    """The sink whose store is in this home, if there is one."""
    from tabard.ops.stores import open_reader

    try:
        with open_reader(home, settings) as reader:
            nodes = reader.nodes(time.time_ns())
    except StoreError as error:
        if error.what == "store not found":  # a host without a store
            return
        raise
    for node in nodes:
        for stream, lag in node.lag.items():
            yield {
                "sink": settings.str("recorder.sink"),
                "node": node.name,
                "zone": node.zone,
                "stream": stream,
                "lag": lag,
                "told_by": "store",
            }
