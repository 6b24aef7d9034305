r"""Log records as lines of a text COPY, which is built at half the cost of the binary form and read at no more.

The format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2 -- a line for each row, fields
between tabs, ``\N`` for NULL, a backslash before what would be read as one of these.

Lines are built at once, as if no field held a character that has to be escaped; then the whole is counted. A field
with a tab, a line feed or a backslash makes one too many, and only then is each field looked at.

What is the same for all records of a group and known at the commit alone (who sent it, when it arrived) is left out,
and put in front of each line when the server takes them in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.delivery.ports import Entry
from tabard.consumers.store import deployed
from tabard.consumers.store.postgresql.packing import Packed
from tabard.consumers.store.rows import Suspicious, numbers_of
from tabard.records import INT_FIELDS, LOG_FIELDS, LOG_INDEX

HEAD: Final = ("node_id", "epoch_id", "arrived", "origin", "seq")
"""The columns in front of those that records fill."""
_WIDTH: Final = len(LOG_FIELDS)
_NUMBERS: Final = tuple(name in INT_FIELDS for name in LOG_FIELDS)
_TIME: Final = LOG_INDEX["time"]
_LOGGER: Final = LOG_INDEX["logger"]
_NULL: Final = "\\N"
_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_MOST_KEPT: Final = 4_096
"""Different numbers whose text is remembered: severities, lines and processes come again and again."""
_SAMPLE: Final = 32
"""Numbers of a column that are compared to see whether they come again and again."""
_WRITTEN: Final = int.__repr__
"""A number as text, with less around it than `str`."""


class Lines(NamedTuple):
    """The records of one origin in a batch."""

    columns: tuple[str, ...]
    """`HEAD`, and those that some record fills."""
    origin: str
    """As a field."""
    text: bytes
    """A line for each, from the column `seq` on."""

    def placed(self, node_id: int, epoch_id: int, arrived: int) -> Packed:
        """With what is the same for all of them."""
        head = f"{node_id}\t{epoch_id}\t{arrived}\t{self.origin}\t".encode()
        return Packed(self.columns, self.text, binary=False, head=head)


class Prepared(NamedTuple):
    """A batch of log records."""

    rows: int
    lines: Sequence[Lines]
    configurations: Sequence[Any]
    """The records that say with which configuration a service runs, as far as one column tells."""


class Undated(Exception):
    """Raised for a record without an event time: when it arrived is not known yet."""


def prepare(entry: Entry, arrived: int | None = None) -> Prepared:
    """The lines of a batch. An event time of 0 means "not said": the arrival time stands for it.

    Raises:
        Undated: there is such a time, and `arrived` is None.
        Suspicious, TypeError, ValueError: records have to be made storable one by one.
        Malformed: the header names another number of records.
    """
    at, numbers = 0, numbers_of(entry)
    found: list[Lines] = []
    configurations: list[Any] = []
    for _source, _mark, origin, records in entry.groups or ():
        if not records:
            continue
        if origin is not None and "\0" in origin:
            raise Suspicious
        columns = _columns(records)
        said = [place for place, column in enumerate(columns) if column is not None]
        loggers = columns[_LOGGER]
        if loggers is not None and deployed.LOGGER in loggers:
            configurations += [record for record in records if record[_LOGGER] == deployed.LOGGER]
        times = columns[_TIME]
        if times is not None and 0 in times:
            if arrived is None:
                raise Undated
            columns[_TIME] = tuple(time or arrived for time in times)
        fields = [_digits(columns[place]) if _NUMBERS[place] else columns[place] for place in said]
        text = _text(len(records), [list(map(_WRITTEN, numbers[at : at + len(records)])), *fields])
        names = tuple(LOG_FIELDS[place] for place in said)
        found.append(Lines((*HEAD, *names), _NULL if origin is None else _field(origin), text))
        at += len(records)
    return Prepared(at, found, configurations)


def _columns(records: Sequence[Any]) -> list[Any]:
    """The records column by column, None for a column that nobody fills."""
    if set(map(type, records)) != {tuple} or len(records[0]) != _WIDTH:
        raise Suspicious
    return [
        # The first value spares most columns the count of all.
        None if column[0] is None and column.count(None) == len(column) else column
        for column in zip(*records, strict=True)  # ValueError where one is of another width
    ]


def _text(count: int, columns: Sequence[Sequence[str | None]]) -> bytes:
    """Lines without the last line feed. Raises Suspicious, and TypeError or ValueError for what is no text."""
    nulls = 0
    try:
        rows = _rows(columns)
    except TypeError:  # some are NULL
        nulls = sum(column.count(None) for column in columns)
        rows = _rows(
            [
                [_NULL if value is None else value for value in column] if None in column else column
                for column in columns
            ]
        )
    if not _is_plain("\t".join(rows), count * len(columns), nulls):
        rows = _rows([[_field(value) for value in column] for column in columns])
    text = "\n".join(rows)
    if "\0" in text:
        raise Suspicious
    return text.encode()


def _is_plain(text: str, fields: int, nulls: int) -> bool:
    """Whether no field holds what has to be escaped: then there are as many marks as were put there, and not one more.

    Looking whether there is any is many times cheaper than counting. So all fields are joined as if they were of one row.
    """
    return (
        "\n" not in text
        and "\r" not in text
        and (text.count("\\") == nulls if nulls else "\\" not in text)
        and text.count("\t") == fields - 1
    )


def _rows(columns: Sequence[Sequence[Any]]) -> list[str]:
    return list(map("\t".join, zip(*columns, strict=True)))


def _field(value: str | None) -> str:
    """Raises TypeError for what is no text."""
    if value is None:
        return _NULL
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    for mark, escaped in _ESCAPES:  # several times faster than a translation of every character
        value = value.replace(mark, escaped)
    return value


class _Kept(dict[int, str]):
    """Numbers and their texts, up to `_MOST_KEPT`."""

    def __missing__(self, value: int) -> str:
        made = str(value)
        if len(self) < _MOST_KEPT:
            self[value] = made
        return made


_KEPT: Final = _Kept()


def _digits(column: Sequence[Any]) -> Sequence[str | None]:
    """Numbers as text. Raises TypeError for what is none."""
    types = set(map(type, column))
    if types == {int}:
        sample = column[:_SAMPLE]
        seldom = 2 * len(set(sample)) > len(sample)
        return list(map(_WRITTEN if seldom else _KEPT.__getitem__, column))
    if types - {int, type(None)}:
        raise TypeError("something else in place of a number")
    return [None if value is None else str(value) for value in column]
