"""``tabard lab status``: nodes and links."""

from __future__ import annotations

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit


@command(
    "status",
    examples=[
        ("tabard lab status", "Nodes by zone, then links"),
        ("tabard lab status -o json", "For a program"),
    ],
)
@output_option
def lab_status(home: Home, output: str) -> int:
    """Show the nodes and links of the lab, and what was done to them.

    State is what holds: up, frozen, or down for a node that was killed; up or cut for a link. Faults are what was done to it and not
    healed. Services are those that run in the node, restarts how often one of them had to be started again.
    """
    from tabard.ops.lab import faults, look
    from tabard.ops.lab.state import Place

    rows = look.rows(faults.running(Place(home)))
    emit(rows, look.COLUMNS if output == "table" else look.KEYS, output)
    return exits.DONE
