"""``tabard operator``: who may give commands. Without a word after it, it lists them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.keyvalues import Name, life_option, nanoseconds, out_option
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Zone
from tabard.ops.output import emit

operator: Final = Group(
    name="operator",
    table={
        "add": Entry(
            "tabard.ops.cli.operator:operator_add", "Make the key of a person who may give commands."
        ),
        "list": Entry("tabard.ops.cli.operator:operator_list", "List who may give commands, and where."),
        "revoke": Entry("tabard.ops.cli.operator:operator_revoke", "Take that right back at once."),
    },
    default="list",
    help="Say who may give commands.\n\nOne key a person: what is done bears its name for ever.",
    examples=[
        ("tabard operator add ada --zone hq/dmz", "Ada may command hq/dmz and what is below, from this home"),
        ("tabard operator add ada --out ada.tabard", "The same, for a home of her own, which joins the file"),
        ("tabard operator revoke ada", "Nodes obey her no more as soon as they hear of it"),
    ],
)
_ZONE_HELP: Final = "The zone.  [default: the one whose authority is here, if there is one only]"


@command(
    "add",
    audited="operator.add",
    examples=[
        ("tabard operator add ada", "A key in this home"),
        (
            "tabard operator add ada --zone hq/dmz --out ada.tabard",
            "One for another home, in one file to carry over",
        ),
    ],
)
@click.argument("name", type=Name())
@click.option("--zone", type=Zone(), metavar="PATH", help=_ZONE_HELP)
@out_option(required=False)
@life_option("365d")
@click.option("--again", is_flag=True, help="Also for a name that was removed once.")
@output_option
def operator_add(
    home: Home, name: str, zone: str | None, out: Path | None, life: float | None, again: bool, output: str
) -> int:
    """Make the key of a person who may give commands in a zone and below it. Run it where the zone's authority is.

    Without --out the key stays in this home, for everybody who may read it here.
    """
    from tabard.brokers.trust import members
    from tabard.brokers.trust.authority import Wanted
    from tabard.brokers.trust.certificates import OPERATOR
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing, handed_over, zone_of

    with changing(home) as trust, handed_over(out, trust) as write:
        place = zone_of(trust, zone)
        wanted = [Wanted(OPERATOR, name, place, commands=True)]
        made = members.add(
            trust, wanted, time.time_ns(), life=nanoseconds(life), again=again, keep=out is None
        )
        if out is not None:
            write(made)
    record(home, f"operator {name} of {place} added by {who()}")
    emit(changes("added", made.certificates, trust), CHANGES, output)
    return exits.DONE


@command(
    "list",
    examples=[
        ("tabard operator list", "Who may command what"),
        ("tabard operator list -o json", "The same, for a program"),
    ],
)
@output_option
def operator_list(home: Home, output: str) -> int:
    """List who may give commands, and in which zone."""
    from tabard.brokers.trust.certificates import OPERATOR
    from tabard.ops.keys import LIST, listed, trusted

    rows = listed(trusted(home), time.time_ns(), every=False)
    emit((row for row in rows if row["role"] == OPERATOR), LIST, output)
    return exits.DONE


@command(
    "revoke",
    audited="operator.revoke",
    examples=[("tabard operator revoke ada --reason 'left'", "Her key is worth nothing any more")],
)
@click.argument("name", type=Name())
@click.option(
    "--zone", type=Zone(), metavar="PATH", help="Her zone, where several have an operator of that name."
)
@click.option("--reason", default="", metavar="TEXT", help="Why, for people.")
@output_option
def operator_revoke(home: Home, name: str, zone: str | None, reason: str, output: str) -> int:
    """Revoke every key of an operator: nodes refuse what it signed, whenever that was, as soon as they hear of it."""
    from tabard.brokers.trust import members
    from tabard.brokers.trust.certificates import OPERATOR
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing

    with changing(home) as trust:
        now = time.time_ns()
        found = {
            each.key_id: each
            for each in trust.directory.every()
            if (each.role, each.name) == (OPERATOR, name)
            and zone in {None, each.zone}
            and trust.directory.holds(each, now)
        }
        if not found or len({each.zone for each in found.values()}) > 1:
            raise UsageError(
                "not the name of one operator",
                expected="one that tabard operator list shows, with --zone where there are several",
                found=f"{name}, whom {len(found) or 'no'} zones have",
            )
        gone = [members.revoke(trust, key_id.hex(), reason, now) for key_id in found]
    record(home, f"operator {name} revoked by {who()}")
    emit(changes("revoked", gone, trust), CHANGES, output)
    return exits.DONE
