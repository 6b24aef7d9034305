"""Sockets that anybody on this host may send to, and those of UDP."""

from __future__ import annotations

import os
import socket
import stat
from typing import Any, Final

from tabard.agents.intake.listeners import unusable
from tabard.errors import IntakeError

MODE: Final = 0o666
"""As `/dev/log` has it. The directory says who may come near."""
_BACKLOG: Final = 1_024
RXQ_OVFL: Final = 40
"""SO_RXQ_OVFL, which the socket module has no name for: the kernel says how many datagrams it had no room for."""


class Place:
    """The socket file at ``path`` that this process made; "" is none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._own: tuple[int, int] | None = None

    def remember(self) -> None:
        """What lies there now is this process's."""
        self._own = _identity(self._path)

    @property
    def gone(self) -> bool:
        """Whether somebody removed it and put nothing in its place, as cleaners of directories do."""
        return bool(self._path) and not os.path.lexists(self._path)

    def remove(self) -> None:
        """Take it away, unless it is somebody else's by now."""
        if self._own is not None and _identity(self._path) == self._own:
            os.unlink(self._path)


def _identity(path: str) -> tuple[int, int] | None:
    if not path:
        return None
    try:
        state = os.lstat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


def spoken(name: tuple[Any, ...]) -> str:
    """The address of a socket as a setting would say it: an IPv6 host in brackets."""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen_public(path: str, setting: str) -> socket.socket:
    """A unix stream socket at ``path``. Raises IntakeError when something else is there or in use."""
    listener = _bound(path, setting, socket.SOCK_STREAM)
    listener.listen(_BACKLOG)
    return listener


def bind_datagram(path: str, setting: str) -> socket.socket:
    """A unix datagram socket at ``path`` whose senders the kernel names. Raises IntakeError like the other."""
    sock = _bound(path, setting, socket.SOCK_DGRAM)
    if hasattr(socket, "SO_PASSCRED"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return sock


def bind_udp(address: str, setting: str, buffer: int) -> socket.socket:
    """A UDP socket at ``address`` with room for ``buffer`` bytes, as far as the kernel allows it.

    Raises:
        IntakeError: the address is malformed, unknown or taken.
    """
    host, _, port = address.rpartition(":")
    try:
        family, kind, proto, _, target = socket.getaddrinfo(
            None if host == "*" else host.strip("[]"),
            int(port),
            type=socket.SOCK_DGRAM,
            flags=socket.AI_PASSIVE,
        )[0]
        sock = socket.socket(family, kind, proto)
    except (ValueError, OSError) as error:
        raise unusable(address, setting, error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, RXQ_OVFL, 1)
        _enlarge(sock, buffer)
        sock.bind(target)
    except OSError as error:
        sock.close()
        raise unusable(address, setting, error) from error
    sock.setblocking(False)
    return sock


def _enlarge(sock: socket.socket, buffer: int) -> None:
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, buffer)
    except PermissionError:  # no more than net.core.rmem_max then
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)


def _bound(path: str, setting: str, kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        _make_room(path, setting, kind)
        sock.bind(path)
        os.chmod(path, MODE)
    except OSError as error:
        sock.close()
        raise IntakeError(
            "cannot listen for records",
            expected="a directory this user may write to",
            found=error.strerror or str(error),
            where=f"{setting} {path!r}",
            hint=f'Choose another path, or set {setting} to ""',
        ) from error
    except IntakeError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _make_room(path: str, setting: str, kind: int) -> None:
    """Remove the socket of a dead process, and nothing else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    found = stat.filemode(mode)
    if stat.S_ISSOCK(mode):
        with socket.socket(socket.AF_UNIX, kind) as probe:
            probe.setblocking(False)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
            except OSError as error:  # of another type, or its queue is full: somebody has it open
                found = error.strerror or str(error)
            else:
                found = "a program that listens there"
    raise IntakeError(
        "something is in the way of an intake",
        expected="nothing, or the socket of a process that has ended",
        found=found,
        where=f"{setting} {path!r}",
        hint="Choose another path, or stop what uses this one",
    )
