"""``tabard store quarantine list``: batches that the store could not take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Text
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.consumers.store.results import GapRow

KEYS: Final = ("id", "node", "zone", "stream", "epoch", "first", "last", "count", "reason", "arrived")
MOST: Final = 100_000

quarantine: Final = Group(
    name="quarantine",
    table={
        "list": Entry("tabard.ops.cli.store_quarantine:quarantine_list", "List the batches in quarantine."),
    },
    default="list",
    help="Look at what the store could not take.",
    examples=[("tabard store quarantine list", "Every batch that is kept apart, and why")],
)


@command(
    "list",
    examples=[
        ("tabard store quarantine list", "Every batch that is kept apart, and why"),
        ("tabard store quarantine list --node web1 -o json", "Those of one node, for a program"),
    ],
)
@click.option("--node", type=Text(), metavar="NAME", help="Of this node.")
@output_option
def quarantine_list(home: Home, node: str | None, output: str) -> int:
    """List the batches in quarantine, those that arrived last first.

    A batch that could not be understood, or that the database refused, is kept whole with the reason; its records are
    on no page. With the reason `revoked key` it was signed by a key that was taken back. With any other it is a fault of Tabard
    or of who signs in a node's name: please report it.
    """
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:
        found = reader.quarantine(node, limit=MOST)
    emit(_objects(found), KEYS, output)
    return exits.DONE


def _objects(found: list[GapRow]) -> Iterator[Row]:
    from tabard.web.zones import iso

    for batch in found:
        yield {
            "id": batch.id,
            "node": batch.node,
            "zone": batch.zone,
            "stream": batch.stream,
            "epoch": batch.epoch,
            "first": batch.first,
            "last": batch.last,
            "count": batch.count,
            "reason": batch.reason,
            "arrived": iso(batch.arrived),
        }
