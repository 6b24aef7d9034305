"""The wires of a lab without namespaces: what passes, what waits, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tabard.ops.lab.lines import Slow
from tabard.ops.lab.wires import Pace, Wire
from tests.ports import free_port

_CABLES: Final = frozenset({"p1", "p2"})


def test_bytes_leave_after_their_delay_and_not_faster_than_the_rate() -> None:
    """Those that come while others wait stand behind them; without a fault nothing waits."""
    pace = Pace()
    assert pace.due(1000, 5.0, None) == 5.0
    assert pace.due(1000, 5.0, Slow(0.5, 0.0)) == 5.5
    assert [pace.due(1000, 10.0, Slow(0.5, 1000.0)) for _ in range(3)] == [11.5, 12.5, 13.5]
    assert pace.due(1000, 20.0, Slow(0.5, 1000.0)) == 21.5


async def _others() -> None:
    """Wait until all that served a connection has ended."""
    await asyncio.wait_for(asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()})), 60)


def _with(test: Callable[[Wire], Awaitable[None]]) -> None:
    """Run a test on a wire that leads to a server which says everything again, in capitals."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        here, there = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        wire = Wire(here, there, _CABLES)
        wire.wear(frozenset(), {})
        async with await asyncio.start_server(answer, *there), await asyncio.start_server(wire.serve, *here):
            await asyncio.wait_for(test(wire), 60)
            await _others()

    asyncio.run(run())


def test_what_is_said_is_passed_on_with_its_end() -> None:
    """In both directions."""

    async def test(wire: Wire) -> None:
        reader, writer = await asyncio.open_connection(*wire.listen)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    _with(test)


def test_a_cut_is_silent_and_loses_nothing() -> None:
    """Connections stand, new ones are taken, and nobody is told; once it is whole, what waited arrives."""

    async def test(wire: Wire) -> None:
        reader, writer = await asyncio.open_connection(*wire.listen)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"A"
        wire.wear(frozenset({"p2"}), {})
        writer.write(b"b")
        other, saying = await asyncio.open_connection(*wire.listen)
        saying.write(b"c")
        waiting = [asyncio.ensure_future(each.readexactly(1)) for each in (reader, other)]
        done, _ = await asyncio.wait(waiting, timeout=0.3)
        assert not done
        wire.wear(frozenset({"p3"}), {})
        assert [await each for each in waiting] == [b"B", b"C"]
        writer.close()
        await writer.wait_closed()
        saying.close()
        await saying.wait_closed()

    _with(test)


def test_a_slow_wire_passes_all_in_order() -> None:
    """The delays of its cables add up, and the smaller rate holds."""

    async def test(wire: Wire) -> None:
        wire.wear(frozenset(), {"p1": Slow(0.01, 1e6), "p2": Slow(0.01, 1e5), "p9": Slow(1e6, 1.0)})
        reader, writer = await asyncio.open_connection(*wire.listen)
        said = b"".join(b"line %d\n" % number for number in range(500))
        writer.write(said)
        assert await reader.readexactly(len(said)) == said.upper()
        writer.close()
        await writer.wait_closed()

    _with(test)


def test_where_nobody_listens_the_connection_ends() -> None:
    """As one to a port that nobody has."""

    async def run() -> None:
        wire = Wire(("127.0.0.1", free_port()), ("127.0.0.1", free_port()), _CABLES)
        wire.wear(frozenset(), {})
        async with await asyncio.start_server(wire.serve, *wire.listen):
            reader, writer = await asyncio.open_connection(*wire.listen)
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
            await writer.wait_closed()
            await _others()
        await writer.wait_closed()

    asyncio.run(run())
