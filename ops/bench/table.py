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

    def load(self) -> Run:
        """Import it, with all that it measures."""
        run: Run = import_module(self.module).run
        return run


BENCHES: Final = {
    "ingest": Bench(
        "tabard.ops.bench.ingest",
        "records a second from an agent's socket through three brokers into the store, beside the bare insert",
    ),
    "retention": Bench(
        "tabard.ops.bench.retention",
        "how much later records can be queried while a million old ones are deleted",
    ),
    "agent": Bench(
        "tabard.ops.bench.agent",
        "memory and CPU of an agent among 300 processes, its start, and a cron check that finds it running",
    ),
    "intake": Bench(
        "tabard.ops.bench.intake",
        "records a second of SocketHandler, syslog and the agent's socket, beside decoding alone and rsyslog",
    ),
    "search": Bench(
        "tabard.ops.bench.search",
        "how long pages, searches and counts of a large store take, beside the bare SQL, and what each index costs",
    ),
    "logging": Bench(
        "tabard.ops.bench.logging",
        "the cost of a logging call for the application, beside NullHandler, SocketHandler and QueueHandler",
    ),
    "peers": Bench(
        "tabard.ops.bench.peers.compare",
        "rsyslog, syslog-ng, pyzmq, SocketHandler and Tabard on the same work: speed, the same kills, memory",
    ),
}
