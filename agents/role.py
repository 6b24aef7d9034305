"""The agent process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from tabard.agents.intake.tail.descriptors import raise_limit
from tabard.agents.worker import Agent
from tabard.brokers import sockets
from tabard.brokers.running import role
from tabard.brokers.topology import agent_ends
from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.roles import RoleSettings

LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether a single pass is done."""

_log = logging.getLogger(__name__)


def run(
    home: Home,
    load: Callable[[], Settings],
    *,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> bool:
    """Run the agent of a home until it is told to end; whether every sink had stored everything by then.

    Args:
        home: its directory.
        load: reads the settings, again on SIGHUP.
        once: end when all that the sources have is stored, or after this many seconds without progress.
        ready: called when the intake listens.

    Raises:
        AlreadyRunning: it runs already in this home.
        JournalError: the journal's directory cannot be used.
        IntakeError: an address of the intake cannot be listened on.
    """
    held = RoleSettings("agent", load)
    settings = held.current
    raise_limit()
    with role("agent", home, lambda: held.reload(agent.take)) as process:
        made = sockets.Sockets(hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"))
        try:
            agent = Agent(home, settings, process.loop, made)
            agent.start(agent_ends(settings, home))
            process.report(agent.status)
            _log.info(
                "agent of node %s in zone %s listens", settings.str("node.name"), settings.str("node.zone")
            )
            ready()
            if once is not None:
                process.loop.every(LOOK_EVERY, lambda: process.loop.stop() if agent.idle() > once else None)
            process.loop.run()
            stored = agent.publisher.delivered()
            agent.finish()
        finally:
            made.close()
    return stored
