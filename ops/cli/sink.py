"""``tabard sink``: the sinks that records go to. Without a word after it, it lists them."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "list": Entry(
        "tabard.ops.cli.sink_list:sink_list", "List the sinks, how each stands, and what it holds."
    ),
    "backfill": Entry("tabard.ops.cli.sink_backfill:sink_backfill", "Ask again for what a sink lacks and nodes still keep."),
    "retire": Entry(
        "tabard.ops.cli.sink_retire:sink_retire", "End a sink: no journal is held for it any more."
    ),
}  # fmt: skip

sink: Final = Group(
    name="sink",
    table=COMMANDS,
    default="list",
    help="Look at the sinks that records go to, and end one.",
    examples=[
        ("tabard sink list", "Every sink that this home knows of"),
        ("tabard sink backfill", "Ask again for what the sink of this home lacks"),
        ("tabard sink retire plant", "No node keeps anything for it any more"),
    ],
)
