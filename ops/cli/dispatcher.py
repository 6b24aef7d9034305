"""``tabard dispatcher``: sends commands, and keeps what becomes of them."""

from __future__ import annotations

from typing import Any

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import role_options


@command(
    "dispatcher",
    examples=[
        ("tabard dispatcher", "In the foreground, until Ctrl-C"),
        ("tabard dispatcher --cron --home /srv/tabard", "As a cron line: starts it when it does not run"),
        ("tabard dispatcher --stdio", "What --via runs on the other host: hands lines to the one that runs"),
    ],
)
@click.option(
    "--stdio",
    is_flag=True,
    help="Hand standard input to the dispatcher that runs, and its answers to standard output.",
)
@role_options
def dispatcher(home: Home, stdio: bool, **options: Any) -> int:
    """Send commands to nodes until they are answered, and keep what becomes of them.

    Runs beside the recorder of a store, in the foreground until SIGTERM or Ctrl-C; SIGHUP reads the settings again. A second start in the same
    home is an error; with --cron it is not. --once ends when no command is open.
    """
    if stdio:
        from tabard.ops.commands.client import bridge

        bridge(home)
        return exits.DONE
    from tabard.ops import roles
    from tabard.ops.rolelines import RoleLine

    return roles.dispatcher(RoleLine("dispatcher", None, home, **options))
