"""``tabard zone``: zones below this one, each with an authority of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from tabard import exits
from tabard.errors import RefusedError
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.keyvalues import life_option, nanoseconds, out_option
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Zone
from tabard.ops.output import emit

zone: Final = Group(
    name="zone",
    table={
        "add": Entry(
            "tabard.ops.cli.zone:zone_add", "Make a zone below one whose authority is in this home."
        ),
        "remove": Entry("tabard.ops.cli.zone:zone_remove", "Take a zone out, with all that is below it."),
    },
    help="Give zones authorities of their own, and take them back.",
    examples=[
        ("tabard zone add hq/dmz", "A zone whose hosts are added from this home, too"),
        (
            "tabard zone add hq/plant --out plant.tabard",
            "A zone whose authority is carried over to a host of its own",
        ),
    ],
)


@command(
    "add",
    audited="zone.add",
    examples=[
        ("tabard zone add hq/dmz", "Its key stays in this home, and so hosts are added to it here"),
        (
            "tabard zone add hq/plant --out plant.tabard",
            "Its key is in that file alone: take it to the plant, and join it there",
        ),
    ],
)
@click.argument("path", type=Zone())
@out_option(required=False, text="File for the zone's key, which is not kept here then; it must not exist.")
@life_option("3650d")
@click.option("--again", is_flag=True, help="Also for a zone that was removed once.")
@output_option
def zone_add(home: Home, path: str, out: Path | None, life: float | None, again: bool, output: str) -> int:
    """Make a zone right below one whose authority is in this home: a key, and the certificate of the zone above.

    The new zone's authority speaks for what lies in it, never for zones above or beside it. With --out its key goes into
    that file and nowhere else, because two homes that write one zone's roster would contradict each other.
    """
    from tabard.brokers.trust import members
    from tabard.brokers.trust.authority import Wanted
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing, handed_over

    if "/" not in path:
        raise RefusedError(
            "a root has no zone above it that could certify it",
            expected="a path such as hq/dmz",
            found=path,
            hint="A root is made by: tabard init --zone " + path,
        )
    with changing(home) as trust, handed_over(out, trust) as give:
        wanted = Wanted("zone", path, path)
        made = members.add(
            trust, [wanted], time.time_ns(), life=nanoseconds(life), again=again, keep=out is None
        )
        give(made)
    record(home, f"zone {path} added by {who()}")
    emit(changes("added", made.certificates, trust), CHANGES, output)
    return exits.DONE


@command(
    "remove",
    audited="zone.remove",
    examples=[("tabard zone remove hq/plant", "Nothing of that zone, or below it, is believed any more")],
)
@click.argument("path", type=Zone())
@output_option
def zone_remove(home: Home, path: str, output: str) -> int:
    """Take a zone out: its certificate, and every one below it, ends. Other homes learn it from the next roster."""
    from tabard.brokers.trust import members
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing

    above, _, name = path.rpartition("/")
    if not above:
        raise RefusedError("a root cannot be removed", expected="a zone below it", found=path)
    with changing(home) as trust:
        gone = members.remove(trust, above, [("zone", name)], time.time_ns())
    record(home, f"zone {path} removed by {who()}")
    emit(changes("removed", gone, trust), CHANGES, output)
    return exits.DONE
