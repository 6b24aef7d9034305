"""The loop calls back for what is ready and due, in order, and neither starves nor sleeps through anything."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import zmq

from tabard.brokers.loop import Loop
from tabard.brokers.sockets import Sockets, receive

AGES = 60.0
"""Seconds of a wait that must end by what happens, not by itself; pytest's own limit ends a hang."""


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop that is closed at the end."""
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection that do not block."""
    one, two = socket.socketpair()
    one.setblocking(False)
    two.setblocking(False)
    with one, two:
        yield one, two


@pytest.fixture
def lane() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """A publisher and a subscriber that is known to it."""
    made = Sockets()
    publisher, subscriber = made.forward_out(), made.subscriber()
    publisher.bind("inproc://lane")
    subscriber.subscribe(b"")
    subscriber.connect("inproc://lane")
    assert publisher.recv() == b"\x01"
    publisher.setsockopt(zmq.SUBSCRIBE, b"")
    yield publisher, subscriber
    made.close()


# --- descriptors -------------------------------------------------------------------------------


def test_a_reader_is_called_until_nothing_is_left(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Level-triggered: what was not read is called for again."""
    heard: list[bytes] = []

    def read() -> None:
        heard.append(pair[0].recv(1))
        if len(heard) == 3:
            loop.stop()

    loop.add_reader(pair[0].fileno(), read)
    pair[1].send(b"abc")
    loop.run()
    assert heard == [b"a", b"b", b"c"]


def test_a_reader_hears_of_the_end(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """The peer hung up: reading gives nothing."""
    heard: list[bytes] = []

    def read() -> None:
        heard.append(pair[0].recv(1))
        loop.stop()

    loop.add_reader(pair[0].fileno(), read)
    pair[1].close()
    loop.run()
    assert heard == [b""]


def test_reader_and_writer_of_one_descriptor(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """Each is added and removed without the other."""
    calls: list[str] = []
    fd = pair[0].fileno()
    loop.add_writer(fd, lambda: calls.append("write"))
    loop.turn(AGES)
    assert calls == ["write"]
    loop.add_reader(fd, lambda: calls.append("read"))
    pair[1].send(b"x")
    loop.turn(AGES)
    assert calls == ["write", "read", "write"]
    loop.remove_writer(fd)
    loop.turn(AGES)
    assert calls[3:] == ["read"]
    loop.remove_reader(fd)
    loop.turn(0)
    assert calls[4:] == []
    loop.add_writer(fd, lambda: calls.append("again"))
    loop.turn(AGES)
    assert calls[4:] == ["again"]


def test_what_was_removed_in_a_turn_is_not_called_in_it(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Two are ready; the first removes both and closes."""
    calls: list[int] = []

    def read(own: int) -> Callable[[], None]:
        def callback() -> None:
            calls.append(own)
            for end in pair:
                loop.remove_reader(end.fileno())
                loop.remove_writer(end.fileno())
            for end in pair:
                end.close()

        return callback

    for number, end in enumerate(pair):
        loop.add_reader(end.fileno(), read(number))
        loop.add_writer(end.fileno(), read(number))
        end.send(b"x")
    loop.turn(AGES)
    assert len(calls) == 1


def test_unknown_and_closed_descriptors_are_removed_in_silence(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Whoever cleans up need not know what was registered."""
    loop.remove_reader(12345)
    loop.remove_writer(12345)
    fd = pair[0].fileno()
    loop.add_reader(fd, lambda: None)
    pair[0].close()
    loop.remove_reader(fd)
    loop.turn(0)


# --- timers ------------------------------------------------------------------------------------


def test_timers_are_called_by_time_and_then_by_order(loop: Loop) -> None:
    """Whatever order they were set in."""
    calls: list[str] = []
    now = loop.now()
    for name, when in (("d", now), ("b", now - 2), ("c", now - 2), ("a", now - 3)):
        loop.call_at(when, lambda name=name: calls.append(name))  # type: ignore[misc]
    loop.turn(0)
    assert calls == ["a", "b", "c", "d"]
    loop.turn(0)
    assert len(calls) == 4


def test_a_timer_that_is_not_due_waits(loop: Loop) -> None:
    """And its time ends a wait that has no other end."""
    calls: list[str] = []
    loop.call_at(loop.now() + 3600, lambda: calls.append("late"))
    loop.turn(0)
    assert calls == []
    loop.call_at(loop.now() + 0.01, lambda: calls.append("soon"))
    while not calls:
        loop.turn(AGES)
    assert calls == ["soon"]


def test_a_cancelled_timer_is_not_called(loop: Loop) -> None:
    """Also when one that is due in the same turn takes it back."""
    calls: list[str] = []
    before = loop.call_at(loop.now() - 3, lambda: calls.append("before"))
    before.cancel()
    loop.call_at(loop.now() - 2, lambda: later.cancel())  # noqa: PLW0108 -- it is made below
    later = loop.call_at(loop.now() - 1, lambda: calls.append("later"))
    loop.turn(0)
    assert calls == []


def test_what_asks_for_itself_again_starves_nobody(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A call for the next turn is in the next turn: readers come in between."""
    calls: list[str] = []

    def again() -> None:
        calls.append("again")
        assert len(calls) < 100
        loop.call_soon(again)

    loop.call_soon(again)
    loop.turn(AGES)
    assert calls == ["again"]
    loop.add_reader(pair[0].fileno(), loop.stop)
    pair[1].send(b"x")
    loop.run()


def test_every_interval_for_as_long_as_it_runs(loop: Loop) -> None:
    """Not at once, and again although it fails to be quick."""
    calls: list[float] = []
    loop.every(0.005, lambda: calls.append(loop.now()))
    loop.turn(0)
    assert calls == []
    while len(calls) < 3:
        loop.turn(AGES)


# --- threads and signals -----------------------------------------------------------------------


def test_another_thread_ends_the_wait(loop: Loop) -> None:
    """Every call arrives, in the loop's own thread."""
    calls: list[int] = []
    threads: set[int] = set()
    total = 2_000

    def callback(number: int) -> None:
        threads.add(threading.get_ident())
        calls.append(number)
        if len(calls) == 2 * total:
            loop.stop()

    def ask(start: int) -> None:
        for number in range(start, start + total):
            loop.call_soon(lambda number=number: callback(number))  # type: ignore[misc]

    others = [threading.Thread(target=ask, args=(start,)) for start in (0, total)]
    for other in others:
        other.start()
    loop.run()
    for other in others:
        other.join()
    assert sorted(calls) == list(range(2 * total))
    assert threads == {threading.get_ident()}


def test_a_signal_ends_the_wait(loop: Loop) -> None:
    """Its callback runs in a turn, where it may do anything."""
    calls: list[str] = []
    loop.on_signal(signal.SIGUSR1, lambda: calls.append("usr1"))
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    while not calls:
        loop.turn(AGES)
    assert calls == ["usr1"]


def test_signals_before_the_loop_runs_are_not_forgotten(loop: Loop) -> None:
    """Each of them is called for, in order."""
    calls: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        loop.on_signal(number, lambda number=number: calls.append(number))  # type: ignore[misc]
    for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
        signal.raise_signal(number)
    assert calls == []
    loop.turn(AGES)
    assert calls == [signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2]


def test_closing_gives_signals_back() -> None:
    """What handled them before handles them again."""
    calls: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, _frame: calls.append(number))
    try:
        loop = Loop()
        loop.on_signal(signal.SIGUSR1, loop.stop)
        loop.close()
        signal.raise_signal(signal.SIGUSR1)
        assert calls == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, old)


# --- ZeroMQ ------------------------------------------------------------------------------------


@pytest.mark.parametrize("burst", [1, 7, 10_000])
def test_messages_that_were_there_before_the_callback_are_heard(
    loop: Loop, lane: tuple[zmq.Socket[bytes], zmq.Socket[bytes]], burst: int
) -> None:
    """The descriptor told of them once, long ago; a callback that takes only some is called again."""
    publisher, subscriber = lane
    count = 3_000
    for number in range(count):
        publisher.send(b"%d" % number)
    assert subscriber.poll(1000)
    assert subscriber.getsockopt(zmq.EVENTS)  # takes the edge away
    heard: list[bytes] = []

    def take() -> None:
        for _ in range(burst):
            frames = receive(subscriber)
            if frames is None:
                return
            heard.extend(frames)
            if len(heard) == count:
                loop.stop()
                return

    loop.add_socket(subscriber, take)
    loop.run()
    assert heard == [b"%d" % number for number in range(count)]


def test_a_message_sent_from_within_the_loop_is_heard(
    loop: Loop, lane: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]
) -> None:
    """A hundred times: what is heard causes the next, so that one edge missed would end it."""
    publisher, subscriber = lane
    heard: list[bytes] = []

    def take() -> None:
        heard.append(subscriber.recv())
        if len(heard) == 100:
            loop.stop()
        else:
            loop.call_soon(lambda: publisher.send(b"%d" % len(heard)))

    loop.add_socket(subscriber, take)
    loop.call_soon(lambda: publisher.send(b"0"))
    loop.run()
    assert heard[-1] == b"99"


def test_a_socket_that_another_ones_callback_closed_is_called_no_more(loop: Loop) -> None:
    """Both have a message in the same turn; one of the two callbacks runs, and the turns go on without the other."""
    made = Sockets()
    publisher = made.forward_out()
    publisher.bind("inproc://lane")
    subscribers = [made.subscriber(), made.subscriber()]
    for subscriber in subscribers:
        subscriber.subscribe(b"")
        subscriber.connect("inproc://lane")
        assert publisher.recv() == b"\x01"
        publisher.setsockopt(zmq.SUBSCRIBE, b"")
    publisher.send(b"one")
    assert all(subscriber.poll(20_000) for subscriber in subscribers)
    called: list[int] = []

    def take(number: int) -> None:
        other = subscribers[1 - number]
        loop.remove_socket(other)
        made.close_one(other)
        called.append(number)
        receive(subscribers[number])

    for number, subscriber in enumerate(subscribers):
        loop.add_socket(subscriber, partial(take, number))
    loop.turn(0.0)
    loop.turn(0.0)
    assert len(called) == 1
    loop.remove_socket(subscribers[called[0]])
    loop.turn(0.0)
    made.close()


def test_a_busy_socket_starves_no_one(
    loop: Loop, lane: tuple[zmq.Socket[bytes], zmq.Socket[bytes]], pair: tuple[socket.socket, socket.socket]
) -> None:
    """Messages without end on one; timers, readers, signals and the other thread have their turn."""
    publisher, subscriber = lane
    seen: set[str] = set()

    def note(name: str) -> Callable[[], None]:
        def callback() -> None:
            seen.add(name)
            if len(seen) == 4:
                loop.stop()

        return callback

    def endless() -> None:
        subscriber.recv()
        publisher.send(b"more")

    loop.add_socket(subscriber, endless)
    publisher.send(b"first")
    loop.call_at(loop.now() + 0.01, note("timer"))
    loop.add_reader(pair[0].fileno(), note("reader"))
    pair[1].send(b"x")
    loop.on_signal(signal.SIGUSR1, note("signal"))
    signal.raise_signal(signal.SIGUSR1)
    other = threading.Thread(target=loop.call_soon, args=(note("thread"),))
    other.start()
    loop.run()
    other.join()
    assert seen == {"timer", "reader", "signal", "thread"}
