"""A listener on the intake socket that answers as told: the far side of the client, under a test's control."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from tabard.intake_frames import ACCEPTED, HEAD, HELLO, RECORDS, REFUSED, WELCOME, frame


class Listener:
    """Takes records, remembers them once each, and can be told to refuse or to hang up."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.records: list[list[Any]] = []
        self.sources: dict[str, int] = {}
        self.refuse: set[int] = set()
        self.hang_up_before: set[int] = set()
        self.unanswered: set[int] = set()
        """Frames whose answers are lost."""
        self._refused: set[int] = set()
        self._start(self._serve)

    def wait_for(self, count: int) -> list[list[Any]]:
        """The records, as soon as there are ``count`` of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.records) >= count, timeout=30), self.records
            return list(self.records)

    def close(self) -> None:
        """Stop listening and hang up."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for connection in self._connections:
            self._hang_up(connection)
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._start(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, suppress(OSError):
            self._speak(connection, stream)

    def _speak(self, connection: socket.socket, stream: BinaryIO) -> None:
        source = ""
        while len(head := stream.read(HEAD.size)) == HEAD.size:
            length, kind, number = HEAD.unpack(head)
            payload = stream.read(length)
            if kind == HELLO:
                source = msgpack.unpackb(payload)["source"]
                last = self.sources.setdefault(source, 0)
                refused = sorted(number for number in self._refused if number <= last)
                payload = msgpack.packb({"refused": refused}) if refused else b""
                connection.sendall(frame(WELCOME, last, payload))
            elif kind == RECORDS and number in self.hang_up_before:
                self.hang_up_before.remove(number)
                self._hang_up(connection)
                return
            elif kind == RECORDS:
                self._take(connection, source, number, payload)

    def _take(self, connection: socket.socket, source: str, number: int, payload: bytes) -> None:
        if number in self.refuse:
            self._refused.add(number)
            self._answer(connection, frame(REFUSED, number, msgpack.packb({"reason": "told to"})), number)
            return
        with self._changed:
            if number > self.sources[source]:
                self.records += msgpack.unpackb(payload)
                self.sources[source] = number
                self._changed.notify_all()
        self._answer(connection, frame(ACCEPTED, number), number)

    def _answer(self, connection: socket.socket, answer: bytes, number: int) -> None:
        if number not in self.unanswered:
            connection.sendall(answer)

    @staticmethod
    def _hang_up(connection: socket.socket) -> None:
        with suppress(OSError):  # the other side may have been faster
            connection.shutdown(socket.SHUT_RDWR)
