"""``tabard broker``: forwards between zones."""

from __future__ import annotations

from typing import Any

import click

from tabard.home import Home
from tabard.ops import roles
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import role_options
from tabard.ops.rolelines import RoleLine


@command(
    "broker",
    examples=[
        ("tabard broker", "The only broker of this home, in the foreground"),
        ("tabard broker dmz", "The one called dmz of several"),
        ("tabard broker dmz --cron --home /srv/tabard", "As a cron line: starts it when it does not run"),
    ],
)
@click.argument("name", required=False, metavar="[NAME]")
@role_options
def broker(home: Home, name: str | None, **options: Any) -> int:
    """Forward both lanes of a zone.

    NAME is that of a [[broker]] table; a home with one broker needs none. Without such tables a home has as many
    as up.brokers says, called b1, b2 and so on. Runs in the foreground until SIGTERM or Ctrl-C; SIGHUP reads
    the settings again. A second start is an error; with --cron it is not. --once ends when nothing arrived for the time of --idle.
    """
    return roles.broker(RoleLine("broker", name, home, **options))
