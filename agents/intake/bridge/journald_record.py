"""An entry of the systemd journal in the layout of Tabard's log records.

Fields that a log record has a place for go there, those that only say how the journal works are left out, and the
rest keeps its name among the attributes. Names with an underscore before them were written by journald itself and
cannot be made up by who logs; a name without one is the program's own word.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

from tabard.agents.intake.bridge.journald_export import Entry
from tabard.agents.intake.bridge.logrecord import EXTRAS, last_line
from tabard.agents.intake.bridge.plain import object_text
from tabard.agents.intake.bridge.syslog import FACILITIES
from tabard.agents.intake.cutting import to_json
from tabard.agents.intake.tail.parse import SYSLOG_LEVELS
from tabard.records import LOG_FIELDS, LOG_INDEX, TIME_MAX

CUT: Final = "journal.cut"
"""The attribute that names fields of which the beginning was kept, with their bytes before."""
LEFT_OUT: Final = frozenset(
    {
        "__CURSOR", "__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "__SEQNUM", "__SEQNUM_ID",
        "_SOURCE_REALTIME_TIMESTAMP", "_SOURCE_MONOTONIC_TIMESTAMP", "_SOURCE_BOOTTIME_TIMESTAMP",
        "_AUDIT_SESSION", "_AUDIT_LOGINUID", "_CAP_EFFECTIVE", "_MACHINE_ID", "_RUNTIME_SCOPE",
        "_SELINUX_CONTEXT", "_STREAM_ID", "_LINE_BREAK", "_SYSTEMD_CGROUP", "_SYSTEMD_OWNER_UID",
        "_SYSTEMD_SLICE", "_SYSTEMD_USER_SLICE", "_UDEV_SYSNAME",
        "SYSLOG_RAW", "SYSLOG_TIMESTAMP", "PRIORITY", "SYSLOG_FACILITY", "_HOSTNAME",
        "MESSAGE", "SYSLOG_IDENTIFIER", "_PID", "CODE_FUNC", "CODE_LINE", "CODE_FILE", "LOGGER", "THREAD_NAME",
        "EXCEPTION_TEXT",
    }
)  # fmt: skip
"""Fields that are read apart, say again what others say, or concern only journald."""
_WHOLE_BINARY: Final = 1_024
"""Bytes of a value that is no text which are still shown; of a longer one its size."""
_MOST_SHOWN: Final = 16_384
"""Characters of one attribute."""
_SMALL: Final = 16_384
_FIELDS: Final = {name.upper(): field for name, field in EXTRAS.items()}
_MESSAGE, _SEVERITY = LOG_INDEX["message"], LOG_INDEX["severity"]
_LINE, _PROCESS = LOG_INDEX["line"], LOG_INDEX["process"]
_OWN: Final = re.compile(
    r"(?:^|[/\s])tabard\s+(?:-\S+\s+(?:[^-\s]\S*\s+)?)*?(?:up|agent|broker|recorder|herald)(?:\s|$)"
)
"""The command line of a role."""


def record_of(entry: Entry, now: int) -> tuple[Any, ...]:
    """The log record of an entry; ``now`` (ns UTC) is its time unless it says one. Never raises."""
    text = entry.text
    extra: dict[str, Any] = {}
    if entry.cut:
        extra[CUT] = entry.cut
    if entry.left_out:
        extra["journal.left_out"] = entry.left_out
    values: dict[str, Any] = {
        "time": entry_time(entry) or now,
        "severity": 0,
        "service": _service(entry),
        "process": _first_number(entry, "_PID", "SYSLOG_PID"),
        "function": text("CODE_FUNC"),
        "line": entry.number("CODE_LINE"),
        "module": text("CODE_FILE"),
        "logger": text("LOGGER"),
        "thread": text("THREAD_NAME") or text("TID"),
        "message": _message(entry),
    }
    priority = entry.number("PRIORITY")
    if priority is not None and priority < len(SYSLOG_LEVELS):
        values["level"], values["severity"] = SYSLOG_LEVELS[priority]
    trace = text("EXCEPTION_TEXT")
    if trace:
        values["exception"], values["stack"] = last_line(trace), trace
    facility = entry.number("SYSLOG_FACILITY")
    if facility is not None and facility < len(FACILITIES):
        extra["facility"] = FACILITIES[facility]
    if host := text("_HOSTNAME"):
        extra["host"] = host
    cut = entry.cut
    for name, value in entry.fields.items():
        if name in LEFT_OUT:
            continue
        field = _FIELDS.get(name)
        if field is not None and not values.get(field):
            values[field] = text(name)
        else:
            extra[name] = shown(value, cut.get(name, 0))
    for name, value in entry.again:
        _add_again(extra, name, value)
    if extra:
        # Flat, and short as usual: there is nothing to bound.
        values["attributes"] = to_json(extra) if entry.size <= _SMALL else object_text(extra)
    message = values.pop("message")
    found = [values.get(field) or None for field in LOG_FIELDS]
    found[_MESSAGE], found[_SEVERITY] = message, values["severity"]
    found[_LINE], found[_PROCESS] = values["line"], values["process"]
    return tuple(found)


def entry_time(entry: Entry) -> int | None:
    """When it was logged (ns UTC): by the program's own clock reading, else when journald took it."""
    for name in ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"):
        time = entry.number(name)
        if time is not None and 0 < time * 1_000 <= TIME_MAX:
            return time * 1_000
    return None


def is_own(entry: Entry) -> bool:
    """Whether a role of Tabard wrote it, under this user: roles log by themselves, and would be heard twice.

    What the agent says of an intake must never come back through it.
    """
    if entry.number("_UID") != os.geteuid():
        return False
    return entry.number("_PID") == os.getpid() or _OWN.search(entry.text("_CMDLINE")) is not None


def shown(value: bytes, size: int = 0) -> str:
    """A value of once ``size`` bytes as text: one that is none is shown by its bytes, or when it is long by its size."""
    size = max(size, len(value))
    if len(value) > _WHOLE_BINARY and b"\0" in value:
        return f"<{size} bytes>"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        if size > _WHOLE_BINARY and size == len(value):
            return f"<{size} bytes>"
        text = value.decode("utf-8", "backslashreplace")
    return (
        text
        if len(text) <= _MOST_SHOWN
        else f"{text[:_MOST_SHOWN]}<{len(text) - _MOST_SHOWN} more characters>"
    )


def _message(entry: Entry) -> str:
    more = [value for name, value in entry.again if name == "MESSAGE"]
    return "\n".join([entry.text("MESSAGE"), *map(shown, more)]) if more else entry.text("MESSAGE")


def _service(entry: Entry) -> str:
    text = entry.text
    unit = text("_SYSTEMD_UNIT") or text("_SYSTEMD_USER_UNIT") or text("UNIT")
    kernel = "kernel" if text("_TRANSPORT") == "kernel" else ""
    return text("SYSLOG_IDENTIFIER") or unit.removesuffix(".service") or text("_COMM") or kernel


def _first_number(entry: Entry, *names: str) -> int | None:
    return next((number for name in names if (number := entry.number(name)) is not None), None)


def _add_again(extra: dict[str, Any], name: str, value: bytes) -> None:
    """A field that is there several times becomes a list, whatever it is usually read as."""
    if name in LEFT_OUT and name not in {"SYSLOG_IDENTIFIER", "CODE_FUNC", "CODE_LINE", "CODE_FILE"}:
        return
    before = extra.get(name)
    if isinstance(before, list):
        before.append(shown(value))
    else:
        extra[name] = [shown(value)] if before is None else [before, shown(value)]
