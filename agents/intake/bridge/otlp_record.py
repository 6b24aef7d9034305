"""A log record of OpenTelemetry in the layout of Tabard's, by its log data model and semantic conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tabard.agents.intake.bridge.logrecord import EXTRAS, last_line
from tabard.agents.intake.bridge.plain import object_text, value_text
from tabard.agents.intake.tail.parse import severity_of
from tabard.records import LOG_FIELDS, TIME_MAX

FIELDS: Final = {
    "code.function.name": "function", "code.function": "function",
    "code.file.path": "module", "code.filepath": "module",
    "code.line.number": "line", "code.lineno": "line",
    "thread.name": "thread", "thread.id": "thread",
    "process.pid": "process",
    "exception.stacktrace": "stack",
}  # fmt: skip
"""Attributes of the semantic conventions, the newer name first, and their fields."""
_NUMBERS: Final = frozenset({"line", "process"})
_EXCEPTION: Final = ("exception.type", "exception.message")
_NOT_KEPT: Final = "telemetry.sdk."
"""What the library says of itself in each resource."""


class Said(NamedTuple):
    """One LogRecord as it was decoded. Numbers that were not given are 0, texts ""."""

    time: int = 0
    observed: int = 0
    severity: int = 0
    text: str = ""
    body: Any = None
    attributes: Mapping[str, Any] = {}
    dropped: int = 0
    trace_id: str = ""
    span_id: str = ""
    event: str = ""


class Scope(NamedTuple):
    """Who made a group of records: the resource and the instrumentation scope."""

    resource: Mapping[str, Any]
    name: str = ""
    version: str = ""
    attributes: Mapping[str, Any] = {}


class Mapper:
    """Makes the records of one scope."""

    def __init__(self, scope: Scope) -> None:
        self._fields: dict[str, Any] = {}
        self._more: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for key, value in scope.resource.items():
            if key == "service.name":
                self._fields["service"] = _text(value)
            elif key == "service.version":
                self._fields["version"] = _text(value)
            elif key == "host.name":
                self._more["host"] = value
            elif not key.startswith(_NOT_KEPT):
                _place(self._fields, rest, key, value)
        if rest:
            self._more["resource"] = rest
        self._fields["logger"] = scope.name or None
        about = {"version": scope.version} if scope.version else {}
        about |= scope.attributes
        if about:
            self._more["scope"] = about

    def record(self, said: Said, now: int) -> tuple[Any, ...]:
        """The log record; ``now`` (ns UTC) is its time unless it says one. Never raises."""
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in said.attributes.items():
            if key not in _EXCEPTION:
                _place(values, extra, key, value)
        values = {**self._fields, **{name: value for name, value in values.items() if value is not None}}
        self._exception(said, values)
        if said.event:
            extra["event_name"] = said.event
        if said.dropped > 0:
            extra["dropped_attributes_count"] = said.dropped
        values["time"] = next((time for time in (said.time, said.observed) if 0 < time <= TIME_MAX), now)
        values["severity"] = said.severity if 0 < said.severity <= 24 else severity_of(said.text)
        values["level"] = said.text or None
        values["message"] = said.event if said.body is None else value_text(said.body)
        values["trace_id"] = _id(said.trace_id) or values.get("trace_id")
        values["span_id"] = _id(said.span_id) or values.get("span_id")
        # What the record says comes first: where there is not room for all, it is what is kept.
        for key, value in self._more.items():
            extra.setdefault(key, value)
        if extra:
            values["attributes"] = object_text(extra)
        return tuple(values.get(field) for field in LOG_FIELDS)

    @staticmethod
    def _exception(said: Said, values: dict[str, Any]) -> None:
        parts = [_text(said.attributes[key]) for key in _EXCEPTION if key in said.attributes]
        if parts:
            values["exception"] = ": ".join(parts)
        elif stack := values.get("stack"):
            values["exception"] = last_line(stack)


def _place(values: dict[str, Any], rest: dict[str, Any], key: str, value: Any) -> None:
    """Put an attribute into the field it is named for, else to the rest."""
    field = FIELDS.get(key) or EXTRAS.get(key.lower())
    if field is None or values.get(field) is not None or value is None or isinstance(value, (dict, list)):
        rest[key] = value
    elif field not in _NUMBERS:
        values[field] = _text(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        values[field] = value
    else:
        rest[key] = value


def _text(value: Any) -> str:
    return value_text(value)


def _id(text: str) -> str | None:
    """A trace's or a span's id in lower case; all zeros is none."""
    return text.lower() if text.strip("0") else None
