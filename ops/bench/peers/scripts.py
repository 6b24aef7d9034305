"""What is written in an afternoon: a handler of the standard library or of pyzmq, and a receiver that fills SQLite."""

from __future__ import annotations

import platform
import sqlite3
import sys
from collections.abc import Sequence

import zmq

from tabard.ops.bench.peers.peer import Composed, Ground, Target
from tabard.ops.bench.peers.processes import Process
from tabard.ops.bench.peers.sinks import FileTable
from tabard.ops.bench.surroundings import free_port


class Script(Composed):
    """A handler in the application, a receiver that fills SQLite; there is no relay."""

    store = "rows, SQLite"
    kind = "socket"
    form = "pickle"
    rows = 1_000
    """In a transaction."""

    @classmethod
    def missing(cls) -> str:
        """Nothing ever is."""
        return ""

    @classmethod
    def version(cls) -> str:
        """Of Python and SQLite."""
        return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._port = free_port()
        path = ground.place / "log.db"
        self._sink = FileTable(path)
        words = [self.kind, str(self._port), str(path), str(self.rows)]
        command = [sys.executable, "-P", "-m", "tabard.ops.bench.peers.receiver", *words]
        self.processes.append(Process(command, ground.place, "receiver", self._port))

    def target(self) -> Target:
        """The receiver itself."""
        return Target(self.form, ("127.0.0.1", self._port))

    def stored(self) -> int:
        """Rows."""
        return self._sink.stored()

    def numbers(self) -> Sequence[int]:
        """By id."""
        return self._sink.numbers()

    def stop(self) -> None:
        """End it, and the look into the store."""
        super().stop()
        self._sink.close()


class Handler(Script):
    """``logging.handlers.SocketHandler``, many rows a transaction."""

    title = "SocketHandler to SQLite, a commit per 1,000"


class CarefulHandler(Script):
    """The same with a transaction for each record."""

    title = "SocketHandler to SQLite, a commit per record"
    rows = 1
    divided_by = 50


class Publisher(Script):
    """``zmq.log.handlers.PUBHandler``."""

    title = "plain pyzmq (PUB/SUB) to SQLite, a commit per 1,000"
    kind = "zmq"
    form = "published"

    @classmethod
    def version(cls) -> str:
        """Of both layers."""
        return f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}, SQLite {sqlite3.sqlite_version}"
