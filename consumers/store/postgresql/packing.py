"""Rows as PostgreSQL's binary COPY takes them: those with bytes in them, and whatever was looked at value by value.

The format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 -- a signature, flags, and for each
row the number of its fields, each with its length in front, -1 for NULL; numbers are in network byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    head: bytes = b""
    """What each of these lines begins with; then the last one has no line feed yet."""

    @property
    def whole(self) -> bytes:
        """As the server takes them in."""
        if not self.head:
            return self.data
        return b"".join((self.head, self.data.replace(b"\n", b"\n" + self.head), b"\n"))


class Source:
    """What COPY reads, piece by piece: while the server works on one, the next is made."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        """The next piece, however long it is, and nothing after the last; all that is left when no size is said."""
        return b"".join(self._pieces) if size < 0 else next(self._pieces, b"")


def source(parts: Sequence[Packed]) -> Source:
    """What COPY reads: parts that are all of one format."""
    return Source(_pieces(parts))


def _pieces(parts: Sequence[Packed]) -> Iterator[bytes]:
    if parts[0].binary:
        yield SIGNATURE
    yield from (part.whole for part in parts if part.data)
    if parts[0].binary:
        yield TRAILER


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
