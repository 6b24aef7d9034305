"""``tabard agent``: what runs on every host."""

from __future__ import annotations

from typing import Any

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import Load, Ready, role_options, serve


@command(
    "agent",
    examples=[
        ("tabard agent", "In the foreground, until Ctrl-C"),
        ("tabard agent --cron --home /srv/tabard", "As a cron line: starts it when it does not run"),
        ("tabard agent --once --idle 30s", "Hand on what is there now, then end"),
    ],
)
@role_options
def agent(home: Home, **options: Any) -> int:
    """Take records in, journal them, and hand them up.

    Runs in the foreground until SIGTERM or Ctrl-C; SIGHUP reads the settings again. A second start in the same
    home is an error; with --cron it is not. --once reads what the sources have and ends when all of it is
    stored (exit code 0), or when nothing moved for the time of --idle (3: what is left is sent next time, and how
    much that is stands on standard error).
    """

    def run(load: Load, once: float | None, ready: Ready) -> int:
        from tabard.agents.role import run

        left = run(home, load, once=once, ready=ready)
        if once is None or not left:
            return exits.DONE
        for each in left:
            click.echo(f"tabard: {each}", err=True)
        return exits.PARTLY

    return serve("agent", home, run, **options)
