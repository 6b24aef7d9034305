"""What the commands that run a role have in common: options, settings, logging, and how they end."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from tabard import exits
from tabard.errors import AlreadyRunning, TabardError, UsageError
from tabard.home import Home
from tabard.ops.cli.durations import Duration
from tabard.ops.cli.options import cron_option, once_option, settings_options
from tabard.ops.up.born import follow_parent
from tabard.settings import Settings, load

_F = TypeVar("_F", bound=Callable[..., Any])
Load = Callable[[], Settings]
Ready = Callable[[], None]

IDLE = 5.0
"""Seconds without progress after which ``--once`` ends, unless ``--idle`` says otherwise."""
_log = logging.getLogger("tabard.ops.role")


def role_options(function: _F) -> _F:
    """``--once``, ``--idle``, ``--cron``, ``--stage`` and ``--set``: passes all of them, see ``serve``."""
    idle = click.option(
        "--idle",
        type=Duration(),
        metavar="DURATION",
        help="With --once: end after that long without progress.  [default: 5s]",
    )
    return once_option(idle(cron_option(settings_options(function))))


def serve(
    name: str,
    home: Home,
    run: Callable[[Load, float | None, Ready], int | None],
    *,
    once: bool,
    idle: float | None,
    cron: bool,
    stage: str | None,
    overrides: Sequence[tuple[str, str]],
) -> int:
    """Run a role in this process until it ends; the exit code.

    ``run`` is handed how to read the settings, the seconds after which it ends when nothing happens (None: it
    does not end by itself), and what to call when it is ready; it may return another exit code than 0. Raises
    TabardError when it cannot run.
    """
    # Until the role's own loop has them, SIGTERM and Ctrl-C end the process in order too, with what is open closed and
    # with 0, and SIGHUP does not end it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(exits.DONE))
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    ready = follow_parent()
    if idle is not None and not once:
        raise UsageError("--idle belongs to --once", hint="Add --once, or leave --idle out")

    def fresh() -> Settings:
        return load(home, stage, args=dict(overrides))

    settings = fresh()
    home.ensure()
    from tabard.applog import setup_role_logging  # a command that only shows help needs none of it

    handler = setup_role_logging(name, settings, home)
    try:
        code = run(fresh, (IDLE if idle is None else idle) if once else None, ready)
    except AlreadyRunning:
        # Cron asks again every minute; that the role runs is what it wants.
        if not cron:
            raise
        code = None
    except TabardError as error:
        if not sys.stderr.isatty():  # on a terminal it is about to be shown
            _log.critical("%s cannot run: %s", name, error)
        raise
    finally:
        handler.close()
    return code or exits.DONE
