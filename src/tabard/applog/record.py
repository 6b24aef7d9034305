"""A ``logging.LogRecord`` in the layout of Tabard's log records."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from tabard._version import VERSION
from tabard.records import LOG_FIELDS, clean_text

TEXT_LIMIT: Final = 16_000
"""Characters kept of a message, a trace or the extras of one record."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

Row = tuple[Any, ...]


def row_of(record: logging.LogRecord, role: str) -> Row:
    """``record`` as a log record of the service ``tabard-ROLE``; extras become attributes."""
    values = {
        "time": int(record.created * 1_000_000_000),
        "severity": _severity(record.levelno),
        "level": record.levelname,
        "service": f"tabard-{role}",
        "package": "tabard",
        "version": VERSION,
        "logger": record.name,
        "module": record.module,
        "function": record.funcName,
        "line": record.lineno,
        "process": record.process,
        "thread": record.threadName,
        "message": _cut(_message(record)),
        "exception": _exception(record),
        "stack": _stack(record),
        "attributes": _attributes(record),
    }
    return tuple(values.get(name) for name in LOG_FIELDS)


def _severity(levelno: int) -> int:
    """The OpenTelemetry number of a level of the logging module."""
    return min(max(levelno // 10, 0), 5) * 4 + 1


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # A wrong format string is a mistake in the caller, and still says something.
        return f"{record.msg!r} with {len(record.args or ())} arguments that do not fit"


def _exception(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[1] is None:
        return None
    error = record.exc_info[1]
    return _cut(" ".join(f"{type(error).__name__}: {error}".split()))


def _stack(record: logging.LogRecord) -> str | None:
    if record.exc_info and record.exc_info[1] is not None:
        return _cut(logging.Formatter().formatException(record.exc_info))
    return _cut(record.stack_info) if record.stack_info else None


def _attributes(record: logging.LogRecord) -> str | None:
    extras = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if not extras:
        return None
    text = json.dumps(extras, default=repr)
    return text if len(text) <= TEXT_LIMIT else json.dumps({"too long": sorted(extras)[:20]})


def _cut(text: str) -> str:
    text = clean_text(text)
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]}... ({len(text) - TEXT_LIMIT} more characters)"
