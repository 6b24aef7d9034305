"""The options of the commands that run a role. What they do with them is in ``tabard.ops.roles``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tabard.ops.cli.durations import Duration
from tabard.ops.cli.options import cron_option, once_option, settings_options

_F = TypeVar("_F", bound=Callable[..., Any])


def role_options(function: _F) -> _F:
    """``--once``, ``--idle``, ``--cron``, ``--stage`` and ``--set``: what `RoleLine` has of them."""
    idle = click.option(
        "--idle",
        type=Duration(),
        metavar="DURATION",
        help="With --once: end after that long without progress.  [default: 5s]",
    )
    return once_option(idle(cron_option(settings_options(function))))
