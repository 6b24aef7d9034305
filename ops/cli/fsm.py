"""``tabard fsm``: state machines of applications."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "graph": Entry("tabard.ops.cli.fsm_graph:fsm_graph", "Draw a state machine from the code that runs."),
}

fsm: Final = Group(
    name="fsm",
    table=COMMANDS,
    help="Look at the state machines of applications.",
    examples=[
        ("tabard fsm graph shop.orders:machine --to orders.svg", "A picture of it, for the documentation")
    ],
)
