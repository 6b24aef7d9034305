"""A producer's side of the agent's intake socket: records in, acknowledgements out.

A frame counts as delivered when the agent says that it is journaled. Frames that were not accepted when a
connection broke are sent again on the next one; the agent knows a frame it has by source and number, so
nothing is stored twice.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from tabard.errors import IntakeError
from tabard.records import MAX_BODY, MAX_RECORDS

HEADER: Final = struct.Struct(">IBQ")
HELLO: Final = 0
RECORDS: Final = 1
PING: Final = 2
WELCOME: Final = 0x80
ACCEPTED: Final = 0x81
REFUSED: Final = 0x82
PONG: Final = 0x83
ERROR: Final = 0x84

PROTOCOL: Final = 1
DEFAULT_WINDOW: Final = 64
"""Frames sent and not yet accepted, after which `send` waits."""


class Refused(NamedTuple):
    """A frame that the agent did not take, and why; it is not sent again."""

    number: int
    reason: str


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """One frame of the binary intake protocol."""
    return HEADER.pack(len(payload), kind, number) + payload


class IntakeClient:
    """Sends log records to the agent of this host. Not for use by several threads at once."""

    def __init__(
        self,
        path: str | Path,
        source: str,
        *,
        service: str = "",
        window: int = DEFAULT_WINDOW,
        timeout: float = 10.0,
    ) -> None:
        self._path = str(path)
        self._source = source
        self._service = service
        self._window = window
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self.accepted = 0
        """The number of the last frame that is journaled."""
        self.refused: list[Refused] = []

    def connect(self) -> None:
        """Connect, learn what the agent has of this source, and send again what it has not.

        Raises:
            IntakeError: nobody listens, the agent is full, or it speaks another protocol.
        """
        self.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self._timeout)
        try:
            sock.connect(self._path)
            hello = {"v": PROTOCOL, "source": self._source, "service": self._service}
            sock.sendall(frame(HELLO, 0, msgpack.packb(hello)))
        except OSError as error:
            sock.close()
            raise IntakeError(
                "no agent takes records",
                expected="an agent listening on its socket",
                found=error.strerror or str(error),
                where=self._path,
                hint="Start one with `tabard up` or `tabard agent`, or name its home with --home",
            ) from error
        self._socket = sock
        self._buffer.clear()
        kind, number, payload = self._read_frame()
        if kind != WELCOME:
            self.close()
            raise IntakeError("the agent refused the connection", found=_reason(payload), where=self._path)
        self._settle(number)
        self._number = max(self._number, number)
        for _, waiting in self._waiting:
            self._send(waiting)

    def send(self, records: Iterable[Sequence[Any]]) -> int:
        """Hand over log records (each in the layout of `tabard.records.LOG_FIELDS`); the number of the last frame.

        Waits while the window is full; reconnects once when the connection broke.

        Raises:
            IntakeError: no agent takes them now. They stay with this client, and the next call sends them first.
        """
        for payload in _payloads(records):
            self._number += 1
            self._queue(self._number, frame(RECORDS, self._number, payload))
        return self._number

    def _queue(self, number: int, data: bytes) -> None:
        self._waiting.append((number, data))
        try:
            if self._socket is None:
                self.connect()
            else:
                self._send(data)
            self._take_answers(0)
            while len(self._waiting) >= self._window:
                self._take_answers(self._timeout)
        except OSError:
            self.connect()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything sent is journaled or refused; False when `timeout` seconds were not enough.

        Raises:
            IntakeError: the connection broke and no agent listens any more.
        """
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        while self._waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                if self._socket is None:
                    self.connect()
                else:
                    self._take_answers(left)
            except OSError:
                self.connect()
        return True

    def close(self) -> None:
        """Close the connection; what was not accepted stays for the next one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- pieces ----------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def _take_answers(self, timeout: float) -> None:
        """Read what the agent said, waiting up to `timeout` seconds for the first word."""
        assert self._socket is not None
        while select.select([self._socket], [], [], timeout)[0]:
            self._receive()
            timeout = 0
            while len(self._buffer) >= HEADER.size:
                length, kind, number = HEADER.unpack_from(self._buffer)
                if len(self._buffer) < HEADER.size + length:
                    break
                payload = bytes(self._buffer[HEADER.size : HEADER.size + length])
                del self._buffer[: HEADER.size + length]
                self._answer(kind, number, payload)
            return

    def _receive(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65_536)
        if not data:
            self.close()
            raise ConnectionResetError("the agent closed the connection")
        self._buffer += data

    def _read_frame(self) -> tuple[int, int, bytes]:
        while True:
            if len(self._buffer) >= HEADER.size:
                length, kind, number = HEADER.unpack_from(self._buffer)
                end = HEADER.size + length
                if length > MAX_BODY:
                    break
                if len(self._buffer) >= end:
                    payload = bytes(self._buffer[HEADER.size : end])
                    del self._buffer[:end]
                    return kind, number, payload
            try:
                self._receive()
            except OSError as error:
                self.close()
                raise IntakeError(
                    "the agent does not answer", expected="a welcome", found=str(error), where=self._path
                ) from error
        self.close()
        raise IntakeError(
            "not an agent's answer", expected="a welcome", found="other bytes", where=self._path
        )

    def _answer(self, kind: int, number: int, payload: bytes) -> None:
        if kind == ACCEPTED:
            self._settle(number)
        elif kind == REFUSED:
            self.refused.append(Refused(number, _reason(payload)))
            self._waiting = deque(item for item in self._waiting if item[0] != number)
        elif kind == ERROR:
            self.close()
            raise ConnectionAbortedError(_reason(payload))

    def _settle(self, number: int) -> None:
        self.accepted = max(self.accepted, number)
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()


def _payloads(records: Iterable[Sequence[Any]]) -> Iterable[bytes]:
    """Record arrays of at most 256 records and one intake frame's bytes."""
    packed: list[bytes] = []
    size = 0
    for record in records:
        encoded: bytes = msgpack.packb(record, unicode_errors="surrogatepass")
        if packed and (len(packed) >= MAX_RECORDS or size + len(encoded) > MAX_BODY - 16):
            yield _array(packed)
            packed, size = [], 0
        packed.append(encoded)
        size += len(encoded)
    if packed:
        yield _array(packed)


def _array(packed: list[bytes]) -> bytes:
    head: bytes = msgpack.Packer().pack_array_header(len(packed))
    return head + b"".join(packed)


def _reason(payload: bytes) -> str:
    try:
        value = msgpack.unpackb(payload)
    except (ValueError, msgpack.UnpackException):
        return repr(payload[:80])
    return str(value.get("reason", value)) if isinstance(value, dict) else repr(value)
