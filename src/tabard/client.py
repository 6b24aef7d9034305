"""A producer's side of the agent's intake socket: records in, acknowledgements out.

A frame counts as delivered when the agent says that it is journaled. Frames that were not accepted when a
connection broke are sent again on the next one; the agent knows a frame it has by source and number, so
nothing is stored twice. It also says which frames it refused before the connection broke.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from tabard.errors import IntakeError
from tabard.intake_frames import (
    ACCEPTED,
    ERROR,
    HEAD,
    HELLO,
    MOST_UNANSWERED,
    RECORDS,
    REFUSED,
    VERSION,
    WELCOME,
    frame,
)
from tabard.records import MAX_BODY, MAX_RECORDS, clean_text

DEFAULT_WINDOW: Final = 64
"""Frames sent and not yet answered, after which `send` waits."""
_ARRAY_HEAD: Final = 3
_QUIETLY: Final = getattr(socket, "MSG_NOSIGNAL", 0)
"""An agent that is gone must not end a program that has SIGPIPE at its default."""
MAX_PAYLOAD: Final = MAX_BODY - 4_096 - _ARRAY_HEAD
"""Bytes of the records of one frame: with what the agent puts round them they fit the body of a batch."""


class Refused(NamedTuple):
    """A frame that the agent did not take, and why; it is not sent again."""

    number: int
    reason: str


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
        self._service = clean_text(service)
        self._window = min(window, MOST_UNANSWERED)
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._sent: deque[tuple[int, bytes]] = deque()
        """Frames that were sent, on this connection or one before it, and are not accepted."""
        self._unsent: deque[bytes] = deque()
        """Payloads that were never sent. They have no number yet: the first WELCOME says where numbers begin."""
        self._rest = b""
        """What is posted and not yet with the kernel."""
        self._number = 0
        self.accepted = 0
        """The number of the last frame that is journaled."""
        self.refused: list[Refused] = []

    def connect(self) -> None:
        """Connect, learn what the agent has of this source, and send what it has not.

        Raises:
            IntakeError: nobody listens, the agent is full, it speaks another protocol, or the connection
                broke at once.
        """
        sock = self.open()
        try:
            self._take_welcome(*self._welcome())
            self._number = max(self._number, self.accepted)
            for _, data in self._sent:
                sock.sendall(data, _QUIETLY)
            self._send_unsent()
        except OSError as error:
            self.close()
            raise IntakeError(
                "the agent does not take what is sent",
                expected="a connection that lasts",
                found=error.strerror or str(error),
                where=self._path,
            ) from error

    def open(self) -> socket.socket:
        """Connect and say who speaks, without waiting for an answer: `greeted` hears it. Raises IntakeError."""
        self.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self._timeout)
        try:
            sock.connect(self._path)
            hello = {"v": VERSION, "source": self._source, "service": self._service}
            sock.sendall(frame(HELLO, 0, msgpack.packb(hello)), _QUIETLY)
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
        return sock

    def send(self, records: Iterable[Sequence[Any]]) -> int:
        """Hand over log records (each in the layout of `tabard.records.LOG_FIELDS`); the number of the last frame.

        Waits while the window is full; reconnects once when the connection broke.

        Raises:
            IntakeError: no agent takes them now. They stay with this client, and the next call sends them
                first. Or one of them is too large for a frame; then none of this call is kept.
            TypeError, OverflowError: one of them cannot be encoded; then none of this call is kept.
        """
        self._unsent.extend(payloads(records))
        try:
            if self._socket is None:
                self.connect()
            self._send_unsent()
            self._take_answers(0)
        except OSError:
            self.connect()
        return self._number

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything sent is journaled or refused; False when `timeout` seconds were not enough.

        Raises:
            IntakeError: the connection broke and no agent listens any more.
        """
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        while self._sent or self._unsent:
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

    # --- one step at a time, for a caller that numbers and keeps its frames itself ----------

    def greeted(self, timeout: float) -> bool:
        """Whether the agent has answered `open` within `timeout` seconds; `accepted` says what it has.

        Raises:
            IntakeError: it does not want this client.
            OSError: the connection broke.
        """
        assert self._socket is not None
        self._socket.setblocking(False)
        if not self._hear(timeout) or (answer := self._next_answer()) is None:
            return False
        self._take_greeting(answer)
        return True

    @property
    def unanswered(self) -> int:
        """Frames sent on this connection that the agent said nothing about."""
        return len(self._sent)

    def room(self) -> bool:
        """Whether one more frame can be posted: the agent has read what was, and answered enough. Raises OSError."""
        if self._rest:
            self._send_rest()
        return not self._rest and len(self._sent) < self._window

    def post(self, number: int, data: bytes) -> None:
        """Send frame `number` as far as the agent reads. The caller keeps it until it is accepted. Raises OSError."""
        self._sent.append((number, b""))
        self._rest = data
        self._send_rest()

    def collect(self, timeout: float) -> None:
        """Send what the kernel had no room for, and hear what the agent says.

        Waits up to `timeout` seconds for the first word, or for room. Raises OSError.
        """
        if self._rest:  # nothing else sends it when nothing follows it
            self._send_rest()
        self._hear(timeout)
        while (answer := self._next_answer()) is not None:  # one may have come along with the welcome
            self._answer(*answer)

    def forget(self) -> None:
        """Close the connection, and leave what was posted to the caller."""
        self.close()
        self._sent.clear()
        self._rest = b""

    def _send_rest(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            self._rest = self._rest[self._socket.send(self._rest, _QUIETLY) :]

    def _hear(self, timeout: float) -> bool:
        """Whether there are new bytes from the agent, within `timeout` seconds. Raises OSError."""
        if timeout:
            self._poll(select.POLLIN | (select.POLLOUT if self._rest else 0), timeout)
        try:
            self._receive()
        except BlockingIOError:
            return False
        return True

    # --- pieces ----------------------------------------------------------------------------

    def _send_unsent(self) -> None:
        """Number and send what was never sent, waiting while the window is full. Raises OSError."""
        while self._unsent:
            while len(self._sent) >= self._window:
                self._take_answers(self._timeout)
            assert self._socket is not None
            self._number += 1
            data = frame(RECORDS, self._number, self._unsent.popleft())
            self._sent.append((self._number, data))
            self._socket.sendall(data, _QUIETLY)

    def _poll(self, event: int, timeout: float) -> bool:
        """Whether the connection is ready for `event`, or broken, within `timeout` seconds."""
        assert self._socket is not None
        poll = select.poll()
        poll.register(self._socket, event)
        return bool(poll.poll(timeout * 1000))

    def _welcome(self) -> tuple[int, bytes]:
        """The last frame of this source that the agent has, and what else it says. Raises IntakeError."""
        try:
            while (answer := self._next_answer()) is None:
                self._receive()
        except OSError as error:
            self.close()
            raise IntakeError(
                "the agent does not answer",
                expected="a welcome",
                found=str(error),
                where=self._path,
                hint="It runs, and reads nothing now: `tabard status` says why, a full disk perhaps",
            ) from error
        return self._greeting(answer)

    def _greeting(self, answer: tuple[int, int, bytes]) -> tuple[int, bytes]:
        kind, number, payload = answer
        if kind != WELCOME:
            self.close()
            raise IntakeError("the agent refused the connection", found=_reason(payload), where=self._path)
        return number, payload

    def _take_greeting(self, answer: tuple[int, int, bytes]) -> None:
        self._take_welcome(*self._greeting(answer))

    def _take_welcome(self, number: int, payload: bytes) -> None:
        """Learn which of the frames up to `number` were accepted: all but those refused."""
        unanswered = {sent for sent, _ in self._sent}
        for refused in _refused_numbers(payload):
            if refused in unanswered:
                self._refuse(refused, "refused; why was lost with the connection")
        self._settle(number)

    def _take_answers(self, timeout: float) -> None:
        """Read what the agent said, waiting up to `timeout` seconds for the first word. Raises OSError."""
        if self._poll(select.POLLIN, timeout):
            self._receive()
            while (answer := self._next_answer()) is not None:
                self._answer(*answer)

    def _receive(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65_536)
        if not data:
            self.close()
            raise ConnectionResetError("the agent closed the connection")
        self._buffer += data

    def _next_answer(self) -> tuple[int, int, bytes] | None:
        """Kind, number and payload of the next whole frame received, None when there is none yet."""
        if len(self._buffer) < HEAD.size:
            return None
        length, kind, number = HEAD.unpack_from(self._buffer)
        if length > MAX_BODY:
            self.close()
            raise ConnectionAbortedError("these bytes are not an agent's answer")
        end = HEAD.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[HEAD.size : end])
        del self._buffer[:end]
        return kind, number, payload

    def _answer(self, kind: int, number: int, payload: bytes) -> None:
        if kind == ACCEPTED:
            self._settle(number)
        elif kind == REFUSED:
            self._refuse(number, _reason(payload))
        elif kind == ERROR:
            self.close()
            raise ConnectionAbortedError(_reason(payload))

    def _refuse(self, number: int, reason: str) -> None:
        self.refused.append(Refused(number, reason))
        self._sent = deque(item for item in self._sent if item[0] != number)

    def _settle(self, number: int) -> None:
        self.accepted = max(self.accepted, number)
        while self._sent and self._sent[0][0] <= number:
            self._sent.popleft()


def payloads(records: Iterable[Sequence[Any]]) -> list[bytes]:
    """Record arrays of at most 256 records and one intake frame's bytes. Raises IntakeError."""
    arrays: list[bytes] = []
    packed: list[bytes] = []
    size = 0
    for record in records:
        encoded = _encoded(record)
        if len(encoded) > MAX_PAYLOAD:
            raise IntakeError(
                "a record is too large",
                expected=f"at most {MAX_PAYLOAD} bytes",
                found=f"{len(encoded)} bytes",
            )
        if packed and (len(packed) >= MAX_RECORDS or size + len(encoded) > MAX_PAYLOAD):
            arrays.append(_array(packed))
            packed, size = [], 0
        packed.append(encoded)
        size += len(encoded)
    if packed:
        arrays.append(_array(packed))
    return arrays


def _encoded(record: Sequence[Any]) -> bytes:
    """One record; lone surrogates, which UTF-8 does not have, are replaced."""
    try:
        encoded: bytes = msgpack.packb(record)
    except UnicodeEncodeError:
        encoded = msgpack.packb([clean_text(value) if isinstance(value, str) else value for value in record])
    return encoded


def _array(packed: list[bytes]) -> bytes:
    head: bytes = msgpack.Packer().pack_array_header(len(packed))
    return head + b"".join(packed)


def _refused_numbers(payload: bytes) -> list[Any]:
    """What a welcome says was refused."""
    try:
        said = msgpack.unpackb(payload) if payload else {}
    except (ValueError, msgpack.UnpackException):
        return []
    numbers = said.get("refused") if isinstance(said, dict) else None
    return numbers if isinstance(numbers, list) else []


def _reason(payload: bytes) -> str:
    try:
        value = msgpack.unpackb(payload)
    except (ValueError, msgpack.UnpackException):
        return repr(payload[:80])
    return str(value.get("reason", value)) if isinstance(value, dict) else repr(value)
