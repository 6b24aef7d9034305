"""A log receiver as applications' authors write one: records from a socket into SQLite.

``python -m tabard.ops.bench.peers.receiver socket|zmq PORT FILE ROWS`` commits after so many rows, or when the
first of them waits for a moment. ``socket`` takes what the standard library's SocketHandler sends, as in the logging cookbook; ``zmq`` what
pyzmq's PUBHandler sends.
"""

from __future__ import annotations

import io
import pickle  # noqa: TID251 -- what is measured is what such receivers do; nothing but plain values gets through
import selectors
import socket
import sqlite3
import struct
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import zmq

Row = tuple[str, str, str, int, str, str]

_INSERT: Final = "INSERT INTO log (time, host, service, severity, process, message) VALUES (?, ?, ?, ?, ?, ?)"
_LENGTH: Final = struct.Struct(">L")
_MOMENT: Final = 0.05
"""Seconds after which a row is committed, however few there are."""
_CHUNK: Final = 65_536


class Table:
    """Rows in, and a commit now and then; every commit waits for the disk."""

    def __init__(self, path: str, rows: int) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._rows = rows
        self._held: list[Row] = []
        self._due = 0.0

    def add(self, row: Row) -> None:
        """Keep it, and commit when there are enough."""
        if not self._held:
            self._due = time.monotonic() + _MOMENT
        self._held.append(row)
        if len(self._held) >= self._rows:
            self.commit()

    def look(self) -> None:
        """Commit what has waited long enough."""
        if self._held and time.monotonic() >= self._due:
            self.commit()

    def commit(self) -> None:
        """One transaction for what there is."""
        if self._held:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, self._held)
            self._connection.execute("COMMIT")
            self._held.clear()


class _Plain(pickle.Unpickler):
    """The attributes of a LogRecord are plain values; anything else does not come from this bench."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def pickled(data: bytes) -> Row:
    """The row for what SocketHandler sends."""
    said: dict[str, Any] = _Plain(io.BytesIO(data)).load()
    stamp = datetime.fromtimestamp(said["created"], UTC).isoformat()
    return stamp, "web1", said["name"], int(said["levelno"]), str(said["process"]), str(said["msg"])


def split(rest: bytearray) -> Iterator[bytes]:
    """Take all whole pickles from the front of `rest`."""
    at = 0
    while len(rest) - at >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(rest, at)
        if len(rest) - at - _LENGTH.size < length:
            break
        yield bytes(rest[at + _LENGTH.size : at + _LENGTH.size + length])
        at += _LENGTH.size + length
    del rest[:at]


def from_sockets(port: int, table: Table) -> NoReturn:
    """Take records of any number of handlers."""
    server = socket.create_server(("127.0.0.1", port))
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    rests: dict[socket.socket, bytearray] = {}
    while True:
        ready = selector.select(_MOMENT)
        table.look()
        for key, _ in ready:
            if key.fileobj is server:
                connection = server.accept()[0]
                rests[connection] = bytearray()
                selector.register(connection, selectors.EVENT_READ)
                continue
            client = key.fileobj
            assert isinstance(client, socket.socket)
            try:
                data = client.recv(_CHUNK)
            except OSError:
                data = b""
            if not data:
                selector.unregister(client)
                client.close()
                del rests[client]
                continue
            rests[client] += data
            for each in split(rests[client]):
                table.add(pickled(each))


def from_publishers(port: int, table: Table) -> NoReturn:
    """Subscribe to everything."""
    subscriber: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    subscriber.rcvhwm = 0  # a queue that grows loses less than one that is full
    subscriber.subscribe(b"")
    subscriber.bind(f"tcp://127.0.0.1:{port}")
    while True:
        table.look()
        if not subscriber.poll(int(_MOMENT * 1000)):
            continue
        topic, said = subscriber.recv_multipart()
        now = datetime.now(UTC).isoformat()
        table.add((now, "web1", topic.decode(), 9, "", said.decode().rstrip("\n")))


def main() -> NoReturn:
    """Receive until somebody ends this."""
    kind, port, path, rows = sys.argv[1:]
    table = Table(path, int(rows))
    if kind == "zmq":
        from_publishers(int(port), table)
    from_sockets(int(port), table)


if __name__ == "__main__":
    main()
