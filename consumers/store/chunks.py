"""Many log records in one statement: half the cost of a statement run once for each.

A statement takes a power of two of records and leaves out the columns that none of them fills, so that few
texts serve all commits and nothing is bound that is not said. What all records of a group share (node, epoch,
arrival, origin) is bound once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tabard.consumers.store.columns import Group
from tabard.consumers.store.models import LOG_HEAD
from tabard.records import LOG_FIELDS

MOST: Final = 64
"""Records in one statement; more gain nothing."""
_STATEMENTS: Final = 512
"""Texts remembered."""


class Chunk(NamedTuple):
    """One statement and its parameters."""

    statement: str
    parameters: Sequence[Any]


def chunks_of(group: Group, node_id: int, epoch_id: int, arrived: int) -> Iterator[Chunk]:
    """The statements that store the log records of `group` as they came."""
    said = tuple(place for place, column in enumerate(group.columns) if column is not None)
    width, count = len(said), len(group.records)
    flat: list[Any] = [None] * (width * count)
    for number, place in enumerate(said):
        flat[number::width] = group.columns[place]
    for start, size in _parts(count):
        head = [node_id, epoch_id, group.seq + start, arrived, group.origin]
        yield Chunk(statement(said, size), head + flat[start * width : (start + size) * width])


def _parts(count: int) -> Iterator[tuple[int, int]]:
    """`count` as starts and sizes, the sizes powers of two of at most `MOST`."""
    start = 0
    while start < count:
        left = count - start
        size = MOST if left >= MOST else 1 << (left.bit_length() - 1)
        yield start, size
        start += size


@functools.lru_cache(maxsize=_STATEMENTS)
def statement(said: tuple[int, ...], size: int) -> str:
    """The text that inserts `size` records of which the fields `said` are given."""
    names = ", ".join((*LOG_HEAD, *(LOG_FIELDS[place] for place in said)))
    rows = []
    number = len(LOG_HEAD)
    for row in range(size):
        values = ", ".join(f"?{number + field + 1}" for field in range(len(said)))
        rows.append(f"(?1, ?2, ?3 + {row}, ?4, ?5, {values})")
        number += len(said)
    return f"INSERT INTO log ({names}) VALUES {', '.join(rows)}"  # noqa: S608 -- names are the schema's own
