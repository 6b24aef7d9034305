"""``tabard broker``: forwards between zones."""

from __future__ import annotations

from typing import Any

import click

from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.roles import Load, Ready, role_options, serve
from tabard.settings import Settings, load
from tabard.settings.roles import RoleSettings


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
    settings = load(home, options["stage"], args=dict(options["overrides"]))
    chosen = _chosen(settings, home, name)

    def run(load: Load, once: float | None, ready: Ready) -> None:
        from tabard.brokers.role import run
        from tabard.brokers.topology import brokers

        held = RoleSettings("broker", load)
        settings = held.current
        plan = next(plan for plan in brokers(settings, home) if plan.name == chosen)
        run(
            home,
            plan,
            hwm=settings.int("brokers.hwm"),
            max_frame=settings.bytes("brokers.max_frame"),
            reload=held.reload,
            once=once,
            ready=ready,
        )

    return serve(f"broker.{chosen}", home, run, **options)


def _chosen(settings: Settings, home: Home, name: str | None) -> str:
    """The name of the broker that is meant. Raises UsageError when there is none, or several."""
    from tabard.brokers.topology import brokers

    names = [plan.name for plan in brokers(settings, home)]
    if name is None and len(names) == 1:
        return names[0]
    if name in names:
        return name
    raise UsageError(
        "no such broker in this home" if name else "this home has several brokers",
        expected="one of " + ", ".join(names),
        found=repr(name) if name else "no name",
        where=str(home.settings_file),
        hint="Describe it in a [[broker]] table" if name else f"Say which: tabard broker {names[0]}",
    )
