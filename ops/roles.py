"""The roles as processes: settings, logging, how they begin and how they end. Nothing here imports click.

``ROLES`` is their table. What a role's process does from then on is in the folder of that role.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tabard import exits
from tabard.errors import AlreadyRunning, TabardError, UsageError
from tabard.home import Home
from tabard.ops.early import EARLY
from tabard.ops.rolelines import RoleLine
from tabard.ops.up.born import follow_parent
from tabard.settings import Settings, load

if TYPE_CHECKING:
    from tabard.brokers.topology import Plan

IDLE: Final = 5.0
"""Seconds without progress after which ``--once`` ends, unless ``--idle`` says otherwise."""

_log = logging.getLogger("tabard.ops.role")


class Start(NamedTuple):
    """What a role is handed."""

    home: Home
    load: Callable[[], Settings]
    """Reads the settings, as they are now."""
    once: float | None
    """The seconds after which it ends when nothing happens; None: it does not end by itself."""
    ready: Callable[[], None]
    """To be called when it is ready."""


def start(line: RoleLine) -> int:
    """Run the role of a command line in this process until it ends; the exit code. Raises TabardError."""
    return ROLES[line.role](line)


def agent(line: RoleLine) -> int:
    """Take records in, journal them, hand them up."""

    def run(how: Start) -> int:
        from tabard.agents.role import run

        left = run(how.home, how.load, once=how.once, ready=how.ready)
        if how.once is None or not left:
            return exits.DONE
        for each in left:
            print(f"tabard: {each}", file=sys.stderr)
        return exits.PARTLY

    return _serve("agent", line, run)


def broker(line: RoleLine) -> int:
    """Forward both lanes of a zone."""
    chosen = _chosen(load(line.home, line.stage, args=dict(line.overrides)), line)

    def run(how: Start) -> int:
        from tabard.brokers.role import run
        from tabard.brokers.topology import broker_peers, brokers
        from tabard.settings.roles import RoleSettings

        held = RoleSettings("broker", how.load, f"broker.{chosen}")
        settings = held.current

        def planned(settings: Settings) -> Plan:
            return next(plan for plan in brokers(settings, how.home) if plan.name == chosen)

        run(
            how.home,
            planned(settings),
            broker_peers(settings, how.home, chosen),
            hwm=settings.int("brokers.hwm"),
            max_frame=settings.bytes("brokers.max_frame"),
            status_every=settings.seconds("log.status_every"),
            reload=lambda take: held.reload(lambda newer: take(planned(newer))),
            once=how.once,
            ready=how.ready,
        )
        return exits.DONE

    return _serve(f"broker.{chosen}", line, run)


def recorder(line: RoleLine) -> int:
    """Store what arrives, tell the nodes, delete what is too old."""
    from tabard.ops.up.checks import refuse_missing

    refuse_missing(["recorder"])

    def run(how: Start) -> int:
        from tabard.consumers.recorder.role import run

        run(how.home, how.load, once=how.once, ready=how.ready)
        return exits.DONE

    return _serve("recorder", line, run)


def dispatcher(line: RoleLine) -> int:
    """Send commands, and keep what becomes of them."""

    def run(how: Start) -> int:
        from tabard.consumers.commands.role import run

        run(how.home, how.load, once=how.once, ready=how.ready)
        return exits.DONE

    return _serve("dispatcher", line, run)


def herald(line: RoleLine) -> int:
    """Show the store in a browser."""
    from tabard.ops.up.checks import refuse_missing

    refuse_missing(["herald"])

    def run(how: Start) -> int:
        from tabard.ops.looking import look_into
        from tabard.web.role import run

        run(how.home, how.load, look=look_into(how.home), once=how.once, ready=how.ready)
        return exits.DONE

    return _serve("herald", line, run)


def tunnel(line: RoleLine) -> int:
    """Keep a tunnel up."""
    settings = load(line.home, line.stage, args=dict(line.overrides))
    names = [each.name for each in settings.tunnels]
    chosen = _one_of(names, line, "tunnel")

    def run(how: Start) -> int:
        from tabard.brokers.tunnels.role import run

        wrong = run(how.home, how.load, chosen, once=how.once, ready=how.ready)
        if how.once is None:
            return exits.DONE
        print(f"tunnel {chosen}: {wrong or 'everything answers'}", file=sys.stderr)
        return exits.FAILED if wrong else exits.DONE

    return _serve(f"tunnel.{chosen}", line, run)


ROLES: Final[Mapping[str, Callable[[RoleLine], int]]] = {
    "agent": agent,
    "broker": broker,
    "recorder": recorder,
    "dispatcher": dispatcher,
    "herald": herald,
    "tunnel": tunnel,
}


def _serve(name: str, line: RoleLine, run: Callable[[Start], int]) -> int:
    """Run a role in this process until it ends; the exit code. Raises TabardError when it cannot run."""
    EARLY.listen()
    tell_parent = follow_parent()

    def ready() -> None:
        EARLY.hand_on()
        tell_parent()

    if line.idle is not None and not line.once:
        raise UsageError("--idle belongs to --once", hint="Add --once, or leave --idle out")

    def fresh() -> Settings:
        return load(line.home, line.stage, args=dict(line.overrides))

    settings = fresh()
    line.home.ensure()
    from tabard.applog import setup_role_logging  # a command that only shows help needs none of it
    from tabard.settings.roles import announce_role

    handler = setup_role_logging(name, settings, line.home)
    idle = IDLE if line.idle is None else line.idle

    def begun() -> None:
        # Not before it is sure that it runs: cron asks again every minute.
        announce_role(name, settings)
        ready()

    try:
        return run(Start(line.home, fresh, idle if line.once else None, begun))
    except AlreadyRunning:
        # Cron asks again every minute; that the role runs is what it wants.
        if not line.cron:
            raise
        return exits.DONE
    except TabardError as error:
        if not sys.stderr.isatty():  # on a terminal it is about to be shown
            _log.critical("%s cannot run: %s", name, error)
        raise
    finally:
        handler.close()


def _chosen(settings: Settings, line: RoleLine) -> str:
    """The name of the broker that is meant. Raises UsageError when there is none, or several."""
    from tabard.brokers.topology import brokers

    return _one_of([plan.name for plan in brokers(settings, line.home)], line, "broker")


def _one_of(names: Sequence[str], line: RoleLine, role: str) -> str:
    """The name that a line gives, or the only one there is. Raises UsageError when there is none, or several."""
    if line.name is None and len(names) == 1:
        return names[0]
    if line.name is not None and line.name in names:
        return line.name
    several = line.name is None and names
    raise UsageError(
        f"this home has several {role}s" if several else f"no such {role} in this home",
        expected="one of " + ", ".join(names) if names else f"a {role} that is described",
        found=repr(line.name) if line.name else "no name",
        where=str(line.home.settings_file),
        hint=f"Say which: tabard {role} {names[0]}" if several else f"Describe it in a [[{role}]] table",
    )
