"""Bytes of SocketHandlers: the captures, and pickles put together by hand."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

CAPTURES = Path(__file__).parent / "captures"


def framed(*pickles: bytes) -> bytes:
    """What a SocketHandler sends: each behind its length."""
    return b"".join(struct.pack(">I", len(each)) + each for each in pickles)


def pickles(stream: bytes) -> list[bytes]:
    """The pickles of one connection."""
    found = []
    at = 0
    while at < len(stream):
        (length,) = struct.unpack_from(">I", stream, at)
        found.append(stream[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def text(value: str) -> bytes:
    """The opcode BINUNICODE."""
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def scalar(value: Any) -> bytes:
    """The opcodes of protocol 1 for a plain value."""
    if value is None:
        return b"N"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if 0 <= value < 256:
        return b"K" + bytes((value,))
    if 0 <= value < 65_536:
        return b"M" + struct.pack("<H", value)
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"L%dL\n" % value


def record_pickle(said: dict[str, Any], more: bytes = b"") -> bytes:
    """One LogRecord's attributes as Python 3 pickles them in protocol 1, memo and all; `more` goes in as it is."""
    found = bytearray(b"}q\x00(")
    memo = 1
    for key, value in said.items():
        found += text(key) + b"q" + bytes((memo,)) + scalar(value)
        memo += 1
        if isinstance(value, str):
            found += b"q" + bytes((memo,))
            memo += 1
    return bytes(found + more + b"u.")


def attributes(**given: Any) -> dict[str, Any]:
    """The attributes of a LogRecord of Python 3.14, in its order, ``given`` ones changed or added."""
    usual: dict[str, Any] = {
        "name": "shop.orders", "msg": "order 7 of alice", "args": None, "levelname": "INFO", "levelno": 20,
        "pathname": "/srv/shop/orders.py", "filename": "orders.py", "module": "orders", "exc_info": None,
        "exc_text": None, "stack_info": None, "lineno": 41, "funcName": "speak", "created": 1795316295.25,
        "msecs": 250.0, "relativeCreated": 13.5, "thread": 139759056939904, "threadName": "MainThread",
        "processName": "MainProcess", "process": 7153, "taskName": None,
    }  # fmt: skip
    return usual | given
