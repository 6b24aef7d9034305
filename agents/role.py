"""The agent process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from tabard.agents.intake.tail.descriptors import raise_limit
from tabard.agents.worker import Agent
from tabard.brokers import sockets
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.keyring import keys_of
from tabard.brokers.running import role
from tabard.brokers.topology import agent_ends, role_peers
from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.roles import RoleSettings

LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether a single pass is done."""

_log = logging.getLogger(__name__)


class Leftover(NamedTuple):
    """What one sink has not stored."""

    sink: str
    heard: bool
    """Whether the sink ever answered."""
    streams: Mapping[str, int]
    """How many records of each stream stay in the journal."""

    def __str__(self) -> str:
        records = " and ".join(f"{count} of the stream {name}" for name, count in self.streams.items())
        why = (
            "has not confirmed them"
            if self.heard
            else "did not answer: does its recorder run, and its broker?"
        )
        return f"records still in the journal: {records}; the sink {self.sink} {why}"


def run(
    home: Home,
    load: Callable[[], Settings],
    *,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> list[Leftover]:
    """Run the agent of a home until it is told to end; what the sinks had not stored by then.

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
        name, zone = settings.str("node.name"), settings.str("node.zone")
        keys = keys_of(home, "node", name, zone, role_peers(settings, home, "agent"), process.loop)
        made = sockets.Sockets(
            hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"), keys=keys
        )
        try:
            agent = Agent(home, settings, process.loop, made, keys[0].trust if keys else None)
            agent.start(agent_ends(settings, home))
            process.report(lambda: made.told(agent.status()), settings.seconds("log.status_every"))
            _log.info(
                "agent of node %s in zone %s listens", settings.str("node.name"), settings.str("node.zone")
            )
            ready()
            if once is not None:
                process.loop.every(LOOK_EVERY, lambda: process.loop.stop() if agent.idle() > once else None)
            process.loop.run()
            left = leftovers(agent.publisher, process.loop.now())
            agent.finish()
        finally:
            made.close()
    return left


def leftovers(publisher: Publisher, now: float) -> list[Leftover]:
    """What stays in the journal for each sink that has not all of it."""
    sinks = publisher.sinks(now)
    return [
        Leftover(sink, bool(sinks[sink]["attached"]), streams) for sink, streams in publisher.left().items()
    ]
