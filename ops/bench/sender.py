"""The process that plays the applications of a bench of intakes: it has its bytes ready and sends them at full speed.

It also measures what one core does that only decodes the same bytes.
"""

from __future__ import annotations

import logging
import logging.handlers
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.bridge.gather import Gatherer, Record
from tabard.agents.intake.bridge.known import KnownLayouts
from tabard.agents.intake.bridge.pickled import RecordReader
from tabard.agents.intake.bridge.ports import Surroundings
from tabard.agents.intake.bridge.streams import READ_BYTES, Desk, Reader
from tabard.agents.intake.bridge.syslog import SyslogParser
from tabard.agents.intake.bridge.syslogs import SyslogReader
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.agents.intake.protocol import Parser
from tabard.brokers.loop import Loop
from tabard.clock import SystemClock
from tabard.ops.bench import files, otlp
from tabard.ops.bench.generator import send_all
from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.records import frames

_CHUNK: Final = 65_536
_PLACES: Final = 7
"""Places in the application that log, and threads that do."""
_THREADS: Final = 3


def pickles(count: int) -> Iterator[bytes]:
    """What the standard library's SocketHandler sends for records of some places and threads."""
    handler = logging.handlers.SocketHandler("localhost", 1)
    for number in range(count):
        place = number % _PLACES
        record = logging.LogRecord(
            f"shop.orders.part{place}",
            logging.INFO,
            f"/srv/shop/orders/part{place}.py",
            100 + place,
            "order %d of customer c%05d was accepted after %.3f ms, %d items",
            (number, number % 1000, number * 0.37, number % 9),
            None,
            f"accept_{place}",
        )
        record.threadName = f"worker-{number % _THREADS}"
        yield handler.makePickle(record)


def messages(count: int) -> Iterator[bytes]:
    """Syslog messages of RFC 5424 with the same to say."""
    for number in range(count):
        yield (
            b"<14>1 2026-11-22T03:%02d:%02d.%06dZ web1.example.com shop %d - - order %d of customer c%05d was"
            b" accepted after %.3f ms, %d items"
        ) % (
            number // 60_000 % 60,
            number // 1_000 % 60,
            number,
            1_000 + number % _PLACES,
            number,
            number % 1000,
            number * 0.37,
            number % 9,
        )


def objects(count: int) -> Iterator[bytes]:
    """JSON objects with the same to say, one a line."""
    for number in range(count):
        yield (
            b'{"time": %d, "level": "INFO", "service": "shop", "process": %d, "message": "order %d of customer c%05d was'
            b' accepted after %.3f ms, %d items", "order": %d}\n'
        ) % (
            1_795_000_000_000_000_000 + number * 1_000,
            1_000 + number % _PLACES,
            number,
            number % 1000,
            number * 0.37,
            number % 9,
            number,
        )


def counted(each: bytes) -> bytes:
    """Behind its length."""
    return b"%d %b" % (len(each), each)


def line(each: bytes) -> bytes:
    """Before a line feed."""
    return each + b"\n"


FORMS: Final[dict[str, Callable[[int], Iterator[bytes]]]] = {
    "pickle": pickles,
    "counted": lambda count: map(counted, messages(count)),
    "lines": lambda count: map(line, messages(count)),
    "datagrams": messages,
    "json": objects,
    "stdin": lambda count: map(line, messages(count)),
    "otlp": otlp.requests,
    "tail": files.lines,
    "journal": files.entries,
}


class Nowhere(Gatherer):
    """Takes records and does nothing with them."""

    def add(self, record: Record, size: int, *, sure: bool) -> None:  # noqa: ARG002 -- the gatherer's
        """Count."""
        self.total += 1


def decode(form: str, blob: bytes) -> dict[str, float]:
    """CPU seconds of making log records of the bytes, and nothing else."""
    if form == "json":
        return decode_lines(blob)
    if form in files.FORMS:
        return files.decode(form, blob)
    loop, clock = Loop(), SystemClock()
    batcher = Batcher(_Unused(), loop, linger=1.0)
    gatherer = Nowhere(Surroundings(loop, batcher, clock))
    desk = Desk(gatherer, Counter(), Troubles("bench", loop))
    reader: Reader = (
        RecordReader(desk, wall=clock.wall, known=KnownLayouts())
        if form == "pickle"
        else SyslogReader(desk, SyslogParser(clock.wall))
    )
    began = time.process_time()
    for at in range(0, len(blob), READ_BYTES):
        reader.feed(blob[at : at + READ_BYTES])
    took = time.process_time() - began
    loop.close()
    return {"cpu": took, "records": gatherer.total}


def decode_lines(blob: bytes) -> dict[str, float]:
    """The same for JSON lines."""
    parser, found = Parser(SystemClock().wall), 0
    began = time.process_time()
    for at in range(0, len(blob), READ_BYTES):
        found += sum(1 for _ in parser.feed(blob[at : at + READ_BYTES]))
    return {"cpu": time.process_time() - began, "records": found}


class _Unused:
    def append(self, _body: bytes, _count: int, _marks: object, /) -> object:
        raise AssertionError


def stream(family: socket.AddressFamily, where: Any, blob: bytes) -> float:
    """Send over one connection; when it began (monotonic seconds)."""
    with socket.socket(family) as sock:
        sock.connect(where)
        began = time.monotonic()
        view = memoryview(blob)
        for at in range(0, len(view), _CHUNK):
            sock.sendall(view[at : at + _CHUNK])
    return began


def piped(home: str, blob: bytes) -> float:
    """Write it all to ``tabard log``; when it began, its start included."""
    command = [sys.executable, "-P", "-m", "tabard.ops.main", "--home", home, "log"]
    began = time.monotonic()
    subprocess.run(command, input=blob, check=True, stdout=subprocess.DEVNULL)
    return began


def datagrams(family: socket.AddressFamily, where: Any, parts: Sequence[bytes]) -> float:
    """Send each for itself; when it began."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(where)
        began = time.monotonic()
        for part in parts:
            sock.send(part)
    return began


def main() -> None:
    """Serve requests until there are no more."""
    prepared: dict[str, list[bytes]] = {}
    blobs: dict[str, bytes] = {}
    for request in requests():
        form = request["form"]
        if form not in prepared:
            count = request["records"]
            prepared[form] = frames(count, time.time_ns()) if form == "own" else list(FORMS[form](count))
            blobs[form] = b"".join(prepared[form])
        answer(**_serve(request, prepared[form], blobs[form]))


def _serve(request: Any, parts: Sequence[bytes], blob: bytes) -> dict[str, Any]:
    if request["do"] == "prepare":
        return {"bytes": len(blob)}
    if request["do"] == "write":
        files.write(request["form"], Path(request["where"]), blob)
        return {}
    if request["do"] == "decode":
        return decode(request["form"], blob)
    where = request["where"]
    if request["form"] == "own":
        return {"began": send_all(where, request["source"], parts)["began"]}
    if request["form"] == "stdin":
        return {"began": piped(where, blob)}
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    place = where if isinstance(where, str) else tuple(where)
    if request["form"] == "otlp":
        return {"began": otlp.send((where[0], where[1]), parts)}
    if request["form"] == "datagrams":
        return {"began": datagrams(family, place, parts)}
    return {"began": stream(family, place, blob)}


if __name__ == "__main__":
    main()
