"""``tabard up``: all roles of a home on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tabard import exits, locks
from tabard.errors import SettingsError, UsageError
from tabard.home import Home, default_home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import settings_options
from tabard.ops.up.checks import refuse_busy, refuse_missing, refuse_running
from tabard.ops.up.plan import ROLES, Planned, addresses, page_url, parse_only, planned
from tabard.settings import Settings, examine, load


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
@click.option("--only", metavar="ROLE,...", help="Start these roles: broker, recorder, agent, herald.")
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

    Makes the home, looks at settings, ports and locks before it starts anything, and starts a role that ends
    again. What it says about the roles is on standard error and in log/up.log. SIGHUP has the roles read the
    settings again; SIGTERM, Ctrl-C or a closed terminal ends all of them, in order. They end with it however
    it ends.
    """
    given = dict(overrides)
    if port is not None:
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
        refuse_running(home, children)
        refuse_busy(addresses(settings, home, roles))
        _run(home, settings, children, stage, given)
    return exits.DONE


def _settings(home: Home, stage: str | None, given: Mapping[str, str]) -> Settings:
    """The settings, with a word on standard error for each warning. Raises SettingsError."""
    examination = examine(home, stage, args=given)
    for finding in examination.findings:
        if finding.warning:
            click.echo(f"tabard: warning: {finding.error}", err=True)
    return examination.settings or load(home, stage, args=given)


def _run(
    home: Home, settings: Settings, children: list[Planned], stage: str | None, given: Mapping[str, str]
) -> None:
    # Late, so that a mistake above is told without the cost of these.
    from tabard.brokers.running import Role
    from tabard.ops.up.supervisor import Supervisor
    from tabard.ops.up.voice import Voice

    options = ["--home", str(home.path)]
    options += ["--stage", stage] if stage is not None else []
    options += [word for name, value in given.items() for word in ("--set", f"{name}={value}")]

    def command_line(child: Planned) -> list[str]:
        return [sys.executable, "-P", "-m", "tabard.ops.main", *child.words, *options]

    def may_reload() -> str | None:
        try:
            load(home, stage, args=given)
        except SettingsError as error:
            return str(error)
        return None

    process = Role("up", home)
    url = page_url(settings) if any(child.role == "herald" for child in children) else None
    try:
        with Voice(home) as voice:
            voice.note("starting " + ", ".join(child.name for child in children))
            supervisor = Supervisor(
                children,
                command_line,
                process.loop,
                voice,
                on_ready=lambda: voice.show(_summary(home, settings, children, url)),
                on_change=process.write_status,
                may_reload=may_reload,
            )
            process.report(lambda: _status(url, supervisor.status()))
            supervisor.run()
            voice.note("all roles have ended")
    finally:
        process.remove_status()
        process.loop.close()


def _status(url: str | None, children: Mapping[str, Any]) -> dict[str, Any]:
    return {"url": url, "children": children}


def _summary(home: Home, settings: Settings, children: Sequence[Planned], url: str | None) -> str:
    """What a person wants to know now."""
    roles = {child.role for child in children}
    lines = [
        "",
        f"Tabard runs here as node {settings.str('node.name')} of zone {settings.str('node.zone')}.",
        "",
        f"  home      {home.path}",
    ]
    if "agent" in roles:
        if settings.flag("intake.socket"):
            lines.append(f"  intake    {home.socket('intake.sock')}")
        if settings.str("intake.tcp"):
            lines.append(f"  intake    tcp {settings.str('intake.tcp')}")
    lines.append(f"  log       tabard logs -f; what was said without an agent is in {home.log}")
    lines.append("  end it    Ctrl-C")
    if str(home.path) != str(Home(default_home(os.environ)).path):
        lines += ["", f"In another terminal, first: export TABARD_HOME={home.path}"]
    if url is not None:
        lines += ["", f"Open {url}"]
    return "\n".join([*lines, ""])
