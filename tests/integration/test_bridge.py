"""The bridge's network intakes in a real agent: shown, killed under load, restarted; who is hostile gets nothing."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tabard.records import MAX_RECORDS
from tests.integration.bridging import (
    PATIENCE,
    agent,
    free_address,
    journaled,
    place_of,
    report,
    said,
    wait_until,
)
from tests.integration.upping import Started, wait_for_end
from tests.unit.bridge.samples import attributes, framed, record_pickle

HOSTILE = b"cos\nsystem\n(Vtouch %b\ntR."


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


class Load:
    """Says numbered messages by ``say``, which is asked again with the next number when it fails."""

    def __init__(self, say: Callable[[int], None]) -> None:
        self._say = say
        self._stop = threading.Event()
        self.sent = 0
        self.failed = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                self._say(number)
                self.sent += 1
            except OSError:
                self.failed += 1
                self._stop.wait(0.01)
            number += 1
            if number % 50 == 0:
                self._stop.wait(0.005)


@contextlib.contextmanager
def socket_handler(address: str) -> Iterator[Callable[[int], None]]:
    """The standard library's handler, which tries again soon after its agent is gone."""
    handler = logging.handlers.SocketHandler(*place_of(address))
    handler.retryStart = handler.retryMax = 0.05
    log = logging.Logger("load", 1)  # noqa: LOG001 -- of no use to anybody else
    log.addHandler(handler)
    try:
        yield lambda number: log.info("n %d", number)
    finally:
        handler.close()


@contextlib.contextmanager
def stream(family: socket.AddressFamily, where: Any, *, counted: bool) -> Iterator[Callable[[int], None]]:
    """A sender that connects again when it has to, and sends no message twice."""
    held: list[socket.socket] = []

    def say(number: int) -> None:
        if not held:
            sock = socket.socket(family)
            try:
                sock.connect(where)
            except OSError:
                sock.close()
                raise
            held.append(sock)
        body = b"<14>load: n %d" % number
        try:
            held[0].sendall(b"%d %b" % (len(body), body) if counted else body + b"\n")
        except OSError:
            held.pop().close()
            raise

    try:
        yield say
    finally:
        for sock in held:
            sock.close()


@contextlib.contextmanager
def datagrams(family: socket.AddressFamily, where: Any) -> Iterator[Callable[[int], None]]:
    """A sender of datagrams."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:

        def say(number: int) -> None:
            sock.sendto(b"<14>load: n %d" % number, where)

        yield say


def kill(started: Started) -> None:
    """Kill -9, and wait until it is gone."""
    started.signal(signal.SIGKILL)
    started.rest()


@pytest.mark.chaos
@pytest.mark.parametrize(
    "kind",
    ["socket_handler", "syslog_tcp", "syslog_tcp counted", "syslog_udp", "syslog_stream", "syslog_datagram"],
)
def test_killed_and_restarted_under_load_only_what_was_on_its_way_is_lost(home: Path, kind: str) -> None:
    """What was journaled before the kill is there once and in order, and so is all that was sent after the restart.

    What is missing lies between the two: what the kernel held, and what was sent while nobody listened.
    """
    name, _, counted = kind.partition(" ")
    where: Any
    if name in {"syslog_stream", "syslog_datagram"}:
        address = where = str(home.parent / "log")
        family = socket.AF_UNIX
    else:
        udp = name == "syslog_udp"
        address = free_address(socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        where, family = place_of(address), socket.AF_INET
    if name == "socket_handler":
        sender = socket_handler(address)
    elif name in {"syslog_udp", "syslog_datagram"}:
        sender = datagrams(family, where)
    else:
        sender = stream(family, where, counted=bool(counted))
    with contextlib.ExitStack() as stack:
        first = agent(home, **{name: address})
        load = stack.enter_context(Load(stack.enter_context(sender)))
        wait_until(lambda: said(home)["accepted"] > 1_000, "nothing is accepted")
        accepted = said(home)["bridge"][0]["records"]
        at_kill = load.sent
        kill(first)
        between = load.sent
        with agent(home, **{name: address}):
            since = load.sent + load.failed
            wait_until(lambda: said(home)["bridge"][0]["records"] > 1_000, "nothing is accepted any more")
            stack.close()
            last = load.sent
            wait_until(lambda: settled(home), "it does not come to rest")
    numbers = [int(each["message"][2:]) for each in journaled(home) if each["message"].startswith("n ")]
    assert numbers == sorted(set(numbers))
    assert accepted <= at_kill
    assert between <= last
    missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
    if name == "syslog_udp":
        return  # it may drop at any time, and says so itself
    kept = accepted - MAX_RECORDS  # one batch may have waited for company when the status was written
    assert numbers[:kept] == list(range(kept)), "what was accepted is not there"
    if missing:
        assert missing[-1] - missing[0] + 1 == len(missing), "lost in more than one place"
        assert missing[0] >= kept
        assert missing[-1] <= since + 1_000, "lost although the agent ran"


_seen: dict[Path, tuple[int, float]] = {}


def settled(home: Path) -> bool:
    """Whether no record has come in for a second."""
    records, now = said(home)["bridge"][0]["records"], time.monotonic()
    before = _seen.setdefault(home, (records, now))
    if before[0] != records:
        _seen[home] = (records, now)
        return False
    return now - before[1] > 1.0


def test_a_burst_of_five_thousand_through_the_stdlib_s_handler(home: Path) -> None:
    """Stored once and in order, although the agent is told to end as soon as the last was sent."""
    address = free_address()
    with agent(home, socket_handler=address) as started, socket_handler(address) as say:
        for number in range(5_000):
            say(number)
        started.signal(signal.SIGTERM)
        assert started.rest() == 0
    numbers = [int(each["message"][2:]) for each in journaled(home)]
    assert numbers == list(range(5_000))


def test_status_shows_addresses_clients_counts_and_faults(home: Path, tmp_path: Path) -> None:
    """And a hostile pickle has done nothing."""
    address, path = free_address(), str(tmp_path / "log")
    with (
        agent(home, socket_handler=address, syslog_datagram=path),
        socket.create_connection(place_of(address)) as good,
        socket.create_connection(place_of(address)) as bad,
    ):
        good.sendall(framed(record_pickle(attributes(msg="hello"))))
        bad.sendall(framed(HOSTILE % os.fsencode(tmp_path / "touched")))
        bad.settimeout(PATIENCE)
        assert bad.recv(1) == b""
        wait_until(lambda: said(home)["counters"].get("socket_handler hostile") == 1, "it is not counted")
        found = report(home)
    assert not (tmp_path / "touched").exists()
    assert {f"socket_handler tcp {address}", f"syslog_datagram {path}"} <= set(found["intakes"])
    handler, datagram = found["bridge"]
    assert (handler["name"], handler["clients"], handler["records"]) == ("socket_handler", 1, 1)
    assert handler["counted"]["hostile"] == 1
    assert datagram["address"] == path
    assert any("os.system" in fault["what"] for fault in found["faults"])
    (record,) = journaled(home)
    assert (record["message"], record["origin"]) == ("hello", "unauthenticated 127.0.0.1")


def test_an_agent_whose_intake_cannot_listen_does_not_start(home: Path) -> None:
    """It says which setting is meant, and leaves nothing behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Started(home, "agent", "--set", f"intake.syslog_tcp={address}") as started:
            started.wait_for("intake.syslog_tcp")
            wait_for_end(started.process.pid)
        assert started.process.returncode not in {0, None}
