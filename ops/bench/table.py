"""The table of benches, and what every one of them is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple

from tabard.ops.bench.result import Measured


class Options(NamedTuple):
    """How much to measure; None is the bench's own default, which ends within three minutes."""

    records: int | None = None
    """Records of one run."""
    seconds: int | None = None
    """How long something steady is watched."""
    rounds: int | None = None
    """How often a run and its ceiling are repeated."""
    store: str = "sqlite"
    """The engine of the store: ``sqlite`` or ``postgresql``."""
    names: tuple[str, ...] = ()
    """Of peers: which; all when none is named."""
    long: bool = False
    """Of peers: more records, rounds and kills."""
    rows: int | None = None
    """Rows of the store that is searched."""
    search_index: str = ""
    """The search index it has: ``none``, ``words`` or ``trigram``; "" for the bench's own default."""
    fresh: bool = False
    """Whether what was kept of earlier runs is removed first."""


Say = Callable[[str], None]
"""Tells the person who waits how far it is."""
Run = Callable[[Options, Say], Measured]


class Bench(NamedTuple):
    """One row of the table."""

    module: str
    """A module with a function ``run``, a `Run`."""
    summary: str
    heeds: frozenset[str]
    """Which of the `Options` it goes by: any other that is given is refused."""

    def load(self) -> Run:
        """Import it, with all that it measures."""
        run: Run = import_module(self.module).run
        return run


BENCHES: Final = {
    "ingest": Bench(
        "tabard.ops.bench.ingest",
        "records a second from an agent's socket through three brokers into the store, signed, with CURVE and in unix sockets, beside the bare insert",
        frozenset({"records", "seconds", "rounds", "store"}),
    ),
    "retention": Bench(
        "tabard.ops.bench.retention",
        "how much later records can be queried while a million old ones are deleted",
        frozenset({"records", "seconds", "store"}),
    ),
    "agent": Bench(
        "tabard.ops.bench.agent",
        "memory and CPU of an agent among 300 processes, its start, and a cron check that finds it running",
        frozenset({"seconds", "rounds"}),
    ),
    "intake": Bench(
        "tabard.ops.bench.intake",
        "records a second of SocketHandler, syslog and the agent's socket, beside decoding alone and rsyslog",
        frozenset({"records", "rounds"}),
    ),
    "search": Bench(
        "tabard.ops.bench.search",
        "how long pages, searches and counts of a large store take, beside the bare SQL, and what each index costs",
        frozenset({"rounds", "store", "rows", "search_index", "fresh"}),
    ),
    "tunnel": Bench(
        "tabard.ops.bench.tunnel",
        "bytes a second through each back end of a tunnel beside bare ssh, and how soon a frozen peer is noticed",
        frozenset({"rounds"}),
    ),
    "logging": Bench(
        "tabard.ops.bench.logging",
        "the cost of a logging call for the application, beside NullHandler, SocketHandler and QueueHandler",
        frozenset({"records", "rounds"}),
    ),
    "command": Bench(
        "tabard.ops.bench.command",
        "how soon a command is done through one zone and three, beside bare ZeroMQ, and how soon is said that its node is away",
        frozenset({"rounds"}),
    ),
    "peers": Bench(
        "tabard.ops.bench.peers.compare",
        "rsyslog, syslog-ng, pyzmq, SocketHandler and Tabard on the same work: speed, the same kills, memory",
        frozenset({"records", "seconds", "rounds", "names", "long"}),
    ),
}


def heeding(option: str) -> str:
    """The names of the benches that go by one of the `Options`, as words of a sentence."""
    *others, last = [name for name, bench in BENCHES.items() if option in bench.heeds]
    return f"{', '.join(others)} and {last}" if others else last
