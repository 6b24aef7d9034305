"""Log records column by column, which is how many of them are looked at and written at little cost each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.delivery.ports import Entry
from tabard.consumers.store import deployed
from tabard.consumers.store.rows import Malformed, Suspicious
from tabard.records import INT_FIELDS, LOG_FIELDS, LOG_INDEX

_TEXTS: Final = frozenset(place for place, name in enumerate(LOG_FIELDS) if name not in INT_FIELDS)
_TIME: Final = LOG_INDEX["time"]
_LOGGER: Final = LOG_INDEX["logger"]


class Group(NamedTuple):
    """The records of one origin in a batch, in order."""

    seq: int
    """Of the first."""
    origin: str | None
    records: Sequence[Any]
    columns: Sequence[Any]
    """By the place of the field; None for one that nobody fills."""

    @property
    def configurations(self) -> Sequence[Any]:
        """The records that say with which configuration a service runs, as far as one column tells."""
        loggers = self.columns[_LOGGER]
        if loggers is None or deployed.LOGGER not in loggers:
            return ()
        return [record for record in self.records if record[_LOGGER] == deployed.LOGGER]


def groups_of(entry: Entry, arrived: int) -> Iterator[Group]:
    """The groups of a batch. An event time of 0 means "not said": the arrival time stands for it.

    Raises:
        Suspicious: a text holds what not every database stores, or the records are not all of one width.
        Malformed: the header names another number of records; after the last group.
    """
    found = 0
    for seq, origin, records in entry.runs():
        if not records:
            continue
        columns = _columns(records, arrived)
        if origin is not None and "\0" in origin:
            raise Suspicious
        yield Group(seq, origin, records, columns)
        found += len(records)
    if entry.groups and found != entry.count:
        raise Malformed(f"the header names {entry.count} records, the body holds {found}")


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
