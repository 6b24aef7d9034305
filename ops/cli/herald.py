"""``tabard herald``: the page in the browser."""

from __future__ import annotations

from typing import Any

from tabard.home import Home
from tabard.ops import roles
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import role_options
from tabard.ops.rolelines import RoleLine


@command(
    "herald",
    examples=[
        ("tabard herald", "In the foreground, until Ctrl-C"),
        ("tabard herald --set herald.port=9000", "On another port"),
        ("tabard herald --cron --home /srv/tabard", "As a cron line: starts it when it does not run"),
        ("tabard herald --once", "Does it work here? Answers its own first page and ends"),
    ],
)
@role_options
def herald(home: Home, **options: Any) -> int:
    """Show the store in a browser.

    Runs in the foreground until SIGTERM or Ctrl-C, on herald.host and herald.port; SIGHUP reads the settings
    again. A second start in the same home is an error; with --cron it is not.
    """
    return roles.herald(RoleLine("herald", None, home, **options))
