"""Rows in the layout of Tabard's log records, made of what was captured; by the background thread, in batches."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from tabard.applog.capture import MORE, TEXT_LIMIT, Entry, More, capture, cut, mismatched
from tabard.client import MAX_PAYLOAD
from tabard.records import LOG_FIELDS, LOG_INDEX, MAX_RECORDS, normalise_log

Row = tuple[Any, ...]


class Speaker(NamedTuple):
    """Who speaks: what every record of a process says of its origin, in the order of a record's fields."""

    service: str
    product: str | None = None
    system: str | None = None
    subsystem: str | None = None
    subsubsystem: str | None = None
    user1: str | None = None
    user2: str | None = None
    package: str | None = None
    version: str | None = None


class Packed(NamedTuple):
    """An array of records as a frame carries it, and how many they are."""

    payload: bytes
    records: int


_severities: dict[object, int] = {}
_MOST_LEVELS: Final = 256


def severity(levelno: object) -> int:
    """The OpenTelemetry number of a level of the logging module."""
    if not isinstance(levelno, (int, float)):
        return 0
    number = min(max(int(levelno // 10), 0), 5) * 4 + 1
    if len(_severities) < _MOST_LEVELS:
        _severities[levelno] = number
    return number


def row_of(record: logging.LogRecord, speaker: Speaker, process: int) -> Row:
    """One record as a row."""
    return rows_of([capture(record)], speaker, process)[0]


def rows_of(entries: Iterable[Entry], speaker: Speaker, process: int) -> list[Row]:
    """What was captured, as rows of full width. Most records have nothing special, so these are made in one go."""
    service, product, system, sub, subsub, user1, user2, package, version = speaker
    none = None
    rows: list[Row] = []
    for (
        created,
        levelno,
        level,
        name,
        module,
        function,
        line,
        _,
        thread,
        msg,
        args,
        more,
        _,
        *task,
    ) in entries:
        if args:
            try:
                message = msg % args
            except Exception:
                message = mismatched(msg, args)
            if len(message) > TEXT_LIMIT:
                message = cut(message)
        else:
            message = msg
        number = _severities.get(levelno) or severity(levelno)
        # fmt: off
        row: Row = (
            int(created * 1_000_000_000), number, level, service, product, system, sub, subsub, user1, user2, package,
            version, name, module, function, line, process, thread, message, none, none, none, none, none,
        )
        # fmt: on
        if more or (task and task[0]):
            row = _with_more(row, more, task)
        rows.append(row)
    return rows


def threads_of(entries: Sequence[Entry]) -> list[object]:
    """Which thread logged each of them."""
    return [entry[_THREAD] for entry in entries]


def pack(rows: Sequence[Row]) -> list[Packed]:
    """The rows as arrays that each fit a frame; a value that cannot travel as it is travels as text."""
    if not rows:
        return []
    try:
        payload = msgpack.packb(rows)
    except Exception:  # a logger or level with a name that is no text, a lone surrogate, a huge number
        rows = [_storable(row) for row in rows]
        payload = msgpack.packb(rows)
    if len(payload) <= MAX_PAYLOAD and len(rows) <= MAX_RECORDS:
        return [Packed(payload, len(rows))]
    if len(rows) == 1:
        return [Packed(msgpack.packb([_fitting(rows[0])]), 1)]
    half = len(rows) // 2
    return [*pack(rows[:half]), *pack(rows[half:])]


_THREAD: Final = 7
_EXCEPTION, _STACK, _ATTRIBUTES = (LOG_INDEX[name] for name in ("exception", "stack", "attributes"))
assert _THREAD < MORE
_MOST_TEXT: Final = 8_000
"""Characters of each text of a record that is too large otherwise; one has up to four bytes, the attributes fewer."""


def _with_more(row: Row, more: object, task: Sequence[object]) -> Row:
    """The row with what few records have, and with the name of the task of asyncio that logged it."""
    values = list(row)
    if isinstance(more, More):
        values[_EXCEPTION], values[_STACK], values[_ATTRIBUTES] = more.exception, more.stack, more.attributes
        for name, value in more.fields.items():
            values[LOG_INDEX[name]] = value
    if task and task[0]:
        attributes = json.loads(values[_ATTRIBUTES] or "{}")
        attributes.setdefault("task", cut(str(task[0]), _MOST_TEXT))
        values[_ATTRIBUTES] = json.dumps(attributes)
    return tuple(values)


def _storable(row: Row) -> Row:
    try:
        return normalise_log([value if isinstance(value, (str, int)) else _plain(value) for value in row])
    except Exception:
        return normalise_log([0] * LOG_FIELDS.index("message") + ["a record that could not be made storable"])


def _fitting(row: Row) -> Row:
    """A row too large for a frame, with all its texts cut so that they fit one together."""
    return tuple(
        cut(value, _MOST_TEXT) if isinstance(value, str) and position != _ATTRIBUTES else value
        for position, value in enumerate(_storable(row))
    )


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, (bytes, float)) else str(value)
