"""From decoded batches to rows: the same for every engine.

The fast path trusts the shape of the records and lets the database refuse what does not fit; only then are
the records looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tabard.brokers.delivery.ports import Entry
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.streams import LOGS
from tabard.records import INT_FIELDS, LOG_FIELDS, SAMPLE_WIDTH, TIME_MAX, TIME_MIN, clean_text, normalise_log

Row = tuple[Any, ...]
Builder = Callable[[Entry, int, int, int], list[Row]]


class Malformed(Exception):
    """Raised when a batch holds what cannot become a row; it is to be quarantined."""


class Suspicious(Exception):
    """Raised when the records of a batch have to be made storable one by one."""


_TEXTS: Final = tuple(position for position, name in enumerate(LOG_FIELDS) if name not in INT_FIELDS)


def builder(stream: int, *, careful: bool) -> Builder:
    """What turns an entry of `stream` into rows, given node id, epoch id and arrival time.

    A careful one normalises every log record first. All raise Malformed; the fast one for logs also raises
    Suspicious, and any error that unexpected types cause.
    """
    if stream != LOGS:
        return map_rows
    return careful_log_rows if careful else log_rows


def log_rows(entry: Entry, node_id: int, epoch_id: int, arrived: int) -> list[Row]:
    """Rows of log records as they came. An event time of 0 means "not said": the arrival time stands for it.

    Raises:
        Suspicious: a text holds what not every database stores.
    """
    at, numbers = 0, numbers_of(entry)
    rows: list[Row] = []
    for _source, _mark, origin, records in entry.groups or ():
        _must_be_clean(origin, records)
        end = at + len(records)
        rows += [
            (node_id, epoch_id, seq, arrived, origin) + record  # noqa: RUF005 -- a third faster than unpacking
            if record[0]
            else (node_id, epoch_id, seq, arrived, origin, arrived, *record[1:])
            for seq, record in zip(numbers[at:end], records, strict=True)
        ]
        at = end
    return rows


def _must_be_clean(origin: Any, records: Sequence[Any]) -> None:
    """Look for NUL, which one database takes and another does not."""
    columns = tuple(zip(*records, strict=True))
    for column in (columns[position] for position in _TEXTS):
        # Most columns are empty, and found to be so at a tenth of the cost.
        if column.count(None) != len(column) and "\0" in "".join(filter(None, column)):
            raise Suspicious
    if origin is not None and "\0" in origin:
        raise Suspicious


def careful_log_rows(entry: Entry, node_id: int, epoch_id: int, arrived: int) -> list[Row]:
    """Rows of log records made storable one by one."""
    numbers = iter(numbers_of(entry))
    rows: list[Row] = []
    for _source, _mark, origin, records in entry.groups or ():
        for record in records:
            time, *rest = normalise_log(record)
            rows.append((node_id, epoch_id, next(numbers), arrived, _origin(origin), time or arrived, *rest))
    return rows


def map_rows(entry: Entry, node_id: int, epoch_id: int, arrived: int) -> list[Row]:
    """Rows of samples or control records: time, kind, and a map that is stored as msgpack.

    Raises:
        Malformed: a record is not ``[time, kind, map]``.
    """
    numbers = iter(numbers_of(entry))
    rows: list[Row] = []
    for _source, _mark, _origin, records in entry.groups or ():
        for record in records:
            seq = next(numbers)
            if not isinstance(record, (list, tuple)) or len(record) != SAMPLE_WIDTH:
                raise Malformed(f"record {seq} is not [time, kind, data]")
            time, kind, data = record
            if type(time) is not int or not isinstance(kind, str) or not isinstance(data, dict):
                raise Malformed(f"record {seq} is not an integer, a text and a map")
            if not TIME_MIN < time <= TIME_MAX:
                time = arrived
            rows.append((node_id, epoch_id, seq, arrived, time, clean_text(kind), pack(data)))
    return rows


def numbers_of(entry: Entry) -> Sequence[int]:
    """The sequence numbers of the records that are there, in order.

    The header's count is what the cursor advances by: rows beyond it would meet those of the next batch.

    Raises:
        Malformed: the header names another number of records.
    """
    header = entry.batch.header
    there = sum(len(group[3]) for group in entry.groups or ())
    if entry.seqs is None and not entry.withheld:
        if entry.groups and there != header.count:
            raise Malformed(f"the header names {header.count} records, the body holds {there}")
        return range(header.first, header.first + there)
    seqs, stubs = entry.seqs or (), sum(run.count for run in entry.withheld)
    if len(seqs) != there or there + stubs != header.count:
        raise Malformed(
            f"the header names {header.count} records, the body holds {there} and {stubs} were withheld"
        )
    return seqs


def _origin(value: Any) -> str | None:
    return None if value is None else clean_text(str(value))
