"""Rows as PostgreSQL's binary COPY takes them: those with bytes in them, and whatever was looked at value by value.

The format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 -- a signature, flags, and for each
row the number of its fields, each with its length in front, -1 for NULL; numbers are in network byte order.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
REFUSALS: Final = (struct.error, ValueError, TypeError, AttributeError, OverflowError)
"""How a value shows here that its column does not take it."""

_WIDTH: Final = struct.Struct("!h").pack
_LENGTH: Final = struct.Struct("!i").pack
_NUMBER: Final = struct.Struct("!iq").pack
_SMALL: Final = struct.Struct("!ih").pack
_NULL: Final = _LENGTH(-1)

Field = Callable[[Any], bytes]


class Packed(NamedTuple):
    """Rows for the same columns of a table."""

    columns: tuple[str, ...]
    data: bytes
    binary: bool = True
    """Whether they are in the binary format; otherwise they are lines of text."""


def source(parts: Sequence[Packed]) -> io.BytesIO:
    """What COPY reads: parts that are all of one format."""
    rows = [part.data for part in parts]
    return io.BytesIO(b"".join([SIGNATURE, *rows, TRAILER] if parts[0].binary else rows))


def number(value: Any) -> bytes:
    """A bigint. Raises struct.error for what is none."""
    return _NULL if value is None else _NUMBER(8, value)


def small(value: Any) -> bytes:
    """A smallint. Raises struct.error for what is none."""
    return _NULL if value is None else _SMALL(2, value)


def text(value: Any) -> bytes:
    """A text. Raises AttributeError for what is none, UnicodeEncodeError for what UTF-8 cannot say."""
    if value is None:
        return _NULL
    encoded: bytes = value.encode()
    return _LENGTH(len(encoded)) + encoded


def blob(value: Any) -> bytes:
    """Bytes. Raises TypeError for what is none."""
    return _NULL if value is None else _LENGTH(len(value)) + bytes(value)


def pack_rows(columns: Sequence[tuple[str, Field]], rows: Iterable[Sequence[Any]]) -> Packed:
    """Rows of any table, given how each column is written. Raises one of `REFUSALS`."""
    head = _WIDTH(len(columns))
    fields = [field for _name, field in columns]
    parts: list[bytes] = []
    for row in rows:
        parts.append(head)
        parts += [field(value) for field, value in zip(fields, row, strict=True)]
    return Packed(tuple(name for name, _field in columns), b"".join(parts))
