"""Rows of any table for PostgreSQL's binary COPY, built column by column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from tabard.consumers.store.postgresql import packing
from tabard.consumers.store.postgresql.packing import SIGNATURE, TRAILER, Field, blob, number, small

__all__ = ["Field", "Stream", "blob", "clean", "number", "pack", "small", "text"]

_NULL: Final = number(None)


def text(value: Any) -> bytes:
    """A text. NUL, which SQLite takes and no intake lets through, becomes what it becomes there."""
    if value is not None and "\0" in value:
        value = clean(value)
    return packing.text(value)


def clean(value: Any) -> Any:
    """A value as the target keeps it."""
    return value.replace("\0", "\N{SYMBOL FOR NULL}") if isinstance(value, str) else value


def pack(fields: Sequence[Field], rows: Sequence[Sequence[Any]]) -> bytes:
    """The rows, all columns. Raises what a field raises for a value that it does not take."""
    count, width = len(rows), len(fields) + 1
    pieces: list[bytes] = [b""] * (width * count)
    pieces[0::width] = [len(fields).to_bytes(2, "big")] * count
    for at, (field, column) in enumerate(zip(fields, zip(*rows, strict=True), strict=True), start=1):
        pieces[at::width] = _packed(field, column, count)
    return b"".join(pieces)


def _packed(field: Field, column: Sequence[Any], count: int) -> Sequence[bytes]:
    if column[0] is None and column.count(None) == count:
        return [_NULL] * count
    different = set(column)
    if 2 * len(different) < count:
        made = {value: field(value) for value in different}
        return [made[value] for value in column]
    return list(map(field, column))


class Stream:
    """What COPY reads: parts made when the driver asks for them. `error` is what making one raised.

    The driver turns what a read raises into an error of its own.
    """

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._rest = memoryview(SIGNATURE)
        self._ended = False
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, b"" at the end."""
        while not self._rest and not self._ended:
            self._rest = memoryview(self._next())
        if size < 0:
            size = len(self._rest)
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)

    def _next(self) -> bytes:
        try:
            part = next(self._parts, None)
        except Exception as error:
            self.error = error
            raise
        if part is None:
            self._ended = True
            return TRAILER
        return part
