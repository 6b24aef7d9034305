"""The way from a port of this machine to herald in a host of the lab.

A socket belongs to the network that it was made in: this process got one that listens on the machine, and runs in the host, where it
dials herald. So the machine needs no interface and no address for the lab.

``python -m tabard.ops.lab.page DESCRIPTOR PORT``
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import Final

_CHUNK: Final = 65_536


async def serve(listening: socket.socket, port: int) -> None:
    """Hand on every connection to ``port`` of this host, until cancelled."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()  # herald does not run at the moment
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async with await asyncio.start_server(hand_on, sock=listening) as server:
        sys.stdout.write("made\n")
        sys.stdout.flush()
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


def main(words: list[str]) -> int:
    """Hand on until killed."""
    descriptor, port = map(int, words)
    asyncio.run(serve(socket.socket(fileno=descriptor), port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
