"""``tabard agent``: what runs on every host."""

from __future__ import annotations

from typing import Any

from tabard.home import Home
from tabard.ops import roles
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import role_options
from tabard.ops.rolelines import RoleLine


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
    return roles.agent(RoleLine("agent", None, home, **options))
