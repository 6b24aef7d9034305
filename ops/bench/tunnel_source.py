"""The process behind the tunnels of a bench: greets as a broker does, is told a number of bytes, and sends as many."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import Final

from tabard.ops.bench.helper import answer, requests

GREETING: Final = b"\xff" + bytes(8) + b"\x7f"
"""What tells a peer of ZMTP."""
_CHUNK: Final = os.urandom(262_144)
"""Of no pattern: whatever is compressed on the way does not become less."""


def serve(sock: socket.socket) -> None:
    """One connection, until it ends."""
    with sock, contextlib.suppress(OSError):
        sock.sendall(GREETING)
        while len(told := sock.recv(8, socket.MSG_WAITALL)) == 8:
            left = int.from_bytes(told, "big")
            while left > 0:
                left -= sock.send(_CHUNK[:left])


def _accept(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def main() -> None:
    """Listen, say where, and go on until nobody asks any more."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    for _ in requests():
        answer(port=listener.getsockname()[1])


if __name__ == "__main__":
    main()
