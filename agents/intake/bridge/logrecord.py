"""The attributes of a pickled ``logging.LogRecord`` in the layout of Tabard's log records.

What the standard library puts there has its fields, or is left out where it only says again what another
attribute says (`filename`, `msecs` and so on). What an application added goes to the field it is named for,
under the names of ps.basic too, and else into the attributes.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final

from tabard.agents.intake.bridge.opaque import Opaque
from tabard.agents.intake.bridge.plain import object_text, value_text
from tabard.agents.intake.tail.parse import severity_of
from tabard.records import LOG_FIELDS, TIME_MAX, TIME_MIN

STANDARD: Final = {
    "name": "logger",
    "levelname": "level",
    "module": "module",
    "funcName": "function",
    "lineno": "line",
    "process": "process",
    "threadName": "thread",
}
"""Attributes of every LogRecord, and their fields."""
LEFT_OUT: Final = frozenset(
    {
        "args", "asctime", "created", "exc_info", "exc_text", "filename", "levelno", "message", "msecs", "msg",
        "pathname", "relativeCreated", "stack_info", "thread",
    }
)  # fmt: skip
"""Attributes of every LogRecord that are read apart, or say again what others say."""
UNREMARKABLE: Final = {"processName": "MainProcess", "taskName": None}
"""Attributes of every LogRecord that become attributes here when they say something else than usual."""
EXTRAS: Final = {
    "product": "product", "product_id": "product", "produkt_id": "product",
    "system": "system", "system_id": "system",
    "subsystem": "subsystem", "sub_system": "subsystem", "sub_system_id": "subsystem",
    "subsubsystem": "subsubsystem", "sub_sub_system": "subsubsystem", "sub_sub_system_id": "subsubsystem",
    "user1": "user1", "user_1": "user1", "user_spec_1": "user1",
    "user2": "user2", "user_2": "user2", "user_spec_2": "user2",
    "package": "package", "package_name": "package",
    "version": "version", "package_version": "version",
    "service": "service", "service_name": "service", "app": "service",
    "trace_id": "trace_id", "traceid": "trace_id", "oteltraceid": "trace_id",
    "span_id": "span_id", "spanid": "span_id", "otelspanid": "span_id",
}  # fmt: skip
"""What applications add, in lower case, and the fields it belongs to."""
UNUSUAL_ARGUMENTS: Final = "args"
"""The attribute for arguments that could not be put into their message."""

_WHOLE: Final = 1_000_000_000
_DIRECTIVE: Final = re.compile(
    r"%(?:\((?P<key>[^()%]{1,64})\))?[#0 +-]{0,5}\d{0,3}(?:\.\d{1,3})?[diouxXeEfFgGcrsa%]"
)
_MOST_FORMATTED: Final = 262_144
_MOST_ARGUMENTS: Final = 64
_TRACEBACK: Final = "Traceback (most recent call last):"


def record_of(said: dict[str, Any], now: int) -> tuple[Any, ...]:
    """The log record of a LogRecord's attributes; ``now`` (ns UTC) is its time unless it says one. Never raises.

    The values are those of a plain pickle. What does not fit its field is made to by who encodes the record.
    """
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in said.items():
        if (field := STANDARD.get(key)) is not None:
            values[field] = value
        elif key in LEFT_OUT:
            continue
        elif key in UNREMARKABLE:
            if value != UNREMARKABLE[key]:
                extra[key] = value
        elif (field := EXTRAS.get(key.lower())) is not None and values.get(field) is None and _is_text(value):
            values[field] = value
        else:
            extra[key] = value
    values["time"] = time_of(said.get("created"), now)
    values["severity"] = severity_number(said.get("levelno"), said.get("levelname"))
    values["message"] = _message(said, extra)
    _set_exception(values, said)
    for field in ("line", "process"):
        if not isinstance(values.get(field), int):
            values[field] = None
    if extra:
        values["attributes"] = object_text(extra)
    return tuple(
        value if (value := values.get(field)) is None or isinstance(value, (str, int)) else value_text(value)
        for field in LOG_FIELDS
    )


def _is_text(value: Any) -> bool:
    return value is None or (isinstance(value, (str, int, float, bytes)) and not isinstance(value, bool))


def time_of(created: Any, now: int) -> int:
    """Nanoseconds of the seconds since 1970 that a LogRecord was created at, ``now`` where that is no time."""
    if isinstance(created, (int, float)) and isfinite(created):
        time = nanoseconds(created)
        if TIME_MIN <= time <= TIME_MAX:
            return time
    return now


def nanoseconds(seconds: float) -> int:
    """Seconds as nanoseconds. Multiplied at once, a float of this size would lose a tenth of a microsecond more."""
    whole = int(seconds)
    return whole * _WHOLE + int((seconds - whole) * _WHOLE)


def severity_number(levelno: Any, levelname: Any) -> int:
    """The OpenTelemetry number of a level of the logging module, by its number, else by its word."""
    if isinstance(levelno, (int, float)) and isfinite(levelno) and levelno > 0:
        return min(int(levelno) // 10, 5) * 4 + 1
    return severity_of(levelname) if isinstance(levelname, str) else 0


def last_line(trace: str) -> str | None:
    """Type and text of the exception that a formatted trace ends with, in one line of at most 1,000 characters."""
    lines = trace.rsplit(_TRACEBACK, 1)[-1].splitlines()
    for position, line in enumerate(lines):
        if line and not line[0].isspace():
            rest = lines[position:] if _TRACEBACK in trace else lines[-1:]
            return " ".join(" ".join(rest).split())[:1_000]
    return None


def _set_exception(values: dict[str, Any], said: dict[str, Any]) -> None:
    trace, info, stack = said.get("exc_text"), said.get("exc_info"), said.get("stack_info")
    if trace and isinstance(trace, str):
        values["exception"] = last_line(trace)
    elif info and info is not True:
        values["exception"] = value_text(info)
        trace = None
    parts = [value_text(part) for part in (trace, stack) if part]
    if parts:
        values["stack"] = "\n".join(parts)


def _message(said: dict[str, Any], extra: dict[str, Any]) -> str:
    message, arguments = said.get("msg"), said.get("args")
    if message is None:
        message = said.get("message")
    if not isinstance(message, str):
        message = "" if message is None else value_text(message)
    if arguments:
        formatted = _formatted(message, arguments)
        if formatted is None:
            extra[UNUSUAL_ARGUMENTS] = arguments
        else:
            return formatted
    return message


def _formatted(message: str, arguments: Any) -> str | None:
    """The message with its arguments put in as the logging module does; None when that cannot be, or is too long.

    Only for handlers that send a record unformatted: the standard library's formats it before.
    """
    if isinstance(arguments, (list, tuple)) and len(arguments) == 1 and isinstance(arguments[0], dict):
        arguments = arguments[0]
    found = list(_DIRECTIVE.finditer(message))
    if (
        message.count("%") != sum(2 if match[0] == "%%" else 1 for match in found)
        or len(found) > _MOST_ARGUMENTS
    ):
        return None  # a star for a width, or something that no formatting knows
    if isinstance(arguments, (list, tuple)) and len(arguments) > _MOST_ARGUMENTS:
        return None
    filled: Any
    if isinstance(arguments, dict):
        keys = [match["key"] for match in found if match["key"]]
        filled = {key: _argument(arguments[key]) for key in keys if key in arguments}
        size = sum(len(str(filled.get(key, ""))) for key in keys)
    elif isinstance(arguments, (list, tuple)):
        filled = tuple(map(_argument, arguments))
        size = sum(len(str(value)) for value in filled)
    else:
        return None
    if size + len(message) > _MOST_FORMATTED:
        return None
    try:
        return str(message % filled)
    except (TypeError, ValueError, KeyError, OverflowError):
        return None


def _argument(value: Any) -> Any:
    if isinstance(value, (str, int, float)) or value is None:
        return value
    return value if isinstance(value, Opaque) else value_text(value)
