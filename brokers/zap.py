"""The door of a process: answers ZeroMQ's question whether a key may connect (ZAP, RFC 27).

libzmq asks over `inproc://zeromq.zap.01` of the same context, once for each connection to an end that is bound with keys,
and holds the connection back until it is answered. Ends enforce their domain, so while nobody answers, nobody gets in. The
answer to one who is let in names its key; libzmq then shows that as the `User-Id` of every message of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import zmq

from tabard.brokers.loop import Loop
from tabard.brokers.trust.keys import KEY_BYTES, z85

ENDPOINT: Final = "inproc://zeromq.zap.01"
VERSION: Final = b"1.0"
BURST: Final = 256
"""Questions answered in a turn."""
_FIELDS: Final = 8
"""Before the credentials: identity, nothing, version, number, domain, address, routing id, mechanism."""


class Door:
    """Answers for all ends of a context.

    Args:
        context: of the ends.
        loop: calls when a question came.
        judge: whether a key (Z85) may connect to an end, whose name is the domain.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], loop: Loop, judge: Callable[[str, bytes], bool]
    ) -> None:
        self._loop = loop
        self._judge = judge
        self._socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ENDPOINT)
        loop.add_socket(self._socket, self._listen)

    def _listen(self) -> None:
        for _ in range(BURST):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._socket.send_multipart(answer(frames, self._judge))

    def close(self) -> None:
        """Nobody gets in any more."""
        self._loop.remove_socket(self._socket)
        self._socket.close()


def answer(frames: list[bytes], judge: Callable[[str, bytes], bool]) -> list[bytes]:
    """The frames of the reply to a question: 200 and the key, or 400 and nothing."""
    identity, number = frames[0], frames[3] if len(frames) > 3 else b""
    if len(frames) == _FIELDS + 1 and frames[2] == VERSION and frames[7] == b"CURVE":
        raw = frames[8]
        if len(raw) == KEY_BYTES:
            key = z85(raw)
            if judge(frames[4].decode("ascii", "replace"), key):
                return [identity, b"", VERSION, number, b"200", b"OK", key, b""]
    return [identity, b"", VERSION, number, b"400", b"refused", b"", b""]
