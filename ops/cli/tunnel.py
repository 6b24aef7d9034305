"""``tabard tunnel``: keeps an ssh tunnel up."""

from __future__ import annotations

from typing import Any

import click

from tabard.home import Home
from tabard.ops import roles
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import role_options
from tabard.ops.rolelines import RoleLine


@command(
    "tunnel",
    examples=[
        ("tabard tunnel", "The only tunnel of this home, in the foreground"),
        ("tabard tunnel hq --once", "Try it: build it up, ask through every forward, say how it is, end it"),
        ("tabard tunnel hq --cron --home /srv/tabard", "As a cron line: starts it when it does not run"),
    ],
)
@click.argument("name", required=False, metavar="[NAME]")
@role_options
def tunnel(home: Home, name: str | None, **options: Any) -> int:
    """Keep an ssh tunnel up, and judge what answers through it.

    NAME is that of a [[tunnel]] table; a home with one tunnel needs none. Runs in the foreground until SIGTERM or
    Ctrl-C, and starts ssh again when it ends; SIGHUP reads the settings again and tries at once. A second start is an
    error; with --cron it is not. --once ends as soon as everything answers (exit code 0) or something is wrong (1),
    after --idle at the latest.
    """
    return roles.tunnel(RoleLine("tunnel", name, home, **options))
