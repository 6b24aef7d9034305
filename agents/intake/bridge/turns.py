"""Who connects anew is heard when what was said before, from the same place, has been read.

A sender whose connection breaks sends on over a new one, while much of what it said on the old one may still wait
in the kernel. Read as they come, the two would mix. So a new client waits for those that have something unread, and
after a pause of the journal the clients of one place begin one after the other, in the order they came. Who was
being read goes on meanwhile: only the newer one waits.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

from tabard.agents.intake.ports import Handle, Loop

MOST_BYTES: Final = 8_388_608
"""Bytes of one client that another waits for: more than the kernels of both ends hold, so what comes then is new."""
BACKLOG_BYTES: Final = 32_768
"""Bytes from which on a client had more to say than one that speaks now and then."""
TICK_SECONDS: Final = 0.01
"""Between two looks at those who are waited for. One with a backlog has to be silent at two of them: what its
kernel still holds comes once there is room here."""


class Heard(Protocol):
    """A client."""

    sock: socket.socket
    heard: int
    """How many bytes were read of it."""


C = TypeVar("C", bound=Heard)


class _Ahead:
    """Somebody who is waited for."""

    __slots__ = ("silent", "since")

    def __init__(self, heard: int) -> None:
        self.since = heard
        self.silent = False


class Turns(Generic[C]):
    """The clients that wait, and for whom.

    ``unread`` says which of some clients have said something that was not read yet; ``begin`` reads one from now on.
    """

    def __init__(
        self, loop: Loop, unread: Callable[[Iterable[C]], set[C]], begin: Callable[[C], None]
    ) -> None:
        self._loop = loop
        self._unread = unread
        self._begin = begin
        self._waiting: dict[C, dict[C, _Ahead]] = {}
        self._next: Handle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, client: C) -> bool:
        return client in self._waiting

    def add(self, client: C, ahead: Iterable[C]) -> None:
        """Let ``client`` wait until those ``ahead`` are read."""
        self._waiting[client] = {each: _Ahead(each.heard) for each in ahead}
        self._look_at(self._loop.now())

    def forget(self, client: C) -> None:
        """It has ended: nobody waits for it any more."""
        self._waiting.pop(client, None)
        if sum(ahead.pop(client, None) is not None for ahead in self._waiting.values()):
            self._look_no_more()
            self._look_at(self._loop.now())

    def clear(self) -> None:
        """Nobody waits any more, and nothing is begun."""
        self._waiting.clear()
        self._look_no_more()

    def _look_no_more(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look_at(self, when: float) -> None:
        if self._waiting and self._next is None:
            self._next = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._next = None
        unread = self._unread({each for ahead in self._waiting.values() for each in ahead})
        for client, ahead in list(self._waiting.items()):
            for other, state in list(ahead.items()):
                if other not in self._waiting and self._read_out(other, state, unread=other in unread):
                    del ahead[other]
            if not ahead:
                del self._waiting[client]
                self._begin(client)
        self._look_at(self._loop.now() + TICK_SECONDS)

    def _read_out(self, client: C, state: _Ahead, *, unread: bool) -> bool:
        heard = client.heard - state.since
        if unread:
            state.silent = False
            return heard >= MOST_BYTES
        silent, state.silent = state.silent, True
        return silent or heard < BACKLOG_BYTES


def readable(clients: Iterable[C]) -> set[C]:
    """Those whose kernel has something for this process, be it their end."""
    asked = {client.sock.fileno(): client for client in clients}
    if not asked:
        return set()
    waiting = select.poll()
    for number in asked:
        waiting.register(number, select.POLLIN)
    return {asked[number] for number, _ in waiting.poll(0)}
