"""Who waits until what was said before has been read."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

import pytest

from tabard.agents.intake.bridge.turns import BACKLOG_BYTES, MOST_BYTES, TICK_SECONDS, Turns, readable
from tests.unit.intake.fakes import FakeLoop


class Client:
    """Has something unread, or not."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        self.sock = sock or socket.socket()
        self.heard = 0
        self.unread = False

    def read(self, size: int, *, more: bool) -> None:
        """It was read; there is more, or not."""
        self.heard += size
        self.unread = more


class Rig:
    """Three clients, and which of them have begun, in order."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.old, self.new, self.newest = self.clients = [Client() for _ in range(3)]
        self.begun: list[Client] = []
        self.turns: Turns[Client] = Turns(self.loop, self.unread, self.begun.append)

    @staticmethod
    def unread(clients: Iterable[Client]) -> set[Client]:
        """Those that have something."""
        return {client for client in clients if client.unread}

    def tick(self, count: int = 1) -> None:
        """So many looks."""
        for _ in range(count):
            self.loop.advance(TICK_SECONDS)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """The sockets are closed at the end."""
    made = Rig()
    yield made
    for client in made.clients:
        client.sock.close()


def test_a_new_one_waits_for_the_end_of_an_old_one(rig: Rig) -> None:
    """However long that takes; then it begins at once."""
    rig.old.unread = True
    rig.turns.add(rig.new, [rig.old])
    rig.tick(100)
    assert not rig.begun
    assert rig.new in rig.turns
    rig.turns.forget(rig.old)
    rig.loop.advance(0)
    assert rig.begun == [rig.new]


def test_a_backlog_ends_with_a_short_silence(rig: Rig) -> None:
    """The sender's kernel may hold more, which comes a moment after there is room."""
    rig.old.unread = True
    rig.turns.add(rig.new, [rig.old])
    rig.tick()
    rig.old.read(BACKLOG_BYTES, more=False)
    rig.tick()
    assert not rig.begun
    rig.old.unread = True
    rig.tick()
    rig.old.read(1, more=False)
    rig.tick()
    assert not rig.begun
    rig.tick()
    assert rig.begun == [rig.new]


def test_one_that_speaks_now_and_then_is_not_waited_for_longer_than_its_word(rig: Rig) -> None:
    """What it says next is new."""
    rig.old.unread = True
    rig.turns.add(rig.new, [rig.old])
    rig.old.read(500, more=False)
    rig.tick()
    assert rig.begun == [rig.new]


def test_one_that_never_stops_is_not_waited_for_for_ever(rig: Rig) -> None:
    """Beyond what kernels hold all it says is new."""
    rig.old.unread = True
    rig.turns.add(rig.new, [rig.old])
    rig.old.read(MOST_BYTES - 1, more=True)
    rig.tick()
    assert not rig.begun
    rig.old.read(1, more=True)
    rig.tick()
    assert rig.begun == [rig.new]


def test_one_after_the_other_also_when_the_first_of_them_is_silent(rig: Rig) -> None:
    """Who waits is waited for; who has nothing to say keeps nobody."""
    rig.old.unread = True
    rig.turns.add(rig.new, [rig.old])
    rig.turns.add(rig.newest, [rig.new])
    rig.tick(3)
    assert not rig.begun
    rig.turns.forget(rig.old)
    rig.loop.advance(0)
    assert rig.begun == [rig.new, rig.newest]


def test_who_has_ended_or_was_told_to_stop_does_not_begin(rig: Rig) -> None:
    """And who waited for it begins."""
    rig.old.unread = True
    rig.turns.add(rig.new, [rig.old])
    rig.turns.add(rig.newest, [rig.new])
    rig.turns.forget(rig.new)
    rig.loop.advance(0)
    assert rig.begun == [rig.newest]
    rig.turns.add(rig.new, [rig.old])
    rig.turns.clear()
    rig.turns.forget(rig.old)
    rig.tick(3)
    assert rig.begun == [rig.newest]


def test_an_end_is_something_to_be_read() -> None:
    """So are bytes; a silent client has nothing."""
    pairs = [socket.socketpair() for _ in range(3)]
    clients = [Client(ours) for ours, _ in pairs]
    pairs[0][1].close()
    pairs[1][1].sendall(b"x")
    assert readable(clients) == set(clients[:2])
    assert readable([]) == set()
    for sockets in pairs:
        for sock in sockets:
            sock.close()
