"""An agent's intake and processes that log, all of production, over real sockets and files, in virtual time.

Nothing waits: the agent does something only when `Agent.turn` is called, which is how it is slow, frozen or dead.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
from pathlib import Path
from typing import Any

import msgpack

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.server import IntakeServer
from tabard.agents.intake.spill import SpillReader
from tabard.applog.delivery import Delivery
from tabard.applog.record import pack
from tabard.applog.spool import Spool
from tabard.client import IntakeClient
from tabard.records import LOG_INDEX
from tests.unit.intake.fakes import FakeClock, FakeLoop, ListJournal
from tests.unit.intake.samples import log_record

MESSAGE = LOG_INDEX["message"]
SERVICE = LOG_INDEX["service"]


class SocketLoop(FakeLoop):
    """Virtual time, and real descriptors, which are looked at when asked."""

    def turn(self, most: int = 100) -> bool:
        """Call what at most ``most`` ready descriptors ask for; whether there was one."""
        poll = select.poll()
        events: dict[int, int] = dict.fromkeys(self.readers, select.POLLIN)
        for fd in self.writers:
            events[fd] = events.get(fd, 0) | select.POLLOUT
        for fd, wanted in events.items():
            poll.register(fd, wanted)
        ready = poll.poll(0)
        for fd, found in ready[:most]:
            if found & ~select.POLLOUT and fd in self.readers:
                self.readers[fd]()
            if found & select.POLLOUT and fd in self.writers:
                self.writers[fd]()
        return bool(ready)


class Agent:
    """Intake and spool of one agent, over a journal that outlives it."""

    def __init__(self, directory: Path, journal: ListJournal, now: float) -> None:
        self.loop: Any = SocketLoop(now)
        self.batcher = Batcher(journal, self.loop, linger=0.01)
        clock: Any = FakeClock(self.loop)
        self.server = IntakeServer(
            self.loop,
            self.batcher,
            clock,
            path=str(directory / "intake.sock"),
            marks=journal.marks,
            max_clients=2,
        )
        self.server.open()
        self.spill = SpillReader(
            self.loop, self.batcher, self.server.sources, clock.wall, [directory / "spool"]
        )
        self.spill.open()

    def turn(self, now: float, most: int = 100) -> bool:
        """Do what is due; whether somebody had said something."""
        self.loop.advance(max(now - self.loop.now(), 0.0))
        return bool(self.loop.turn(most))

    def die(self) -> None:
        """What is not journaled is gone."""
        self.spill.close()
        self.server.close()


class NarrowClient(IntakeClient):
    """Whose kernel takes little at a time."""

    buffer = 0

    def open(self) -> socket.socket:
        """As ever."""
        sock = super().open()
        if self.buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer)
        return sock


class Process:
    """One that logs numbers, each once."""

    def __init__(self, directory: Path, name: str, buffer: int) -> None:
        self.name = name
        self.client = NarrowClient(directory / "intake.sock", name, timeout=1.0)
        self.client.buffer = buffer
        self.spool = Spool(directory / "spool", name, name, 10**9)
        self.told: list[int] = []
        self.way = Delivery(self.client, self.spool, self._tell)
        self.said = 0
        self.frames: list[int] = []
        """How many numbers had been said up to each frame."""
        self.living = True

    def _tell(self, payload: bytes) -> None:
        self.told += [int(row[MESSAGE].split()[0]) for row in msgpack.unpackb(payload)]

    def say(self, count: int, size: int = 0) -> None:
        """Records of about so many bytes, in one frame if they fit."""
        rows = [
            tuple(log_record(service=self.name, message=f"{self.said + number} {'x' * size}"))
            for number in range(count)
        ]
        for packed in pack(rows):
            self.said += packed.records
            self.frames.append(self.said)
            self.way.take(packed)

    def end(self) -> None:
        """In order."""
        self.living = False
        self.way.finish()

    def die(self) -> int:
        """What is in memory is gone; how many numbers are not."""
        kept = max(self.client.accepted, self.spool.last)
        self.living = False
        self.way.abandon()
        return self.frames[kept - 1] if kept else 0


class World:
    """A directory, a journal, an agent or none, and processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = ListJournal()
        self.now = 1_000.0
        self.agent: Agent | None = None
        self.frozen = False
        self.processes: list[Process] = []
        self.start()

    def start(self) -> None:
        """An agent, unless there is one."""
        if self.agent is None:
            self.agent = Agent(self.directory, self.journal, self.now)

    def kill(self) -> None:
        """The agent is gone, with all that is not in its journal."""
        if self.agent is not None:
            self.agent.die()
        self.agent, self.frozen = None, False

    def process(self, buffer: int = 0) -> Process:
        """One more."""
        self.processes.append(Process(self.directory, f"p-{len(self.processes)}", buffer))
        return self.processes[-1]

    def step(self, process: Process, seconds: float = 0.02, most: int = 100) -> None:
        """The process has its turn, and so has the agent when it can."""
        self.now += seconds
        if process.living:
            process.way.step(self.now)
        if self.agent is not None and not self.frozen:
            self.agent.turn(self.now, most)

    def settle(self, dice: random.Random) -> None:
        """All is well again and the processes end in order; come back when nothing is left to be done."""
        self.journal.error = None
        self.frozen = False
        self.start()
        for process in self.processes:
            if process.living:
                process.end()
        for _ in range(10_000):
            if dice.random() < 0.02:  # also in the middle of a file
                self.kill()
                self.start()
            self.now += dice.choice([0.001, 0.5])
            if not self.agent_turn() and not self.spooled():
                break
        else:
            raise AssertionError(f"never done: {self.spooled()}")
        self.now += 1
        self.agent_turn()

    def agent_turn(self) -> bool:
        """The agent's alone."""
        assert self.agent is not None
        return self.agent.turn(self.now)

    def spooled(self) -> list[str]:
        """Names in the spool."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self.directory / "spool"))
        return []

    def stored(self, process: Process) -> list[int]:
        """The numbers that the journal has of a process, as they came."""
        return [
            int(record[MESSAGE].split()[0])
            for record in self.journal.records()
            if record[SERVICE] == process.name
        ]

    def close(self) -> None:
        """Leave no descriptor."""
        self.kill()
        for process in self.processes:
            if process.living:
                process.die()
