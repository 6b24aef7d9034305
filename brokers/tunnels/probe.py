"""Asks through a forward whether something answers at its far end, and keeps that connection to see it end.

A broker greets whoever connects before it is asked: ten bytes of ZMTP, 0xFF first and 0x7F last, with and without
CURVE. What ssh itself takes, and what the far end cannot hand on, never says that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Final

from tabard.brokers.loop import Loop, Timer
from tabard.brokers.tunnels.core import Verdict

LONGEST: Final = 4.0
"""Seconds within which an answer has to come."""
GREETING: Final = 10
"""Bytes that tell a peer of ZMTP."""
HELD_OPEN: Final = 1.0
"""Seconds that a connection has to stay open where nothing is said first."""
_WAITING: Final = frozenset({0, errno.EINPROGRESS, errno.EAGAIN})

Address = str | tuple[str, int]
"""A unix socket's path, or host and port."""
Judge = Callable[[Verdict, str, float | None], None]


class Probe:
    """One connection. Calls `judge` once, and after an answer `lost` when the connection ends by itself."""

    def __init__(
        self, loop: Loop, address: Address, *, answer: str, judge: Judge, lost: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._answer = answer
        """``broker``, ``greeting`` or ``any``, as the settings have it."""
        self._judge = judge
        self._lost = lost
        self._heard = b""
        self._judged = False
        self._began = loop.now()
        self._timer: Timer | None = None
        self._socket: socket.socket | None = None
        # From the loop, so that nobody is called back before he knows of this.
        self._first = loop.call_at(0.0, lambda: self._connect(address))

    def close(self) -> None:
        """Say nothing any more."""
        self._first.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _connect(self, address: Address) -> None:
        try:
            family, place = _place(address)
            sock = self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            number = sock.connect_ex(place)
        except OSError as error:
            self._say(Verdict.REFUSED, error.strerror or str(error))
            return
        if number not in _WAITING:
            self._say(Verdict.REFUSED, os.strerror(number))
            return
        self._timer = self._loop.call_at(self._loop.now() + LONGEST, self._too_late)
        self._loop.add_writer(sock.fileno(), self._connected)

    def _connected(self) -> None:
        assert self._socket is not None
        self._loop.remove_writer(self._socket.fileno())
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._say(Verdict.REFUSED, os.strerror(number))
            return
        self._loop.add_reader(self._socket.fileno(), self._read)
        if self._answer == "any" and self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._loop.now() + HELD_OPEN, self._answered)

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if self._judged:
                self.close()
                self._lost()
            else:
                self._say(Verdict.CLOSED, "the connection is closed at once: nothing is behind it")
            return
        if self._judged:
            return
        if self._answer != "broker":
            self._answered()
            return
        self._heard += data
        if not _may_be_greeting(self._heard):
            self._say(
                Verdict.STRANGE,
                f"what is behind it is no broker: it says {self._heard[:40]!r}, not ZMTP's greeting",
            )
        elif len(self._heard) >= GREETING:
            self._answered()

    def _answered(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._judged = True
        self._judge(Verdict.ANSWERS, "", self._loop.now() - self._began)

    def _too_late(self) -> None:
        self._say(Verdict.SILENT, f"no answer within {LONGEST:.0f} s: the far end is frozen, or cut off")

    def _say(self, verdict: Verdict, why: str) -> None:
        self.close()
        self._judge(verdict, why, None)


def _may_be_greeting(heard: bytes) -> bool:
    return heard[:1] == b"\xff" and heard[GREETING - 1 : GREETING] in {b"", b"\x7f"}


def _place(address: Address) -> tuple[int, str | tuple[str, int]]:
    if isinstance(address, str):
        return socket.AF_UNIX, address
    host, port = address
    with contextlib.suppress(OSError):
        socket.inet_pton(socket.AF_INET, host)
        return socket.AF_INET, (host, port)
    family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, (str(place[0]), int(place[1]))
