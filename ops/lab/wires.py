"""The wires of a lab without namespaces: every connection between two of its hosts goes through here, and can be cut and slowed down.

A host of such a lab is an address of the loopback, and every other host is dialled at an address that stands for that pair of hosts: so
it is known who dials whom, and which cables lie in between. A cut is silent: connections stand, bytes wait, new ones are taken and
hear nothing; after it all goes on, as TCP does after lost packets. It is also the first process of the lab.

``python -m tabard.ops.lab.wires FILE`` with the wires and what is wrong with their cables as JSON; SIGHUP has it read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tabard.ops.lab.lines import Slow

_CHUNK: Final = 65_536
_WAITING: Final = 64
"""Chunks that wait in each direction of a slow connection."""


class Pace:
    """When bytes that come now may leave; knows no socket and no clock."""

    def __init__(self) -> None:
        self._free = 0.0

    def due(self, size: int, now: float, slow: Slow | None) -> float:
        """The time at which so many bytes leave, behind those before them."""
        if slow is None:
            return now
        if slow.rate:
            self._free = max(self._free, now) + size / slow.rate
            return self._free + slow.delay
        return now + slow.delay


class Wire:
    """One port of one host as another host dials it."""

    def __init__(self, listen: tuple[str, int], to: tuple[str, int], cables: frozenset[str]) -> None:
        self.listen = listen
        self._to = to
        self._cables = cables
        self._whole = asyncio.Event()
        self._slow: Slow | None = None

    def wear(self, cut: frozenset[str], slow: Mapping[str, Slow]) -> None:
        """Take what is wrong with the cables: one that is cut is enough, those that are slow add up."""
        found = [slow[cable] for cable in self._cables if cable in slow]
        rates = [each.rate for each in found if each.rate]
        self._slow = Slow(sum(each.delay for each in found), min(rates, default=0.0)) if found else None
        if cut & self._cables:
            self._whole.clear()
        else:
            self._whole.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            await self._whole.wait()
            there, back = await asyncio.open_connection(*self._to)
        except OSError:
            await _close(writer)  # nobody listens there at the moment
            return
        ways = [
            asyncio.ensure_future(self._carry(reader, back)),
            asyncio.ensure_future(self._carry(there, writer)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for each in ways:
                each.cancel()
            for end in (back, writer):
                await _close(end)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WAITING)
        taking = asyncio.ensure_future(self._take(reader, waiting))
        try:
            with contextlib.suppress(OSError):  # the other side has gone
                await self._hand_on(waiting, writer)
        finally:
            taking.cancel()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _hand_on(
        self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        """Each part when it is due, up to the empty one."""
        loop = asyncio.get_running_loop()
        while True:
            due, data = await waiting.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await self._whole.wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()

    async def _take(self, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
        pace, loop = Pace(), asyncio.get_running_loop()
        data = b"begun"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""
            await waiting.put((pace.due(len(data), loop.time(), self._slow), data))


async def _close(end: asyncio.StreamWriter) -> None:
    end.close()
    with contextlib.suppress(OSError):
        await end.wait_closed()


class Wires:
    """All of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = self._read()
        self._wires = [
            Wire(
                (each["listen"][0], each["listen"][1]),
                (each["to"][0], each["to"][1]),
                frozenset(each["cables"]),
            )
            for each in content["wires"]
        ]
        self._wear(content)

    async def serve(self) -> None:
        """Until it is killed. Raises OSError for an address that is taken."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: self._wear(self._read()))
        servers = [await asyncio.start_server(each.serve, *each.listen) for each in self._wires]
        sys.stdout.write("made\n")
        sys.stdout.flush()
        if not await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            return  # whoever builds the lab has gone
        await asyncio.gather(*(each.serve_forever() for each in servers))

    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        return content

    def _wear(self, content: Mapping[str, Any]) -> None:
        slow = {cable: Slow(*each) for cable, each in content["slow"].items()}
        for wire in self._wires:
            wire.wear(frozenset(content["cut"]), slow)


def main(words: list[str]) -> int:
    """Pass on what comes."""
    (path,) = words

    async def all_of_them() -> None:
        await Wires(Path(path)).serve()

    asyncio.run(all_of_them())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
