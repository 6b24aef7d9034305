"""ExportLogsServiceRequest as JSON: names in lowerCamelCase, 64-bit numbers perhaps as text, ids in hexadecimal."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

from tabard.agents.intake.bridge.otlp_record import Said, Scope
from tabard.agents.intake.cutting import to_json
from tabard.errors import WireError

DEPTH: Final = 32
"""Values within values."""
_SEVERITIES: Final = {
    f"SEVERITY_NUMBER_{level}{step}": least + int(step or 1) - 1
    for level, least in (("TRACE", 1), ("DEBUG", 5), ("INFO", 9), ("WARN", 13), ("ERROR", 17), ("FATAL", 21))
    for step in ("", "2", "3", "4")
}
_URL_SAFE: Final = str.maketrans("-_", "+/")


def requested(data: bytes) -> Iterator[tuple[Scope, Said | None]]:
    """The records of a request with their scopes, in order; None for one that cannot be read.

    Raises:
        WireError: the request itself cannot be read, which may show in the middle of it.
    """
    try:
        request = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _malformed("JSON", str(error)[:200]) from error
    for group in _list(_object(request), "resourceLogs", "resource_logs"):
        resource = _attributes(_object(_object(group).get("resource") or {}))
        for part in _list(_object(group), "scopeLogs", "scope_logs"):
            about = _object(_object(part).get("scope") or {})
            scope = Scope(resource, _text(about.get("name")), _text(about.get("version")), _attributes(about))
            for record in _list(_object(part), "logRecords", "log_records"):
                try:
                    said: Said | None = _record(_object(record))
                except WireError:
                    said = None
                yield scope, said


def _record(record: dict[str, Any]) -> Said:
    body = record.get("body")
    return Said(
        _number(_of(record, "timeUnixNano", "time_unix_nano")),
        _number(_of(record, "observedTimeUnixNano", "observed_time_unix_nano")),
        _severity(_of(record, "severityNumber", "severity_number")),
        _text(_of(record, "severityText", "severity_text")),
        None if body is None else _value(body, 0),
        _attributes(record),
        _number(_of(record, "droppedAttributesCount", "dropped_attributes_count")),
        _text(_of(record, "traceId", "trace_id"))[:64],
        _text(_of(record, "spanId", "span_id"))[:64],
        _text(_of(record, "eventName", "event_name")),
    )


def _attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {
        _text(_object(each).get("key")): _value(_object(each).get("value"), 0)
        for each in _list(of, "attributes", "attributes")
    }


def _value(value: Any, depth: int) -> Any:
    if value is None:
        return None
    if depth > DEPTH:
        raise _malformed("values", "values nested too deep")
    for name, said in _object(value).items():
        if name in {"stringValue", "string_value"}:
            return _text(said)
        if name in {"boolValue", "bool_value"}:
            return _truth(said)
        if name in {"intValue", "int_value"}:
            return _number(said)
        if name in {"doubleValue", "double_value"}:
            return _double(said)
        if name in {"bytesValue", "bytes_value"}:
            return _bytes(said)
        if name in {"arrayValue", "array_value"}:
            return [_value(each, depth + 1) for each in _list(_object(said), "values", "values")]
        if name in {"kvlistValue", "kvlist_value"}:
            return {
                _text(_object(each).get("key")): _value(_object(each).get("value"), depth + 1)
                for each in _list(_object(said), "values", "values")
            }
    return None


def _of(found: dict[str, Any], name: str, other: str) -> Any:
    return found.get(name, found.get(other))


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _malformed("an object", repr(value)[:64])


def _list(of: dict[str, Any], name: str, other: str) -> list[Any]:
    value = _of(of, name, other)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise _malformed(f"an array {name}", repr(value)[:64])


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise _malformed("text", repr(value)[:64])


def _number(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, str) and len(value) <= 20:
        try:
            value = int(value)
        except ValueError:
            raise _malformed("a number", repr(value)) from None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)  # 1e3 is a whole number in JSON
    if isinstance(value, bool) or not isinstance(value, int):
        raise _malformed("a number", repr(value)[:64])
    return value


def _severity(value: Any) -> int:
    """Also by the name that protobuf's own JSON has for it."""
    known = _SEVERITIES.get(value) if isinstance(value, str) else None
    return _number(value) if known is None else known


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _malformed("true or false", repr(value)[:64])


def _double(value: Any) -> float:
    if isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= 32):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise _malformed("a number", repr(value)[:64])


def _bytes(value: Any) -> bytes:
    text = (
        _text(value).rstrip("=").translate(_URL_SAFE)
    )  # either alphabet, padded or not, is JSON of protobuf
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise _malformed("base64", repr(value)[:64]) from error


def _malformed(expected: str, found: str) -> WireError:
    return WireError("no JSON of an OTLP request", expected=expected, found=found)


# --- answers -------------------------------------------------------------------------------------------


def success(rejected: int, message: str) -> bytes:
    """An ExportLogsServiceResponse; with a message a partial success."""
    if not message:
        return b"{}"
    return to_json(
        {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": message}}
    ).encode()


def status(code: int, message: str) -> bytes:
    """A google.rpc.Status."""
    return to_json({"code": code, "message": message}).encode()
