"""What a peer is to the bench: how it is started, fed, looked into, struck and ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from tabard.ops.bench.peers.plan import Part
from tabard.ops.bench.peers.processes import Process, Server, Victim
from tabard.ops.bench.postgres import Postgres


class Target(NamedTuple):
    """Where the application sends, and in which form (`work.FORMS`)."""

    form: str
    where: Any


class Ground(NamedTuple):
    """What a peer gets from the bench."""

    place: Path
    """A directory of its own, short enough for sockets."""
    serve: Callable[[], Postgres]
    """Gives a running PostgreSQL server, which the bench ends."""
    relayed: bool
    """Whether the application speaks to a relay on its own host that buffers for the receiver, where the peer has one."""


class Peer(ABC):
    """A tool, in the best configuration that its manual names, with an empty store. It is used once.

    A peer gives `pids` of its own processes and, apart from them, those of the database server.
    """

    title: ClassVar[str]
    """What is measured, for people."""
    store: ClassVar[str]
    """What is written in the end."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What apt calls what is needed."""
    divided_by: ClassVar[int] = 1
    """At full speed one that is slow gets only this share of the records, so that the others have their time."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.expected = 0
        """Rows that are expected: `stored` has to be exact from there on."""

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """What is not installed, as in "apt install rsyslog"; empty when it is there."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Of what takes part. Only where nothing is missing."""

    @abstractmethod
    def start(self) -> None:
        """Start all of it, ready to take records. Raises TabardError."""

    @abstractmethod
    def stop(self) -> None:
        """End all of it, whatever state it is in."""

    @abstractmethod
    def target(self) -> Target:
        """Where the application sends."""

    @abstractmethod
    def stored(self) -> int:
        """How many rows can be queried, cheaply: exact once there are as many as `expected`, about right before."""

    @abstractmethod
    def numbers(self) -> Sequence[int]:
        """The number of every row, in the order in which the store keeps one source; 0 for one without."""

    @abstractmethod
    def victims(self, part: Part) -> Sequence[Victim]:
        """What is struck."""

    @abstractmethod
    def pids(self) -> Sequence[int]:
        """Its own processes that run now."""

    def server_pids(self) -> Sequence[int]:
        """Those of the database server."""
        return ()

    def tend(self) -> None:  # noqa: B027 -- most need none
        """Called often: whatever has to be read or seen to while it runs. Raises TabardError when it broke."""

    def told(self) -> int:
        """How many records it says itself that it lost, wherever it says such things."""
        return 0


class Composed(Peer):
    """A peer of processes that are started in order and take their records from the first of them."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.processes: list[Process] = []
        """From the receiver to what the application speaks to."""
        self.server: Server | None = None

    def start(self) -> None:
        """Each before the one that sends to it."""
        for process in self.processes:
            process.start()

    def stop(self) -> None:
        """Those that send first, so that nobody misses anybody."""
        for process in reversed(self.processes):
            process.stop()

    def victims(self, part: Part) -> Sequence[Victim]:
        """The receiver; and the server, where there is one."""
        if part is Part.SINK and self.server is not None:
            return [self.server]
        return [self.processes[0]]

    def pids(self) -> Sequence[int]:
        """Of all processes."""
        return [pid for process in self.processes for pid in process.pids()]

    def server_pids(self) -> Sequence[int]:
        """Of the server."""
        return [] if self.server is None else self.server.pids()
