"""The sockets the intake listens on, and who is at the other end of a connection."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from typing import Any, Final, NamedTuple

from tabard.agents.samplers.users import Users
from tabard.errors import IntakeError

_BACKLOG: Final = 1_024
_CREDENTIALS: Final = struct.Struct("3i")


class Peer(NamedTuple):
    """Who is connected."""

    key: str
    """Distinguishes the source ids of peers that do not trust one another."""
    origin: str
    """What readers of its records are shown."""


class UnixAddress:
    """A path that is listened at, in place of a socket that a dead agent left there; by default for this user only."""

    def __init__(self, path: str, mode: int = 0o600) -> None:
        self.path: Final = path
        self._mode = mode
        self._identity: tuple[int, int] | None = None
        self.listener: socket.socket | None = None

    def listen(self) -> socket.socket:
        """Listen. Raises IntakeError as `listen_unix`."""
        self.listener = listen_unix(self.path, self._mode)
        self._identity = _identity(self.path)
        return self.listener

    @property
    def removed(self) -> bool:
        """Whether somebody removed the socket that was there: nobody could connect."""
        return self._identity is not None and _identity(self.path) != self._identity

    def remove(self) -> None:
        """Remove the socket, if it is the one that was made."""
        if self._identity is not None and not self.removed:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        state = os.lstat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


def listen_unix(path: str, mode: int = 0o600) -> socket.socket:
    """Listen at ``path``, for those whom ``mode`` allows, in place of a socket that a dead agent left there.

    The caller holds the agent's lock: a socket found there belongs to nobody.

    Raises:
        IntakeError: something that is no socket is in the way, or the directory does not allow it.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        before = os.umask(0o777 & ~mode)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise IntakeError(
            "cannot listen on the intake socket",
            expected="a directory this user may write to, with a short path",
            found=error.strerror or str(error),
            where=path,
            hint="Check the home directory, or choose another with --home",
        ) from error
    except IntakeError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise IntakeError(
            "something is in the way of the intake socket",
            expected="nothing, or a socket",
            found=stat.filemode(mode),
            where=path,
            hint="Move it away and start the agent again",
        )
    os.unlink(path)


def listen_tcp(address: str, setting: str = "intake.tcp") -> socket.socket:
    """Listen at ``address`` of ``setting``, "host:port" or "[v6 host]:port"; port 0 takes a free one.

    Raises:
        IntakeError: the address is malformed, unknown or taken.
    """
    host, _, port = address.rpartition(":")
    try:
        number = int(port)
        if not 0 <= number <= 65_535:  # getaddrinfo would take it modulo 65,536
            raise ValueError("port out of range")  # noqa: TRY301 -- one place says what is wrong
        family, kind, proto, _, target = socket.getaddrinfo(
            None if host == "*" else host.strip("[]"),
            number,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        listener = socket.socket(family, kind, proto)
    except (ValueError, OSError) as error:
        raise unusable(address, setting, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise unusable(address, setting, error) from error
    listener.setblocking(False)
    return listener


def unusable(address: str, setting: str, error: Exception) -> IntakeError:
    """The error for an ``address`` of ``setting`` that the system refused."""
    return IntakeError(
        "cannot listen for records",
        expected="a free HOST:PORT of this host",
        found=getattr(error, "strerror", None) or str(error),
        where=f"{setting} {address!r}",
        hint=f'Choose another port, or set {setting} to ""',
    )


def host_of(name: tuple[Any, ...]) -> str:
    """The host of a peer's address; one of IPv4 as itself, also where a socket of IPv6 took it."""
    host: str = name[0]
    return host.removeprefix("::ffff:") if "." in host else host


def identify(connection: socket.socket, users: Users) -> Peer:
    """Who is at the other end: the kernel's word on a unix socket, an unproven address on TCP."""
    if connection.family != socket.AF_UNIX:
        host = host_of(connection.getpeername())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return Peer(f"tcp:{host}", f"unauthenticated {host}")
    if not hasattr(socket, "SO_PEERCRED"):
        # Systems without it: the directory's mode already lets this user (and root) alone in.
        return Peer("socket:local", "local")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid = _CREDENTIALS.unpack(raw)[1]
    name = users.name(uid)
    return Peer(f"socket:{uid}", f"uid {uid} ({name})" if name else f"uid {uid}")
