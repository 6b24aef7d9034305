"""Many log records in one statement: half the cost of a statement run once for each.

A statement takes a power of two of records and leaves out the columns that none of them fills, so that few
texts serve all commits and nothing is bound that is not said. What all records of a group share (node, epoch,
arrival, origin) is bound once, and so is which program says them, where that is one: to bind a value costs a good
part of what it costs to store it.

When the database refuses a record, its whole transaction is taken back. So a statement says that it need not take back
what it did itself (``OR FAIL``): to be able to, SQLite would copy each page aside that the statement changes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tabard.consumers.store.columns import Group
from tabard.consumers.store.models import LOG_HEAD
from tabard.records import LOG_FIELDS, LOG_INDEX

MOST: Final = 64
"""Records in one statement; more gain nothing."""
_STATEMENTS: Final = 512
"""Texts remembered."""
_ALIKE: Final = tuple(
    frozenset(LOG_INDEX[name] for name in names)
    for names in (
        ("product", "system", "subsystem", "subsubsystem", "package", "version"),
        ("service", "process"),
    )
)
"""Fields that are the same in all records of one program. Either set is bound once when all that is said of it is the
same in a whole group: field by field there would be too many texts, and by chance."""


class Chunk(NamedTuple):
    """One statement and its parameters."""

    statement: str
    parameters: Sequence[Any]


def chunks_of(group: Group, node_id: int, epoch_id: int, arrived: int) -> Iterator[Chunk]:
    """The statements that store the log records of `group` as they came."""
    columns, count = group.columns, len(group.records)
    said = [place for place, column in enumerate(columns) if column is not None]
    once = _once(said, columns) if count >= MOST else ()
    each = tuple(place for place in said if place not in once)
    filled = [columns[place] for place in each]
    shared = [columns[place][0] for place in once]
    head, width = len(LOG_HEAD) + len(shared), len(each)
    for start, size in _parts(count):
        end = start + size
        values: list[Any] = [None] * (head + width * size)
        values[:head] = (node_id, epoch_id, group.seq + start, arrived, group.origin, *shared)
        for first, column in enumerate(filled, head):
            values[first::width] = column[start:end]
        yield Chunk(statement(once, each, size), values)


def _once(said: Sequence[int], columns: Sequence[Any]) -> tuple[int, ...]:
    """The fields whose one value is bound once for all records."""
    once: list[int] = []
    for alike in _ALIKE:
        places = [place for place in said if place in alike]
        if all(_is_one(columns[place]) for place in places):
            once += places
    return tuple(once)


def _is_one(column: Sequence[Any]) -> bool:
    """Whether all values are equal, which to the database is the same. Both ends differ in most that are not."""
    first = column[0]
    return bool(first == column[-1]) and column.count(first) == len(column)


def _parts(count: int) -> Iterator[tuple[int, int]]:
    """`count` as starts and sizes, the sizes powers of two of at most `MOST`."""
    start = 0
    while start < count:
        left = count - start
        size = MOST if left >= MOST else 1 << (left.bit_length() - 1)
        yield start, size
        start += size


@functools.lru_cache(maxsize=_STATEMENTS)
def statement(once: tuple[int, ...], each: tuple[int, ...], size: int) -> str:
    """The text that inserts `size` records of which the fields `once` are given for all, and `each` one by one."""
    names = ", ".join((*LOG_HEAD, *(LOG_FIELDS[place] for place in (*once, *each))))
    number = len(LOG_HEAD) + len(once)
    shared = [f"?{place}" for place in range(len(LOG_HEAD) + 1, number + 1)]
    rows = []
    for row in range(size):
        values = ", ".join((*shared, *(f"?{number + field + 1}" for field in range(len(each)))))
        rows.append(f"(?1, ?2, ?3 + {row}, ?4, ?5, {values})")
        number += len(each)
    return f"INSERT OR FAIL INTO log ({names}) VALUES {', '.join(rows)}"  # noqa: S608 -- names are the schema's own
