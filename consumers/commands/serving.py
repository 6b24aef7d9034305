"""The dispatcher's socket: takes lines of its home's user in, and writes answers out, however slowly they are read."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tabard.brokers.loop import Loop
from tabard.consumers.commands.talk import MAX_LINE, decode, encode, refusal
from tabard.errors import TabardError

MAX_CLIENTS: Final = 64
MAX_WAITING: Final = 16 * 2**20
"""Bytes that a client may leave unread."""
ENOUGH: Final = 2**20
"""Bytes unread from which on what can be said later is."""
_CHUNK: Final = 65_536

_log = logging.getLogger(__name__)


class Client:
    """One connection."""

    def __init__(self, serving: Serving, connection: socket.socket) -> None:
        self._serving = serving
        self._socket = connection
        self._in = bytearray()
        self._out = bytearray()
        self.closed = False
        self.on_room: Callable[[], None] = lambda: None
        """Called when all was read of what had filled it."""
        self._filled = False

    @property
    def full(self) -> bool:
        """Whether so much waits to be read that what can wait should."""
        self._filled = self._filled or len(self._out) > ENOUGH
        return self._filled

    def say(self, value: Mapping[str, Any]) -> None:
        """Write a line, as soon as it is read."""
        if self.closed:
            return
        self._out += encode(value)
        if len(self._out) > MAX_WAITING:
            self.close()
            return
        self._write()

    def close(self) -> None:
        """End the connection."""
        if self.closed:
            return
        self.closed = True
        loop, fd = self._serving.loop, self._socket.fileno()
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        self._socket.close()
        self._serving.clients.discard(self)

    def read(self) -> None:
        """Take in what there is."""
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        while not self.closed and b"\n" in data:
            line, newline, rest = self._in.partition(b"\n")
            if not newline:
                break
            self._in = rest
            self._serving.answer(self, bytes(line))
        if len(self._in) > MAX_LINE:
            self.close()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._out[:sent]
        fd = self._socket.fileno()
        if self._out:
            self._serving.loop.add_writer(fd, self._write)
        else:
            self._serving.loop.remove_writer(fd)
            if self._filled:
                self._filled = False
                self.on_room()


class Serving:
    """The socket, and who is connected to it."""

    def __init__(
        self, path: Path, loop: Loop, handle: Callable[[Client, dict[str, Any]], Mapping[str, Any]]
    ) -> None:
        """Listens in a directory that is its user's alone. Raises OSError."""
        self.loop = loop
        self.clients: set[Client] = set()
        self._handle = handle
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of a dispatcher that was killed: this one holds the lock
        self._socket.bind(os.fspath(path))
        self._socket.listen()
        loop.add_reader(self._socket.fileno(), self._accept)

    def answer(self, client: Client, line: bytes) -> None:
        """One request."""
        try:
            said = self._handle(client, decode(line))
        except TabardError as error:
            said = refusal(error)
        client.say(said)

    def close(self) -> None:
        """End it all."""
        self.loop.remove_reader(self._socket.fileno())
        for client in list(self.clients):
            client.close()
        self._socket.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            _log.debug("nobody was there: %s", error)
            return
        if len(self.clients) >= MAX_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        client = Client(self, connection)
        self.clients.add(client)
        self.loop.add_reader(connection.fileno(), client.read)
