"""``tabard node``: which hosts belong to a zone; ``tabard nodes`` lists those that were heard."""

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
from tabard.ops.cli.keyvalues import BrokerName, Name, life_option, nanoseconds, out_option
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import SinkName, Zone
from tabard.ops.output import emit

node: Final = Group(
    name="node",
    table={
        "add": Entry("tabard.ops.cli.node:node_add", "Make the keys of a host, in one file to carry over."),
        "remove": Entry("tabard.ops.cli.node:node_remove", "Take a host out of its zone."),
        "rename": Entry("tabard.ops.cli.node:node_rename", "Give a host another name."),
    },
    help="Add hosts to a zone, take them out, rename them.\n\nRun it where the zone's authority is.",
    examples=[
        ("tabard node add web1 --zone hq/dmz --out web1.tabard", "One file for that host, which joins it"),
        ("tabard node remove web1 --zone hq/dmz", "It is not believed any more"),
    ],
)
_ZONE_HELP: Final = "Its zone.  [default: the one whose authority is here, if there is one only]"


@command(
    "add",
    audited="node.add",
    examples=[
        ("tabard node add web1 --out web1.tabard", "A host with an agent"),
        ("tabard node add gate --zone hq/dmz --broker dmz --out gate.tabard", "One with a broker as well"),
        (
            "tabard node add store1 --broker hq --sink main --out store1.tabard",
            "One with a recorder for the sink main",
        ),
    ],
)
@click.argument("name", type=Name())
@click.option("--zone", type=Zone(), metavar="PATH", help=_ZONE_HELP)
@click.option(
    "--broker",
    "brokers",
    type=BrokerName(),
    multiple=True,
    metavar="NAME",
    help="A broker that runs there; may be repeated.",
)
@click.option("--sink", type=SinkName(), metavar="SINK", help="The sink of a recorder that runs there.")
@click.option(
    "--honours",
    type=SinkName(),
    multiple=True,
    metavar="SINK",
    help="A sink whose recorders its agent believes; may be repeated.  [default: main]",
)
@out_option(required=True)
@life_option("365d")
@click.option("--again", is_flag=True, help="Also for a name that was removed or renamed once.")
@output_option
def node_add(
    home: Home,
    name: str,
    zone: str | None,
    brokers: tuple[str, ...],
    sink: str | None,
    honours: tuple[str, ...],
    out: Path,
    life: float | None,
    again: bool,
    output: str,
) -> int:
    """Make keys and certificates for a host: of its agent, and of a broker and a recorder if they are named.

    Beside a recorder belongs a dispatcher, so a host with --sink has a key for one, too.

    The file holds its secrets. Carry it over on a way that you trust, run `tabard join` there, and remove it on both ends.
    """
    from tabard.brokers.trust import members
    from tabard.brokers.trust.authority import Wanted
    from tabard.brokers.trust.certificates import MAX_SINKS
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing, handed_over, zone_of

    if len(set(brokers)) < len(brokers):
        raise UsageError("a broker is named twice", expected="each name once", found=", ".join(brokers))
    if len(honours) > MAX_SINKS:
        raise UsageError(
            "too many sinks", expected=f"at most {MAX_SINKS}", found=str(len(honours)), where="--honours"
        )
    with changing(home) as trust, handed_over(out, trust) as give:
        place = zone_of(trust, zone)
        wanted = [Wanted("node", name, place, honours or ("main",))]
        wanted += [Wanted("broker", each, place) for each in brokers]
        if sink:
            wanted += [
                Wanted("recorder", name, place, (sink,)),
                Wanted("dispatcher", name, place, commands=True),
            ]
        made = members.add(trust, wanted, time.time_ns(), life=nanoseconds(life), again=again, keep=False)
        give(made)
    record(home, f"node {name} of {place} added by {who()}")
    emit(changes("added", made.certificates, trust), CHANGES, output)
    return exits.DONE


@command(
    "remove",
    audited="node.remove",
    examples=[
        ("tabard node remove web1", "Its node, and its recorder and dispatcher if it had them"),
        ("tabard node remove gate --zone hq/dmz --broker dmz", "Its broker, too"),
    ],
)
@click.argument("name", type=Name())
@click.option("--zone", type=Zone(), metavar="PATH", help=_ZONE_HELP)
@click.option(
    "--broker",
    "brokers",
    type=Name(),
    multiple=True,
    metavar="NAME",
    help="A broker that ran there; may be repeated.",
)
@output_option
def node_remove(home: Home, name: str, zone: str | None, brokers: tuple[str, ...], output: str) -> int:
    """Take a host out of its zone: its name becomes a tombstone, and no certificate of that name holds any more.

    Brokers have names of their own: give each that ran there with --broker, or its key goes on being believed. Let it hand up first what its journal still holds. Other homes learn it from the next roster, which travels by itself.
    """
    from tabard.brokers.trust import members
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing, zone_of

    names = [*((role, name) for role in members.HOST), *(("broker", each) for each in brokers)]
    with changing(home) as trust:
        place = zone_of(trust, zone)
        gone = members.remove(trust, place, names, time.time_ns())
    record(home, f"node {name} of {place} removed by {who()}")
    emit(changes("removed", gone, trust), CHANGES, output)
    return exits.DONE


@command(
    "rename",
    audited="node.rename",
    examples=[
        (
            "tabard node rename web1 shop1 --out shop1.tabard",
            "The same host under another name, with keys of its own",
        )
    ],
)
@click.argument("old", type=Name())
@click.argument("new", type=Name())
@click.option("--zone", type=Zone(), metavar="PATH", help=_ZONE_HELP)
@out_option(required=True)
@life_option("365d")
@output_option
def node_rename(
    home: Home, old: str, new: str, zone: str | None, out: Path, life: float | None, output: str
) -> int:
    """Give a host another name: the old one becomes a tombstone that names the new one, which has new keys.

    Let the host hand up first what its journal holds, stop its roles, join the file there, and change node.name.
    """
    from tabard.brokers.trust import members
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing, handed_over, zone_of

    with changing(home) as trust, handed_over(out, trust) as give:
        place = zone_of(trust, zone)
        made = members.rename(trust, place, old, new, time.time_ns(), nanoseconds(life))
        give(made)
    record(home, f"node {old} of {place} renamed to {new} by {who()}")
    emit(changes("renamed", made.certificates, trust), CHANGES, output)
    return exits.DONE
