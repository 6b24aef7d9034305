"""Many log records in one statement: half the cost of a statement run once for each.

A statement takes a power of two of records and leaves out the columns that none of them fills, so that few
texts serve all commits and nothing is bound that is not said. What all records of a group share (node, epoch,
arrival, origin) is bound once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.delivery.ports import Entry
from tabard.consumers.store import deployed
from tabard.consumers.store.models import LOG_COLUMNS
from tabard.consumers.store.rows import Malformed, Suspicious
from tabard.records import INT_FIELDS, LOG_FIELDS, LOG_INDEX

MOST: Final = 64
"""Records in one statement; more gain nothing."""
_HEAD: Final = len(LOG_COLUMNS) - len(LOG_FIELDS)
_TEXTS: Final = frozenset(place for place, name in enumerate(LOG_FIELDS) if name not in INT_FIELDS)
_TIME: Final = LOG_INDEX["time"]
_LOGGER: Final = LOG_INDEX["logger"]
_STATEMENTS: Final = 512
"""Texts remembered."""


class Chunk(NamedTuple):
    """One statement and its parameters."""

    statement: str
    parameters: Sequence[Any]


def log_chunks(entry: Entry, node_id: int, epoch_id: int, arrived: int) -> list[Chunk]:
    """The statements that store the log records of `entry` as they came, and note what they say of configurations.

    An event time of 0 means "not said": the arrival time stands for it.

    Raises:
        Suspicious: a text holds what not every database stores, or the records are not all of one width.
        Malformed: the header names another number of records.
    """
    seq = entry.batch.header.first
    chunks: list[Chunk] = []
    for _source, _mark, origin, records in entry.groups or ():
        if not records:
            continue
        columns = _columns(records, arrived)
        if origin is not None and "\0" in origin:
            raise Suspicious
        said = tuple(place for place, column in enumerate(columns) if column is not None)
        width = len(said)
        flat: list[Any] = [None] * (width * len(records))
        for number, place in enumerate(said):
            flat[number::width] = columns[place]
        for start, size in _parts(len(records)):
            head = [node_id, epoch_id, seq + start, arrived, origin]
            chunks.append(Chunk(statement(said, size), head + flat[start * width : (start + size) * width]))
        seq += len(records)
        if columns[_LOGGER] is not None:
            notes = deployed.steps(columns[_LOGGER], records, node_id, arrived)
            chunks.extend(Chunk(*note) for note in notes)
    header = entry.batch.header
    if entry.groups and seq != header.last + 1:
        raise Malformed(f"the header names {header.count} records, the body holds {seq - header.first}")
    return chunks


def _columns(records: Sequence[Any], arrived: int) -> list[Any]:
    """The records column by column, None for a column that nobody fills."""
    if set(map(type, records)) != {tuple} or set(map(len, records)) != {len(LOG_FIELDS)}:
        raise Suspicious
    columns: list[Any] = list(zip(*records, strict=True))
    for place, column in enumerate(columns):
        # The first value spares most columns the count of all.
        if column[0] is None and column.count(None) == len(column):
            columns[place] = None
        elif place in _TEXTS and "\0" in _joined(column):
            raise Suspicious
    times = columns[_TIME]
    if times is None:
        raise Suspicious
    if 0 in times:
        columns[_TIME] = tuple(time or arrived for time in times)
    return columns


def _joined(column: tuple[Any, ...]) -> str:
    try:
        return "".join(column)
    except TypeError:  # some are None
        return "".join(filter(None, column))


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
    names = ", ".join((*LOG_COLUMNS[:_HEAD], *(LOG_FIELDS[place] for place in said)))
    rows = []
    number = _HEAD
    for row in range(size):
        values = ", ".join(f"?{number + field + 1}" for field in range(len(said)))
        rows.append(f"(?1, ?2, ?3 + {row}, ?4, ?5, {values})")
        number += len(said)
    return f"INSERT INTO log ({names}) VALUES {', '.join(rows)}"  # noqa: S608 -- names are the schema's own
