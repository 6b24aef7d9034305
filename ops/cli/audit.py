"""``tabard audit``: who did what. Without a word after it, it lists the newest entries."""

from __future__ import annotations

from typing import Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Text, Time, Zone
from tabard.ops.output import emit

audit: Final = Group(
    name="audit",
    table={
        "list": Entry("tabard.ops.cli.audit:audit_list", "List who did what, the newest last."),
        "verify": Entry(
            "tabard.ops.cli.audit_verify:audit_verify", "Verify that nothing was altered, added or taken out."
        ),
        "heads": Entry(
            "tabard.ops.cli.audit_verify:audit_heads", "List where the control stream of each node ends."
        ),
    },
    default="list",
    help="Show who did what, and verify that nothing of it was altered.",
    examples=[
        ("tabard audit", "The newest 50 entries"),
        ("tabard audit verify", "Every byte of it against what its nodes signed"),
        (
            "tabard audit heads -o json > heads.json",
            "For a witness: keep it where nobody of this host can write",
        ),
    ],
)
KEYS: Final = (
    "id", "time", "arrived", "node", "zone", "kind", "who", "what", "outcome", "detail", "data"
)  # fmt: skip
COLUMNS: Final = ("time", "node", "kind", "who", "what", "outcome", "detail")
MOST: Final = 100_000


@command(
    "list",
    examples=[
        ("tabard audit list --since 1d", "Since yesterday"),
        ("tabard audit list --kind keys --kind node", "What was done to keys and nodes"),
        ("tabard audit list --waiting", "What the agent of this home has not taken up yet"),
        ("tabard audit list -n 1000 -o ndjson", "For a program, one object a line"),
    ],
)
@click.option("--node", type=Text(), metavar="NAME", help="Of the agent of this node.")
@click.option("--zone", type=Zone(), metavar="PATH", help="Of this zone and those below it.")
@click.option(
    "--kind",
    "kinds",
    type=Text(),
    multiple=True,
    metavar="WORD",
    help="Entries whose kind begins so, such as keys; of several options any one.",
)
@click.option("--since", type=Time(), metavar="TIME", help="What was done from this time on.")
@click.option("--until", type=Time(), metavar="TIME", help="What was done before this time.")
@click.option("-n", "--lines", type=click.IntRange(1, MOST), default=50, show_default=True, metavar="N")
@click.option(
    "--all", "every", is_flag=True, help="All of the control stream, not entries of the audit alone."
)
@click.option(
    "--waiting", is_flag=True, help="What waits in this home for an agent; nothing is asked of a store."
)
@output_option
def audit_list(
    home: Home,
    node: str | None,
    zone: str | None,
    kinds: tuple[str, ...],
    since: int | None,
    until: int | None,
    lines: int,
    every: bool,
    waiting: bool,
    output: str,
) -> int:
    """List who did what on whom, and how it ended, the newest last.

    Reads the store of this home, in which each entry stands as a record of the control stream of the host where it was done. Time is
    that host's. The outcome is done, partly, failed, refused, or unknown, when whoever did it died meanwhile.
    """
    from tabard.consumers.audit.listing import asked_for
    from tabard.ops.audited import rows_of, rows_waiting
    from tabard.ops.stores import open_reader

    if waiting:
        rows = rows_waiting(home, kinds, since, until)[-lines:]
    else:
        with open_reader(home) as reader:
            wanted = asked_for(
                kinds, every=every, node=node, zone=zone, since=since, until=until, limit=lines
            )
            found = reader.control(wanted)
        rows = rows_of(reversed(found))
    if output == "table":
        from tabard.ops.audited import as_text

        emit(map(as_text, rows), COLUMNS, output)
    else:
        emit(rows, KEYS, output)
    return exits.DONE
