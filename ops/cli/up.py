"""``tabard up``: all roles of a home on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import click

from tabard import exits, locks
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops import seen
from tabard.ops.cli.base import command
from tabard.ops.cli.options import settings_options
from tabard.ops.up.checks import refuse_busy, refuse_missing, refuse_running
from tabard.ops.up.plan import ROLES, addresses, parse_only, planned
from tabard.settings import Settings, examine, load

_OUT_OF_THE_WAY: Final = "Stop that process first, leave its role out with --only, or use another --home"


@command(
    "up",
    examples=[
        ("tabard up", "Everything on this machine; the page is at http://127.0.0.1:8024"),
        ("tabard up --home ./second --port 9000", "A second Tabard beside the first"),
        ("tabard up --brokers 3", "With a chain of three brokers"),
        ("tabard up --only broker,agent", "On a host whose store is elsewhere"),
    ],
)
@click.option(
    "--port",
    type=click.IntRange(1024, 65000),
    metavar="N",
    help="Take TCP ports from N upward: the page is at N.  [default: 8024]",
)
@click.option(
    "--brokers", type=click.IntRange(1, 8), metavar="N", help="How many brokers to chain.  [default: 1]"
)
@click.option(
    "--only",
    metavar="ROLE,...",
    help="Start these roles: tunnel, broker, recorder, dispatcher, agent, herald.",
)
@settings_options
def up(
    home: Home,
    port: int | None,
    brokers: int | None,
    only: str | None,
    stage: str | None,
    overrides: Sequence[tuple[str, str]],
) -> int:
    """Run every role on this machine until Ctrl-C.

    Makes the home, and keys for a new one, looks at settings, ports and locks before it starts anything, and starts a role that ends
    again. What it says about the roles is on standard error and in log/up.log. SIGHUP has the roles read the
    settings again; SIGTERM, Ctrl-C or a closed terminal ends all of them, in order. They end with it however
    it ends.
    """
    given = dict(overrides)
    _refuse_both(given, port, ("ports.base", "herald.port"), "--port")
    _refuse_both(given, brokers, ("up.brokers",), "--brokers")
    if port is not None:
        # The option wins over a herald.port in the file, which ports.base alone would not.
        given |= {"ports.base": str(port), "herald.port": str(port)}
    if brokers is not None:
        given["up.brokers"] = str(brokers)
    roles = parse_only(only) if only is not None else frozenset(ROLES)
    settings = _settings(home, stage, given)
    if brokers is not None and settings.brokers:
        raise UsageError(
            "--brokers is for homes that describe no broker",
            found=f"{len(settings.brokers)} [[broker]] tables",
            where=str(home.settings_file),
            hint="Leave --brokers out",
        )
    children = planned(settings, home, roles)
    home.ensure()
    with locks.hold(home.lock("up")):
        refuse_missing(roles)
        refuse_running(home, children, hint=_OUT_OF_THE_WAY)
        seen.clear(home, settings)
        refuse_busy(addresses(settings, home, roles))
        # Late, so that a mistake above is told without the cost of these.
        from tabard.consumers.store.place import Place
        from tabard.ops.up.keys import prepare
        from tabard.ops.up.run import run
        from tabard.ops.up.upgrade import refuse_newer, upgrade_older

        if roles & {"recorder", "herald"}:
            refuse_newer(Place.of(settings, home))
        if "recorder" in roles:
            for line in upgrade_older(Place.of(settings, home)):
                click.echo(f"tabard: {line}", err=True)
        for line in prepare(home, settings, roles):
            click.echo(f"tabard: {line}", err=True)
        run(home, settings, children, stage, given)
    return exits.DONE


def _refuse_both(given: Mapping[str, str], value: int | None, names: Sequence[str], option: str) -> None:
    """Raises UsageError when an option and --set say the same setting."""
    name = next((name for name in names if name in given), None)
    if value is not None and name is not None:
        raise UsageError(
            f"{option} and --set {name} are the same", found="both of them", hint="Leave one of them out"
        )


def _settings(home: Home, stage: str | None, given: Mapping[str, str]) -> Settings:
    """The settings, with a word on standard error for each warning. Raises SettingsError."""
    examination = examine(home, stage, args=given)
    for finding in examination.findings:
        if finding.warning:
            click.echo(f"tabard: warning: {finding.error}", err=True)
    return examination.settings or load(home, stage, args=given)
