"""A process that takes what a SocketHandler sends and throws it away: nothing receives faster."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress

from tabard.ops.bench.helper import answer, requests

_CHUNK = 1_048_576


def _drain(server: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is server:
                selector.register(server.accept()[0], selectors.EVENT_READ)
                continue
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            data = b""
            with suppress(OSError):
                data = connection.recv(_CHUNK)
            if not data:
                selector.unregister(connection)
                connection.close()


def main() -> None:
    """Say the port when asked, and receive until nobody asks any more."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_drain, args=(server,), daemon=True).start()
    for _ in requests():
        answer(port=server.getsockname()[1])


if __name__ == "__main__":
    main()
