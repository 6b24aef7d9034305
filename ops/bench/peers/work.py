"""The work that every peer is given: numbered records that say the same thing, in the form each of them takes.

A line of syslog has 200 bytes; the text in it is the same in every form and ends in the record's number, which is what
is looked for in the end. Event times are those of the moment, one after the other.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from tabard.brokers.wire.codec import pack
from tabard.intake_frames import RECORDS, frame
from tabard.records import LOG_FIELDS, MAX_RECORDS

HOST: Final = "web1.example.com"
SERVICE: Final = "shop"
TOPIC: Final = b"shop.orders.INFO"
"""As pyzmq's PUBHandler makes one: root topic and level."""
STEP: Final = 7_000
"""Nanoseconds between two records that were not made at their time."""
_SIZE: Final = 134
"""Bytes of the text: with the header of RFC 5424 before it and the line feed behind it they are 200."""
_DIGITS: Final = 9
_PROCESS: Final = 4711


def text(number: int) -> str:
    """What the record with that number says."""
    order = number * 2_654_435_761 % 1_000_000_007
    said = f"order {order:010d} of customer {order % 99_991:05d} was accepted after {order % 977} ms, {order % 9} items"
    return f"{said:.<{_SIZE - _DIGITS - 1}}#{number:0{_DIGITS}d}"


def number_in(said: str) -> int:
    """The number of the record that says this; 0 when it has none."""
    digits = said.rstrip()[-_DIGITS:]
    return int(digits) if said.rstrip()[-_DIGITS - 1 : -_DIGITS] == "#" and digits.isdigit() else 0


def line(number: int, time: int) -> bytes:
    """A syslog message of RFC 5424 before a line feed; `time` in nanoseconds UTC."""
    second, rest = divmod(time, 1_000_000_000)
    stamp = datetime.fromtimestamp(second, UTC)
    return (
        f"<14>1 {stamp:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z {HOST} {SERVICE} {_PROCESS} - - {text(number)}\n"
    ).encode()


def record(number: int, time: int) -> tuple[Any, ...]:
    """The same as a log record of Tabard's own socket."""
    said = {
        "time": time,
        "severity": 9,
        "level": "INFO",
        "service": SERVICE,
        "process": _PROCESS,
        "message": text(number),
    }
    return tuple(said.get(name) for name in LOG_FIELDS)


def logged(number: int, time: int) -> logging.LogRecord:
    """The same as a record of the standard library."""
    made = logging.LogRecord(
        "shop.orders", logging.INFO, "/srv/shop/orders.py", 100, text(number), None, None, "accept"
    )
    made.created = time / 1e9
    made.msecs = time // 1_000_000 % 1000
    return made


def _frames(pairs: Iterable[tuple[int, int]]) -> list[bytes]:
    records = [record(*pair) for pair in pairs]
    starts = range(0, len(records), MAX_RECORDS)
    return [
        frame(RECORDS, place, pack(records[start : start + MAX_RECORDS]))
        for place, start in enumerate(starts, 1)
    ]


def _pickles(pairs: Iterable[tuple[int, int]]) -> list[bytes]:
    handler = logging.handlers.SocketHandler("localhost", 1)
    return [handler.makePickle(logged(*pair)) for pair in pairs]


FORMS: Final[dict[str, Callable[[Iterable[tuple[int, int]]], list[bytes]]]] = {
    "syslog": lambda pairs: [line(*pair) for pair in pairs],
    "tabard": _frames,
    "pickle": _pickles,
    "published": lambda pairs: [text(number).encode() for number, _ in pairs],
}
"""How numbers and times become what is sent: a list of messages."""


def prepared(form: str, count: int, began: int) -> list[bytes]:
    """The records 1 to `count` in that form; the first is of time `began`."""
    return FORMS[form]((number, began + number * STEP) for number in range(1, count + 1))
