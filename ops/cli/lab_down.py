"""``tabard lab down``: takes the lab away."""

from __future__ import annotations

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command


@command(
    "down",
    examples=[("tabard lab down", "Nothing of the lab is left, whatever state it was in")],
)
def lab_down(home: Home) -> int:
    """Take the lab away: processes, networks, mounts and files.

    Also one that was built halfway, or whose processes were killed. Where there is none, it says so and is done.
    """
    from tabard.ops.lab import build
    from tabard.ops.lab.state import Place

    place = Place(home)
    was = place.path.exists()
    build.end(place)
    click.echo(
        f"tabard: the lab at {place.path} is gone" if was else f"tabard: no lab at {place.path}", err=True
    )
    return exits.DONE
