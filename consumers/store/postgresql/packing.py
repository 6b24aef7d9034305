"""Rows as PostgreSQL's binary COPY takes them, built column by column.

The format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 -- a signature, flags, and for each
row the number of its fields, each with its length in front, -1 for NULL; numbers are in network byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Self

from tabard.consumers.store.columns import Group
from tabard.consumers.store.models import LOG_HEAD
from tabard.records import INT_FIELDS, LOG_FIELDS

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
REFUSALS: Final = (struct.error, ValueError, TypeError, AttributeError, OverflowError)
"""How a value shows here that its column does not take it."""

_WIDTH: Final = struct.Struct("!h").pack
_LENGTH: Final = struct.Struct("!i").pack
_NUMBER: Final = struct.Struct("!iq").pack
_SMALL: Final = struct.Struct("!ih").pack
_NULL: Final = _LENGTH(-1)
_NUMBERS: Final = frozenset(place for place, name in enumerate(LOG_FIELDS) if name in INT_FIELDS)
_MOST_KEPT: Final = 4_096
"""Different values of one column whose bytes are remembered: names of services and loggers come again and again."""

Field = Callable[[Any], bytes]


class Packed(NamedTuple):
    """Rows for the same columns."""

    columns: tuple[str, ...]
    data: bytes

    def pack(self) -> bytes:
        """The rows."""
        return self.data


class LogRows(NamedTuple):
    """Log records as they came, to be packed while the server takes in those before them."""

    columns: tuple[str, ...]
    group: Group
    node_id: int
    epoch_id: int
    arrived: int

    @classmethod
    def of(cls, group: Group, node_id: int, epoch_id: int, arrived: int) -> Self:
        """With the columns that some record of the group fills."""
        said = (LOG_FIELDS[place] for place, column in enumerate(group.columns) if column is not None)
        return cls((*LOG_HEAD, *said), group, node_id, epoch_id, arrived)

    def pack(self) -> bytes:
        """The rows. Raises one of `REFUSALS`."""
        return pack_group(self.group, self.node_id, self.epoch_id, self.arrived)


class Source:
    """What COPY reads: rows that are packed one part after another, when the driver asks for them.

    The driver turns what a read raises into an error of its own; `error` is what it was.
    """

    def __init__(self, parts: Iterable[Packed | LogRows]) -> None:
        self._parts = iter(parts)
        self._rest = memoryview(SIGNATURE)
        self._ended = False
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, b"" at the end. Raises one of `REFUSALS`."""
        while not self._rest and not self._ended:
            self._rest = memoryview(self._next())
        if size < 0 or size >= len(self._rest):
            data, self._rest = self._rest, self._rest[:0]
        else:
            data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)

    def _next(self) -> bytes:
        try:
            part = next(self._parts, None)
            if part is not None:
                return part.pack()
        except REFUSALS as error:
            self.error = error
            raise
        self._ended = True
        return TRAILER


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


class _Kept(dict[Any, bytes]):
    """Values of one column and their bytes, up to `_MOST_KEPT`."""

    def __init__(self, field: Field) -> None:
        super().__init__()
        self._field = field

    def __missing__(self, value: Any) -> bytes:
        made = self._field(value)
        if len(self) < _MOST_KEPT:
            self[value] = made
        return made


_KEPT: Final = [_Kept(number if place in _NUMBERS else text) for place in range(len(LOG_FIELDS))]


def pack_group(group: Group, node_id: int, epoch_id: int, arrived: int) -> bytes:
    """Log records as they came. Raises one of `REFUSALS`."""
    said = [place for place, column in enumerate(group.columns) if column is not None]
    count = len(group.records)
    width = 2 + len(said)
    pieces: list[bytes] = [b""] * (width * count)
    head = _WIDTH(len(LOG_HEAD) + len(said)) + number(node_id) + number(epoch_id)
    tail = number(arrived) + text(group.origin)
    pieces[0::width] = [head + _NUMBER(8, seq) for seq in range(group.seq, group.seq + count)]
    pieces[1::width] = [tail] * count
    for at, place in enumerate(said, start=2):
        pieces[at::width] = _packed(place, group.columns[place])
    return b"".join(pieces)


def _packed(place: int, column: Sequence[Any]) -> Iterable[bytes]:
    """The bytes of one column of log records."""
    if set(map(type, column)) - {str, int, type(None)}:
        raise TypeError(f"{LOG_FIELDS[place]} is neither a text nor a number")
    if 2 * len(set(column)) < len(column):
        return map(_KEPT[place].__getitem__, column)
    return map(number if place in _NUMBERS else text, column)


def pack_rows(columns: Sequence[tuple[str, Field]], rows: Iterable[Sequence[Any]]) -> Packed:
    """Rows of any table, given how each column is written. Raises one of `REFUSALS`."""
    head = _WIDTH(len(columns))
    fields = [field for _name, field in columns]
    parts: list[bytes] = []
    for row in rows:
        parts.append(head)
        parts += [field(value) for field, value in zip(fields, row, strict=True)]
    return Packed(tuple(name for name, _field in columns), b"".join(parts))
