"""``tabard lab cut|slow|heal``: what is done to links and to the cables of nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from tabard import exits
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.durations import Duration
from tabard.units import parse_size

_TARGETS = click.argument("targets", nargs=-1, required=True, metavar="LINK|NODE...")


class _Size(click.ParamType[int]):
    """A number of bytes with its unit."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes of a text such as ``64KiB``."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except TabardError as error:
            self.fail(str(error), param, ctx)


@command(
    "cut",
    examples=[
        ("tabard lab cut hq1-dmz1", "One of the two links between hq and the dmz"),
        ("tabard lab cut web1 web2", "Two nodes that nobody reaches any more"),
    ],
)
@_TARGETS
def lab_cut(home: Home, targets: Sequence[str]) -> int:
    """Lose every packet of links or nodes, without a word to anybody.

    Packets vanish in the middle: interfaces stay up, no connection is refused, and what is at the ends has to notice by
    itself. All cables of a node are cut.
    """
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    faults.known(Place(home), targets)
    return _each(targets, lambda target: faults.cut(Place(home), target), "cut")


@command(
    "slow",
    examples=[
        ("tabard lab slow plant1-dmz1 --delay 300ms", "Each packet takes 300 ms longer, in both directions"),
        ("tabard lab slow web1 --delay 0s --rate 16KiB", "16 KiB a second pass"),
    ],
)
@_TARGETS
@click.option(
    "--delay", type=Duration(), default="200ms", show_default=True, help="How long each packet waits."
)
@click.option(
    "--rate", type=_Size(), default="0B", help="Bytes a second that pass in each direction.  [default: all]"
)
def lab_slow(home: Home, targets: Sequence[str], delay: float, rate: int) -> int:
    """Hold up the packets of links or nodes.

    It works on packets, so whatever goes along is slower, and no connection breaks. What is more than 4 MiB behind is dropped.
    """
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    if not delay and not rate:
        raise click.UsageError("Nothing would be slower: give a --delay or a --rate.")
    faults.known(Place(home), targets)
    return _each(targets, lambda target: faults.slow(Place(home), target, delay, rate), "slow")


@command(
    "heal",
    examples=[
        ("tabard lab heal hq1-dmz1", "The link is whole again"),
        ("tabard lab heal", "Everything is"),
    ],
)
@click.argument("targets", nargs=-1, metavar="LINK|NODE...")
def lab_heal(home: Home, targets: Sequence[str]) -> int:
    """Undo what was done to links or nodes.

    Without a name, to all of them. Cables are plugged in and fast again, a node that was killed is started with the disk that it had,
    one that was frozen goes on, and a disk that was filled has room.
    """
    from tabard.ops.lab import faults
    from tabard.ops.lab.state import Place

    faults.known(Place(home), targets)
    for target in targets or (None,):
        done = faults.heal(Place(home), target)
        for line in done or [f"nothing was wrong with {target or 'the lab'}"]:
            click.echo(f"tabard: {line}", err=True)
    return exits.DONE


def _each(targets: Sequence[str], change: Callable[[str], bool], what: str) -> int:
    for target in targets:
        click.echo(f"tabard: {target} is {what}{'' if change(target) else ' already'}", err=True)
    return exits.DONE
