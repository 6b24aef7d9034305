"""Every ZeroMQ socket of Tabard is made here, so that all have the same profile.

The values were measured: a backlog of 1,024 lets 400 peers reconnect in 0.04 s instead of 1.5 s; without
heartbeats a frozen peer goes unnoticed; libzmq's own reconnect jitter is small, so the base is random.
"""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Final

import zmq

from tabard.brokers import subscriptions
from tabard.errors import TabardError

LINGER_MS: Final = 500
BACKLOG: Final = 1024
RECONNECT_MS: Final = 250
RECONNECT_MOST_MS: Final = 5000
HEARTBEAT_MS: Final = 500
HEARTBEAT_TIMEOUT_MS: Final = 1500
SUBSCRIPTIONS_HWM: Final = 100_000
"""High-water mark of sockets that send subscriptions: beyond it they would be lost silently."""
HEARD_HWM: Final = 1_000
"""High-water mark of sockets that hear subscriptions: libzmq keeps so many before anybody has looked at them.
Beyond it peers wait, and nothing is lost."""


class Sockets:
    """Makes sockets of one ZeroMQ context with the common profile, and closes them all."""

    def __init__(self, *, hwm: int = 4000, max_frame: int = 2 * 1024 * 1024) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._hwm = hwm
        self._max_frame = max_frame
        self._made: list[zmq.Socket[bytes]] = []

    def publisher(self) -> zmq.Socket[bytes]:
        """A PUB socket."""
        sock = self._make(zmq.PUB)
        sock.setsockopt(zmq.MAXMSGSIZE, subscriptions.MAX_BYTES)
        return sock

    def subscriber(self) -> zmq.Socket[bytes]:
        """A SUB socket without subscriptions."""
        return self._make(zmq.SUB)

    def forward_in(self) -> zmq.Socket[bytes]:
        """An XSUB socket: what a broker receives from."""
        sock = self._make(zmq.XSUB)
        sock.setsockopt(zmq.SNDHWM, SUBSCRIPTIONS_HWM)
        return sock

    def forward_out(self) -> zmq.Socket[bytes]:
        """An XPUB socket: what a broker sends to. Every subscription is heard, and only what is taken counts."""
        sock = self._make(zmq.XPUB)
        sock.setsockopt(zmq.RCVHWM, HEARD_HWM)
        sock.setsockopt(zmq.XPUB_MANUAL, 1)
        sock.setsockopt(zmq.MAXMSGSIZE, subscriptions.MAX_BYTES)
        return sock

    def close_one(self, sock: zmq.Socket[bytes]) -> None:
        """Close a socket before the others, at once."""
        self._made.remove(sock)
        sock.close(linger=0)

    def close(self) -> None:
        """Close all sockets (each within its linger) and the context."""
        for sock in self._made:
            sock.close()
        self._context.term()

    def _make(self, kind: int) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        self._made.append(sock)
        options = {
            zmq.LINGER: LINGER_MS,
            zmq.IPV6: 1,
            zmq.BACKLOG: BACKLOG,
            zmq.RECONNECT_IVL: RECONNECT_MS // 2 + random.randrange(RECONNECT_MS),
            zmq.RECONNECT_IVL_MAX: RECONNECT_MOST_MS,
            zmq.HEARTBEAT_IVL: HEARTBEAT_MS,
            zmq.HEARTBEAT_TIMEOUT: HEARTBEAT_TIMEOUT_MS,
            zmq.MAXMSGSIZE: self._max_frame,
            zmq.SNDHWM: self._hwm,
            zmq.RCVHWM: self._hwm,
        }
        for option, value in options.items():
            sock.setsockopt(option, value)
        return sock


def bind(sock: zmq.Socket[bytes], endpoint: str) -> None:
    """Bind, an ipc endpoint only in a directory of this user alone.

    Raises:
        TabardError: the address is taken, malformed, or a directory that others can enter.
    """
    if endpoint.startswith("ipc://"):
        path = Path(endpoint.removeprefix("ipc://"))
        if not path.is_absolute():  # "@name" lies in no directory: every user of the host could connect
            raise TabardError(
                "cannot bind", expected="ipc:// and an absolute path", found=repr(str(path)), where=endpoint
            )
        _check_private(path.parent)
    try:
        # By the bytes that the file system knows: in a locale that is not UTF-8 the text would name another path.
        sock.bind(os.fsencode(endpoint))  # type: ignore[arg-type]  # takes bytes as well
    except zmq.ZMQError as error:
        hint = (
            "Another process uses it: choose another port, or end that process"
            if error.errno == zmq.EADDRINUSE
            else None
        )
        raise TabardError(
            "cannot bind", expected="a free address", found=str(error), where=endpoint, hint=hint
        ) from error


def connect(sock: zmq.Socket[bytes], endpoint: str) -> None:
    """Connect; the peer need not be there yet.

    Raises:
        TabardError: a malformed endpoint.
    """
    try:
        sock.connect(os.fsencode(endpoint))  # type: ignore[arg-type]  # takes bytes as well
    except zmq.ZMQError as error:
        raise TabardError(
            "cannot connect", expected="tcp://HOST:PORT or ipc://PATH", found=str(error), where=endpoint
        ) from error


def disconnect(sock: zmq.Socket[bytes], endpoint: str) -> None:
    """Let go of an endpoint that was connected to, and drop what waits for it."""
    with contextlib.suppress(zmq.ZMQError):  # it is not connected to: that is what was wanted
        sock.disconnect(os.fsencode(endpoint))


def receive(sock: zmq.Socket[bytes]) -> list[bytes] | None:
    """The next message's frames, None when there is none now."""
    try:
        return sock.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None


def send(sock: zmq.Socket[bytes], frames: tuple[bytes, ...] | list[bytes]) -> None:
    """Send without waiting; a PUB or XPUB socket drops what exceeds its high-water mark, which credit prevents."""
    with contextlib.suppress(zmq.Again):
        sock.send_multipart(frames, zmq.NOBLOCK, copy=True)


def _check_private(directory: Path) -> None:
    try:
        state = os.stat(directory)
    except OSError as error:
        raise TabardError(
            "no directory for a socket", expected="a directory", found=str(error), where=str(directory)
        ) from error
    if state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise TabardError(
            "a directory for sockets that others can enter",
            expected=f"mode 0700, owned by uid {os.geteuid()}",
            found=f"mode {state.st_mode & 0o777:04o}, uid {state.st_uid}",
            where=str(directory),
            hint="chmod 700 it",
        )
