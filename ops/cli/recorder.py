"""``tabard recorder``: puts what arrives into the store."""

from __future__ import annotations

from typing import Any

from tabard.home import Home
from tabard.ops import roles
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import role_options
from tabard.ops.rolelines import RoleLine


@command(
    "recorder",
    examples=[
        ("tabard recorder", "In the foreground, until Ctrl-C"),
        ("tabard recorder --cron --home /srv/tabard", "As a cron line: starts it when it does not run"),
        ("tabard recorder --set store.path=/data/tabard", "With the databases elsewhere"),
    ],
)
@role_options
def recorder(home: Home, **options: Any) -> int:
    """Store what arrives, tell the nodes, and delete what is too old.

    Runs in the foreground until SIGTERM or Ctrl-C; SIGHUP reads the settings again. A second start in the same
    home is an error; with --cron it is not. --once ends when nothing arrived for the time of --idle.
    """
    return roles.recorder(RoleLine("recorder", None, home, **options))
