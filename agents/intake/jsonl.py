"""JSON lines: any program that can write a line of text can log.

A line is a JSON object whose keys are the fields of a log record or one of the names that widespread
loggers use for them; what has no field goes into the attributes. A line that is no JSON object is kept as
a message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from tabard.agents.intake.admission import fitted
from tabard.agents.intake.cutting import CUT, add_attributes, cut_record, to_json
from tabard.agents.intake.times import parse_time
from tabard.brokers.wire.codec import pack
from tabard.records import (
    INT_FIELDS,
    LOG_INDEX,
    LOG_WIDTH,
    MAX_RECORD,
    SEVERITIES,
    normalise_log,
)

ALIASES: Final = {
    "@timestamp": "time",
    "timestamp": "time",
    "ts": "time",
    "created": "time",
    "asctime": "time",
    "msg": "message",
    "text": "message",
    "levelname": "level",
    "severity_text": "level",
    "lvl": "level",
    "severity_number": "severity",
    "name": "logger",
    "logger_name": "logger",
    "module_name": "module",
    "func": "function",
    "funcname": "function",
    "lineno": "line",
    "pid": "process",
    "threadname": "thread",
    "thread_name": "thread",
    "exc_info": "exception",
    "exc_text": "exception",
    "error": "exception",
    "stack_info": "stack",
    "stacktrace": "stack",
    "stack_trace": "stack",
    "traceback": "stack",
    "traceid": "trace_id",
    "spanid": "span_id",
    "app": "service",
    "service_name": "service",
    "service.name": "service",
}
"""Other names of the fields, in lower case; a field's own name wins over an alias."""

NOT_JSON: Final = to_json({"intake": "not json"})
"""The attributes of a line that is no JSON object."""

_PYTHON_LEVELS: Final = ((50, 21), (40, 17), (30, 13), (20, 9), (10, 5))
_JSON_LOGGER_LEVELS: Final = ((60, 21), (50, 17), (40, 13), (30, 9), (20, 5), (10, 1))
"""Bunyan's and pino's numeric ``level``, another scale than Python's ``levelno``."""
_ATTRIBUTES: Final = LOG_INDEX["attributes"]


def _finite(digits: str) -> float | str:
    """A float, or the digits of one that has no end: the attributes have to be valid JSON again."""
    value = float(digits)
    return value if abs(value) != inf else digits


# Made once: json.loads with arguments makes a decoder for every line.
_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=str)


class LineParser:
    """Splits bytes into lines and makes each a log record; holds at most one line of `MAX_RECORD` bytes."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self._wall = wall
        self._rest = bytearray()
        self._dropped = 0

    @property
    def buffered(self) -> int:
        """Bytes held of the line that is not complete."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        """The records of the lines that ``data`` completes; blank lines are none."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._take(data, start, end)
            yield from self.finish()
            start = end + 1
        self._take(data, start, len(data))

    def finish(self) -> Iterator[tuple[Any, ...]]:
        """The record of what is held as if its line ended here."""
        line, dropped = bytes(self._rest), self._dropped
        self._rest.clear()
        self._dropped = 0
        if dropped:
            yield _too_long(line, len(line) + dropped, self._wall())
        elif line.strip():
            yield parse_line(line, self._wall())

    def _take(self, data: bytes, start: int, end: int) -> None:
        room = min(end - start, MAX_RECORD - len(self._rest))
        self._rest += data[start : start + room]
        self._dropped += end - start - room


def parse_line(line: bytes, now: int) -> tuple[Any, ...]:
    """The log record of one line; ``now`` (ns UTC) is its time unless it says its own. Never raises."""
    record = parse_object(line, now)
    if record is not None:
        return record
    values: list[Any] = [None] * LOG_WIDTH
    values[LOG_INDEX["time"]] = now
    values[LOG_INDEX["message"]] = line.decode("utf-8", "backslashreplace").strip()
    values[_ATTRIBUTES] = NOT_JSON
    return _within(fitted(tuple(values)))


def parse_object(line: bytes, now: int) -> tuple[Any, ...] | None:
    """The log record of a line that is a JSON object, None when it is none. Never raises."""
    try:
        said = _DECODER.decode(line.decode().strip())
        if not isinstance(said, dict):
            return None
        record = _from_object(said, now)
        # Only an escape can say half of a surrogate pair, which no database takes.
        return _within(normalise_log(record) if b"\\u" in line else record)
    except (ValueError, RecursionError):
        return None


def _from_object(said: dict[str, Any], now: int) -> tuple[Any, ...]:
    values: list[Any] = [None] * LOG_WIDTH
    extra: dict[str, Any] = {}
    for key, value in said.items():
        name = ALIASES.get(key.lower(), key.lower())
        position = LOG_INDEX.get(name)
        if position is None or position == _ATTRIBUTES or (name != key and said.get(name) is not None):
            extra[key] = value
        elif value is None:
            continue
        elif values[position] is not None or not _belongs(name, value):
            extra[key] = value
        else:
            values[position] = _scalar(value)
    _set_time(values, extra, now)
    _set_severity(values, extra)
    if isinstance(attributes := _object(extra.get("attributes")), dict):
        del extra["attributes"]
        extra = attributes | extra
    if extra:
        values[_ATTRIBUTES] = to_json(extra)
    return fitted(tuple(values))


def _object(attributes: Any) -> Any:
    """``attributes`` as an object, should it have been sent as the JSON text a record holds."""
    if isinstance(attributes, str):
        try:
            return _DECODER.decode(attributes)
        except ValueError:
            return None
    return attributes


def _belongs(name: str, value: Any) -> bool:
    """Whether a value can stand in the column ``name``; others stay what they are, in the attributes."""
    if name in {"line", "process"}:
        return isinstance(value, int) and not isinstance(value, bool)
    return name in INT_FIELDS or not isinstance(value, bool)


def _scalar(value: Any) -> Any:
    return to_json(value) if isinstance(value, (dict, list)) else value


def _set_time(values: list[Any], extra: dict[str, Any], now: int) -> None:
    said = values[LOG_INDEX["time"]]
    if said is None:
        values[LOG_INDEX["time"]] = now
        return
    time = parse_time(said)
    if time is None:
        extra["time"] = said
    values[LOG_INDEX["time"]] = now if time is None else time


def _set_severity(values: list[Any], extra: dict[str, Any]) -> None:
    severity, level = values[LOG_INDEX["severity"]], values[LOG_INDEX["level"]]
    if isinstance(severity, str):  # Google's and others' "severity" is the word
        if level is None:
            level = values[LOG_INDEX["level"]] = severity
        else:
            extra["severity"] = severity
        severity = None
    if not isinstance(severity, int) or not 0 <= severity <= 24:
        if severity is not None:
            extra["severity"] = severity
        if isinstance(number := extra.get("levelno"), (int, float)):
            severity = _by_scale(number, _PYTHON_LEVELS)
        elif isinstance(level, (int, float)):
            severity = _by_scale(level, _JSON_LOGGER_LEVELS)
        else:
            severity = SEVERITIES.get(str(level or "").strip().upper(), 0)
    values[LOG_INDEX["severity"]] = severity


def _by_scale(number: float, scale: tuple[tuple[int, int], ...]) -> int:
    return next((severity for least, severity in scale if number >= least), 0)


def _too_long(line: bytes, size: int, now: int) -> tuple[Any, ...]:
    """A line that was longer than a record may be: its beginning, as text, with a note of its size."""
    record = list(parse_line(line, now))
    record[_ATTRIBUTES] = add_attributes(record[_ATTRIBUTES], {CUT: {"line": size}})
    return _within(tuple(record))


def _within(record: tuple[Any, ...]) -> tuple[Any, ...]:
    # Packing only what can be too large: a character takes at most four bytes.
    if sum(len(value) for value in record if isinstance(value, str)) * 4 < MAX_RECORD:
        return record
    return cut_record(record, MAX_RECORD) if len(pack(record)) > MAX_RECORD else record
