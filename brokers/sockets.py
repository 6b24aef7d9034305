"""Every ZeroMQ socket of Tabard is made here, so that all have the same profile.

The values were measured: a backlog of 1,024 lets 400 peers reconnect in 0.04 s instead of 1.5 s; without
heartbeats a frozen peer goes unnoticed; libzmq's own reconnect jitter is small, so the base is random. A TCP endpoint is only ever bound or dialled
with keys (see `guard`), also on loopback: both ends of an ssh tunnel are ports that every local user reaches.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import zmq

from tabard.brokers import subscriptions
from tabard.brokers.guard import Guard
from tabard.brokers.keyring import Keyring
from tabard.brokers.loop import Loop
from tabard.brokers.trust.certificates import Certificate
from tabard.errors import RefusedError, TabardError

LINGER_MS: Final = 500
BACKLOG: Final = 1024
RECONNECT_MS: Final = 250
RECONNECT_MOST_MS: Final = 5000
HEARTBEAT_MS: Final = 500
HEARTBEAT_TIMEOUT_MS: Final = 1500
HANDSHAKE_MS: Final = 5000
"""Who has not shaken hands by then is given up, and tried again: a frozen broker, a tunnel that leads nowhere, a stranger."""
SUBSCRIPTIONS_HWM: Final = 100_000
"""High-water mark of sockets that send subscriptions: beyond it they would be lost silently."""
HEARD_HWM: Final = 1_000
"""High-water mark of sockets that hear subscriptions: libzmq keeps so many before anybody has looked at them.
Beyond it peers wait, and nothing is lost."""
_NOW: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
"""As numbers: joining pyzmq's names for them anew for each frame takes longer than sending it."""


class Sockets:
    """Makes sockets of one ZeroMQ context with the common profile, and closes them all.

    Args:
        hwm: messages queued for each connection.
        max_frame: bytes of one frame.
        keys: those of the role, and the loop in which connections are watched; None: the home has none, and every TCP
            endpoint is refused.
    """

    def __init__(
        self,
        *,
        hwm: int = 4000,
        max_frame: int = 2 * 1024 * 1024,
        keys: tuple[Keyring, Loop] | None = None,
    ) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._hwm = hwm
        self._max_frame = max_frame
        self._made: list[zmq.Socket[bytes]] = []
        self._guard = Guard(self._context, keys[1], keys[0]) if keys else None

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

    def bind(self, sock: zmq.Socket[bytes], endpoint: str, end: str) -> None:
        """Bind one of the `rights.WHO`: an ipc endpoint only in a directory of this user alone, a TCP one with keys.

        Raises:
            TabardError: the address is taken, malformed, or a directory that others can enter.
            RefusedError: TCP, and this home has no key for the role.
        """
        if not _is_tcp(endpoint):
            _bind(sock, endpoint)
            return
        guard = self._guarded(endpoint)
        guard.serve(sock, endpoint, end)
        _bind(sock, endpoint)
        guard.served(sock, endpoint, end)

    def connect(self, sock: zmq.Socket[bytes], endpoint: str) -> None:
        """Connect; the peer need not be there yet.

        Raises:
            TabardError: a malformed endpoint.
            RefusedError: TCP, and this home has no key for the role, or knows no broker that could be there.
        """
        try:
            if _is_tcp(endpoint):
                self._guarded(endpoint).dial(sock, endpoint)
            else:
                # By the bytes that the file system knows: in a locale that is not UTF-8 the text would name another path.
                sock.connect(os.fsencode(endpoint))  # type: ignore[arg-type]  # takes bytes as well
        except zmq.ZMQError as error:
            raise TabardError(
                "cannot connect", expected="tcp://HOST:PORT or ipc://PATH", found=str(error), where=endpoint
            ) from error

    def disconnect(self, sock: zmq.Socket[bytes], endpoint: str) -> None:
        """Let go of an endpoint that was connected to, and drop what waits for it."""
        if self._guard is not None:
            self._guard.hang_up(sock, endpoint)
        with contextlib.suppress(zmq.ZMQError):  # it is not connected to: that is what was wanted
            sock.disconnect(os.fsencode(endpoint))

    def _guarded(self, endpoint: str) -> Guard:
        if self._guard is None:
            raise RefusedError(
                "TCP without keys",
                expected="keys in this home: whoever reaches a TCP port, on loopback too, could read and write there",
                found="none",
                where=endpoint,
                hint="Make them: tabard init. Or take in the file that was made for this host: tabard join FILE",
            )
        return self._guard

    def peer(self, user: str) -> Certificate | None:
        """Whose connection it is by the `User-Id` of what came; None: of somebody who has no say any more."""
        return self._guard.peer(user) if self._guard else None

    def dialled(self, sock: zmq.Socket[bytes]) -> Certificate | None:
        """Whom a socket that dials one broker only is connected to; None without keys."""
        return self._guard.dialled(sock) if self._guard else None

    def changes(self, sock: zmq.Socket[bytes]) -> int:
        """How often connections that a socket dials came up or went: numbers of before do not go with those of after.

        0 of unix sockets: of these a connection goes with one of the two processes.
        """
        return self._guard.changes(sock) if self._guard else 0

    def look(self) -> None:
        """See at once who may connect, and who is to be cut off: rosters have changed."""
        if self._guard is not None:
            self._guard.look()

    def told(self, status: Mapping[str, Any]) -> dict[str, Any]:
        """A role's status with what its keys did: each TCP connection that it opens, and among the counters who was refused.

        Of a connection: where to (``end``), to which ``broker`` of which ``zone`` by which ``key`` (hexadecimal id), its
        ``state`` in words, and whether that is a ``fault``.
        """
        if self._guard is None:
            return {**status, "connections": []}
        return {
            **status,
            "connections": self._guard.status(),
            "counters": {**status.get("counters", {}), **self._guard.counters},
        }

    def close_one(self, sock: zmq.Socket[bytes]) -> None:
        """Close a socket before the others, at once."""
        self._made.remove(sock)
        if self._guard is not None:
            self._guard.forget(sock)
        sock.close(linger=0)

    def close(self) -> None:
        """Close all sockets (each within its linger) and the context."""
        if self._guard is not None:
            self._guard.close()
        for sock in self._made:
            sock.close()
        self._context.term()

    def _make(self, kind: int) -> zmq.Socket[bytes]:
        try:
            sock = self._context.socket(kind)
        except zmq.ZMQError as error:
            raise TabardError(
                "no socket can be made", expected="free descriptors", found=str(error)
            ) from error
        self._made.append(sock)
        options = {
            zmq.LINGER: LINGER_MS,
            zmq.IPV6: 1,
            zmq.BACKLOG: BACKLOG,
            zmq.RECONNECT_IVL: RECONNECT_MS // 2 + random.randrange(RECONNECT_MS),
            zmq.RECONNECT_IVL_MAX: RECONNECT_MOST_MS,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.HEARTBEAT_IVL: HEARTBEAT_MS,
            zmq.HEARTBEAT_TIMEOUT: HEARTBEAT_TIMEOUT_MS,
            zmq.MAXMSGSIZE: self._max_frame,
            zmq.SNDHWM: self._hwm,
            zmq.RCVHWM: self._hwm,
        }
        for option, value in options.items():
            sock.setsockopt(option, value)
        return sock


def _is_tcp(endpoint: str) -> bool:
    return endpoint.startswith("tcp://")


def _bind(sock: zmq.Socket[bytes], endpoint: str) -> None:
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


def receive(sock: zmq.Socket[bytes]) -> list[bytes] | None:
    """The next message's frames, None when there is none now."""
    try:
        first = sock.recv(_NOW, copy=False)
    except zmq.Again:
        return None
    return _with_rest(sock, first)


def receive_known(sock: zmq.Socket[bytes]) -> tuple[list[bytes], str | None] | None:
    """The next message's frames with the `User-Id` of its connection, None for that where the peer was dialled."""
    try:
        first = sock.recv(_NOW, copy=False)
    except zmq.Again:
        return None
    frames = _with_rest(sock, first)
    try:
        return frames, str(first.get("User-Id"))
    except zmq.ZMQError:
        return frames, None


def _with_rest(sock: zmq.Socket[bytes], frame: zmq.Frame) -> list[bytes]:
    """A message from its first frame on. A frame says itself whether one follows, for less than the socket does."""
    frames = [frame.bytes]
    while frame.more:
        frame = sock.recv(_NOW, copy=False)
        frames.append(frame.bytes)
    return frames


def send(sock: zmq.Socket[bytes], frames: tuple[bytes, ...] | list[bytes]) -> None:
    """Send without waiting; a PUB or XPUB socket drops what exceeds its high-water mark, which credit prevents."""
    *before, last = frames
    with contextlib.suppress(zmq.Again):
        for frame in before:
            sock.send(frame, _MORE)
        sock.send(last, _NOW)


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
