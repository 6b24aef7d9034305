"""A ZeroMQ peer that keeps to no rule: it speaks ZMTP by hand, so that it can say what libzmq would not let it say."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

MORE: Final = 0x01
LONG: Final = 0x02
COMMAND: Final = 0x04
_SHORT: Final = 255
_GREETING: Final = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_PING: Final = b"\x04PING"
_PONG: Final = b"\x04PONG"
_ATTENTION: Final = 100
"""Messages after which the peer listens for heartbeats."""
_PATIENCE: Final = 20.0


def encode_frame(body: bytes, flags: int = 0) -> bytes:
    """One frame."""
    if len(body) > _SHORT:
        return bytes([flags | LONG]) + len(body).to_bytes(8, "big") + body
    return bytes([flags, len(body)]) + body


def encode_message(frames: Sequence[bytes]) -> bytes:
    """The frames of one message."""
    return b"".join(encode_frame(frame, MORE) for frame in frames[:-1]) + encode_frame(frames[-1])


def ready(kind: str) -> bytes:
    """The READY command of a socket of this kind."""
    name, value = b"Socket-Type", kind.encode()
    body = b"\x05READY" + bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value
    return encode_frame(body, COMMAND)


class Peer:
    """A connection to a ZeroMQ socket. Use as a context manager; the other side may hang up at any time."""

    def __init__(self, endpoint: str) -> None:
        self._heard = bytearray()
        address = endpoint.removeprefix("tcp://")
        if address == endpoint:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(_PATIENCE)
            self._socket.connect(endpoint.removeprefix("ipc://"))
        else:
            host, _, port = address.rpartition(":")
            self._socket = socket.create_connection((host, int(port)), _PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def greet(self, kind: str) -> Self:
        """Shake hands as a socket of this kind."""
        self.say(_GREETING)
        self.hear(len(_GREETING))
        self.say(ready(kind))
        flags, size = self.hear(2)
        assert flags == COMMAND
        self.hear(size)
        return self

    def say(self, data: bytes) -> bool:
        """Send these bytes; False when the other side has hung up."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def send(self, messages: Iterable[Sequence[bytes]]) -> bool:
        """Send messages, answering heartbeats meanwhile; False when the other side has hung up."""
        for number, frames in enumerate(messages):
            if not self.say(encode_message(frames)) or (number % _ATTENTION == 0 and not self._attend()):
                return False
        return True

    def _attend(self) -> bool:
        """Answer what heartbeats have come; False when the other side has hung up."""
        while select.select([self._socket], [], [], 0)[0]:
            try:
                data = self._socket.recv(65_536)
            except ConnectionResetError:
                return False
            if not data:
                return False
            self._heard += data
        while (frame := self._next_frame()) is not None:
            flags, body = frame
            if flags & COMMAND and body.startswith(_PING):
                self.say(encode_frame(_PONG + body[len(_PING) + 2 :], COMMAND))
        return True

    def _next_frame(self) -> tuple[int, bytes] | None:
        heard = self._heard
        if len(heard) < 2:
            return None
        start = 9 if heard[0] & LONG else 2
        end = start + int.from_bytes(heard[1:start], "big")
        if len(heard) < end:
            return None
        frame = heard[0], bytes(heard[start:end])
        del heard[:end]
        return frame

    def hear(self, size: int) -> bytes:
        """The next `size` bytes. Raises ConnectionError when the other side hangs up before."""
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the other side hung up")
            data += part
        return data

    def hung_up(self) -> bool:
        """Wait until the other side hangs up; False when it does not in time."""
        try:
            while self._socket.recv(65_536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True
