"""``tabard lab freeze|thaw|kill|fill|clock|hostkey``: what is done to nodes and their services."""

from __future__ import annotations

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.durations import Duration
from tabard.units import format_size

_NODE = click.argument("node")
_SERVICE = click.argument("service", required=False)


@command(
    "freeze",
    examples=[
        ("tabard lab freeze dmz1", "A machine that hangs: its connections stay, and nothing answers"),
        ("tabard lab freeze dmz1 broker", "Only its broker"),
    ],
)
@_NODE
@_SERVICE
def lab_freeze(home: Home, node: str, service: str | None) -> int:
    """Stop a node, or one of its services, as a machine that hangs.

    Its processes are stopped where they are, and no peer is told.
    """
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    faults.freeze(Place(home), node, service)
    return _said(node, service, "frozen")


@command("thaw", examples=[("tabard lab thaw dmz1", "It goes on where it was stopped")])
@_NODE
@_SERVICE
def lab_thaw(home: Home, node: str, service: str | None) -> int:
    """Let what was frozen go on."""
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    faults.thaw(Place(home), node, service)
    return _said(node, service, "no longer frozen")


@command(
    "kill",
    examples=[
        (
            "tabard lab kill plant1",
            "The power is cut; its disk stays, and 'tabard lab heal plant1' starts it",
        ),
        ("tabard lab kill hq1 recorder", "One service, which is started again at once"),
    ],
)
@_NODE
@_SERVICE
def lab_kill(home: Home, node: str, service: str | None) -> int:
    """End a node as a power cut does, or kill one of its services.

    A service is started again by its node, later each time; a node by 'tabard lab heal'.
    """
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    faults.kill(Place(home), node, service)
    return _said(node, service, "killed")


@command(
    "fill", examples=[("tabard lab fill web1", "No room is left on its disk until 'tabard lab heal web1'")]
)
@_NODE
def lab_fill(home: Home, node: str) -> int:
    """Leave no room on the disk of a node."""
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    taken = faults.fill(Place(home), node)
    click.echo(f"tabard: the disk of {node} is full: {format_size(taken)} were free", err=True)
    return exits.DONE


@command(
    "clock",
    examples=[
        ("tabard lab clock web1 2d", "Two days ahead, from now on and for what runs there, too"),
        ("tabard lab clock dmz1 90m --behind", "An hour and a half behind"),
    ],
)
@_NODE
@click.argument("wrong", type=Duration(), metavar="DURATION")
@click.option("--behind", is_flag=True, help="The clock is behind, and not ahead.")
def lab_clock(home: Home, node: str, wrong: float, behind: bool) -> int:
    """Set the clock of a node wrong.

    All of Tabard in that node goes by it, also what runs there already; other programs, and the clock of this machine, do not.
    'tabard lab heal NODE' sets it right.
    """
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    faults.clock(Place(home), node, -wrong if behind else wrong)
    how = "right" if wrong == 0 else "behind" if behind else "ahead"
    click.echo(f"tabard: the clock of {node} is {how}", err=True)
    return exits.DONE


@command(
    "hostkey",
    examples=[
        (
            "tabard lab hostkey dmz1",
            "Its ssh server is restarted with another key, and refused by who dials it",
        ),
        ("tabard lab hostkey dmz1 --accept", "Who dials it is told the new key"),
    ],
)
@_NODE
@click.option(
    "--accept", is_flag=True, help="Write the new key where the old one is pinned, and have the tunnels look."
)
def lab_hostkey(home: Home, node: str, accept: bool) -> int:
    """Give the ssh server of a node another host key.

    All its sessions end. Tunnels that dial it refuse the new key and say so, until it is accepted, or until 'tabard lab heal NODE' puts the old
    one back.
    """
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    if accept:
        dialling = faults.accept(Place(home), node)
        click.echo(
            f"tabard: the new host key of {node} is known to {', '.join(dialling) or 'nobody'}", err=True
        )
        return exits.DONE
    faults.hostkey(Place(home), node)
    click.echo(f"tabard: the ssh server of {node} has another host key", err=True)
    return exits.DONE


def _said(node: str, service: str | None, what: str) -> int:
    click.echo(f"tabard: {f'{service} of {node}' if service else node} is {what}", err=True)
    return exits.DONE
