"""Senders of numbered messages to a real agent, each of which goes on when its agent is gone."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tests.integration.bridging import place_of, said
from tests.integration.upping import Started


class Load:
    """Says numbered messages by ``say``, which is asked again with the next number when it fails."""

    def __init__(self, say: Callable[[int], None]) -> None:
        self._say = say
        self._stop = threading.Event()
        self.sent = 0
        self.failed: list[int] = []
        """Numbers that could not be said."""
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
                self.failed.append(number)
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
    """A sender that looks whether it is still connected, connects again when it has to, and sends no message twice."""
    held: list[socket.socket] = []

    def say(number: int) -> None:
        if held and select.select(held, [], [], 0)[0]:
            held.pop().close()
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


_seen: dict[Path, tuple[int, float]] = {}


def settled(home: Path) -> bool:
    """Whether no record has come in for a second of the agent's life: it has said so that much later."""
    at = (home / "run/agent.json").stat().st_mtime
    records = said(home)["bridge"][0]["records"]
    before = _seen.setdefault(home, (records, at))
    if before[0] != records:
        _seen[home] = (records, at)
        return False
    return at - before[1] > 1.0
