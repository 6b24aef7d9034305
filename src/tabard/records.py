"""The positional layout of log and sample records, and how a value is made storable.

A record travels as a msgpack list whose positions are fixed here (protocol version 1). Names follow
the OpenTelemetry log data model where it has one (``severity`` is its SeverityNumber, 1 to 24; 0 is
"not said"), the standard library's ``LogRecord`` otherwise, and the ids that operations teams filter
by (product, system, sub-systems, two free user fields, package and version).
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

LOG_FIELDS: Final = (
    "time",  # int, nanoseconds since 1970-01-01 UTC, as the source said it (event time)
    "severity",  # int, OpenTelemetry SeverityNumber 1..24, 0 = not said
    "level",  # str, the source's own word for it ("INFO", "notice")
    "service",  # str, the program that speaks
    "product",
    "system",
    "subsystem",
    "subsubsystem",
    "user1",
    "user2",
    "package",
    "version",
    "logger",
    "module",
    "function",
    "line",  # int
    "process",  # int, process id
    "thread",  # str
    "message",  # str
    "exception",  # str, type and text in one line
    "stack",  # str, the whole trace
    "trace_id",
    "span_id",
    "attributes",  # str, a JSON object of everything else
)
LOG_WIDTH: Final = len(LOG_FIELDS)
LOG_INDEX: Final = {name: position for position, name in enumerate(LOG_FIELDS)}
INT_FIELDS: Final = frozenset({"time", "severity", "line", "process"})
REQUIRED_FIELDS: Final = frozenset({"time", "severity", "message"})
"""Never nil; every other field may be nil."""

SAMPLE_FIELDS: Final = (
    "time",  # int, nanoseconds since 1970-01-01 UTC
    "kind",  # str, "host" or "processes"
    "data",  # map, the kind's own layout (docs/protocol.md)
)
SAMPLE_WIDTH: Final = len(SAMPLE_FIELDS)

MAX_RECORD: Final = 262_144
"""Bytes of one encoded record; a longer message is cut and says so in its attributes."""
MAX_RECORDS: Final = 256
"""Records in one intake frame and in one batch."""
MAX_BODY: Final = 1_048_576
"""Bytes of one batch body and of one intake frame."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
TIME_MIN: Final = 0
TIME_MAX: Final = 4_102_444_800_000_000_000
"""2100-01-01 UTC: a later event time is a broken clock, not a time."""

SEVERITIES: Final = {
    "TRACE": 1,
    "DEBUG": 5,
    "INFO": 9,
    "NOTICE": 10,
    "WARNING": 13,
    "WARN": 13,
    "ERROR": 17,
    "ERR": 17,
    "CRITICAL": 21,
    "CRIT": 21,
    "FATAL": 21,
    "ALERT": 22,
    "EMERGENCY": 24,
    "EMERG": 24,
}
"""Level words (upper case) to OpenTelemetry severity numbers."""


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def severity_name(severity: int) -> str:
    """The usual word of a severity number: ``DEBUG`` for 5 to 8, ``INFO`` for 9 to 12 and so on."""
    if severity <= 0:
        return ""
    words = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    return words[min(severity - 1, 23) // 4]


def clean_text(value: str) -> str:
    """``value`` without what no database column takes: NUL becomes U+2400, each lone surrogate U+FFFD."""
    if "\0" in value:
        value = value.replace("\0", "\u2400")
    try:
        value.encode()
    except UnicodeEncodeError:
        value = _SURROGATE.sub("\ufffd", value)
    return value


def clean_int(value: int) -> int:
    """``value`` clamped to a signed 64-bit column."""
    return min(max(value, INT_MIN), INT_MAX)


def normalise_log(record: Any) -> tuple[Any, ...]:
    """Make any decoded value a storable log record: right width, right types, clamped, cleaned.

    What cannot be understood is kept as text in ``message`` rather than dropped. Never raises.
    """
    if not isinstance(record, (list, tuple)):
        record = (0, 0, None, *([None] * 15), repr(record))
    values = list(record[:LOG_WIDTH]) + [None] * (LOG_WIDTH - len(record))
    for position, name in enumerate(LOG_FIELDS):
        value = values[position]
        if name in INT_FIELDS:
            values[position] = _storable_int(value)
        elif value is not None:
            values[position] = clean_text(value if isinstance(value, str) else _as_text(value))
    time = values[0]
    if time is None or not TIME_MIN <= time <= TIME_MAX:
        values[0] = 0
    severity = values[1]
    values[1] = severity if severity is not None and 0 <= severity <= 24 else 0
    if values[LOG_INDEX["message"]] is None:
        values[LOG_INDEX["message"]] = ""
    return tuple(values)


def _storable_int(value: Any) -> int | None:
    if isinstance(value, bool) or value is None:
        return None if value is None else int(value)
    if isinstance(value, int):
        return clean_int(value)
    if isinstance(value, float) and math.isfinite(value) and abs(value) < 2**63:
        return int(value)
    return None


def _as_text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return str(value)
