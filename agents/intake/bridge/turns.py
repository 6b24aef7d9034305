"""Clients read one after the other: who connects anew is heard when what was said before has been read.

A sender whose connection breaks sends on over a new one, while much of what it said on the old one may still wait
in the kernel. Read as they come, the two would mix. So a new client waits in line behind those from the same place
that have something unread, and after a pause of the journal all clients stand in line in the order they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from tabard.agents.intake.ports import Handle, Loop

READS: Final = 8
"""Reads of one client at a turn of the loop."""
MOST_READS: Final = 64
"""Reads of one client in all. That is more than the kernels of both ends hold: what comes then is new."""
BACKLOG_READS: Final = 3
"""Reads at one turn from which on a client had more to say than one that speaks now and then."""
QUIET_SECONDS: Final = 0.01
"""How long such a client has to be silent: what its kernel still holds comes once there is room here."""

Client = TypeVar("Client")


class Turns(Generic[Client]):
    """The line. ``take`` reads a client once and says whether there was anything; ``done`` has had its turn."""

    def __init__(self, loop: Loop, take: Callable[[Client], bool], done: Callable[[Client], None]) -> None:
        self._loop = loop
        self._take = take
        self._done = done
        self._line: dict[Client, None] = {}
        self._head: Client | None = None
        self._reads = 0
        self._backlog = False
        self._next: Handle | None = None

    def __contains__(self, client: Client) -> bool:
        return client in self._line

    def __bool__(self) -> bool:
        return bool(self._line)

    def add(self, clients: Iterable[Client]) -> None:
        """Put them at the end of the line, in their order; who stands in it stays where he is."""
        for client in clients:
            self._line.setdefault(client)
        self._go_on(0.0)

    def forget(self, client: Client) -> None:
        """It has ended."""
        self._line.pop(client, None)

    def clear(self) -> None:
        """Nobody waits any more, and nothing is read."""
        self._line.clear()
        self._head = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _go_on(self, pause: float) -> None:
        if self._line and self._next is None:
            self._next = self._loop.call_at(self._loop.now() + pause, self._turn)

    def _turn(self) -> None:
        self._next = None
        pause = 0.0
        while self._line:
            client = next(iter(self._line))
            if client is not self._head:
                self._head, self._reads, self._backlog = client, 0, False
            reads = 0
            while reads < READS and self._take(client):
                reads += 1
            if client not in self._line:  # it ended, or everybody was told to wait
                continue
            self._reads += reads
            self._backlog = self._backlog or reads >= BACKLOG_READS
            if reads and self._backlog and self._reads < MOST_READS:
                pause = 0.0 if reads == READS else QUIET_SECONDS
                break
            del self._line[client]
            self._done(client)
        if not self._line:
            self._head = None
        self._go_on(pause)
