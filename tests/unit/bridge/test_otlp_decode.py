"""OTLP's messages: read as the official library reads them, never believed further than bounds go."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tabard.agents.intake.bridge import otlp_json, otlp_protobuf
from tabard.agents.intake.bridge.otlp_record import Mapper, Said, Scope
from tabard.errors import WireError
from tabard.records import LOG_FIELDS, TIME_MAX

NOW = 1_763_765_724_000_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INT64 = st.integers(-(2**63), 2**63 - 1)
LEAVES = st.one_of(
    TEXT.map(lambda text: AnyValue(string_value=text)),
    st.booleans().map(lambda value: AnyValue(bool_value=value)),
    INT64.map(lambda value: AnyValue(int_value=value)),
    st.floats(allow_nan=False).map(lambda value: AnyValue(double_value=value)),
    st.binary(max_size=20).map(lambda value: AnyValue(bytes_value=value)),
    st.just(AnyValue()),
)


def pairs(values: Any) -> Any:
    return st.dictionaries(TEXT, values, max_size=3).map(
        lambda found: [KeyValue(key=key, value=value) for key, value in found.items()]
    )


VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: AnyValue(array_value=ArrayValue(values=values))),
        pairs(inner).map(lambda values: AnyValue(kvlist_value=KeyValueList(values=values))),
    ),
    max_leaves=8,
)
RECORDS = st.builds(
    LogRecord,
    time_unix_nano=st.integers(0, 2**64 - 1),
    observed_time_unix_nano=st.integers(0, 2**64 - 1),
    severity_number=st.integers(0, 24),
    severity_text=TEXT,
    body=VALUES,
    attributes=pairs(VALUES),
    dropped_attributes_count=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 255),
    trace_id=st.sampled_from([b"", b"\x01\xfe" * 8]),
    span_id=st.sampled_from([b"", b"\x02\xfd" * 4]),
    event_name=TEXT,
)


def request(resource: list[KeyValue], scopes: list[tuple[str, list[LogRecord]]]) -> ExportLogsServiceRequest:
    made = ExportLogsServiceRequest()
    group = made.resource_logs.add()
    group.resource.attributes.extend(resource)
    for name, records in scopes:
        part = group.scope_logs.add()
        part.scope.name = name
        part.scope.version = "1"
        part.log_records.extend(records)
    return made


def plain(value: AnyValue) -> Any:
    """What the official library has read, as plain values."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: plain(each.value) for each in value.kvlist_value.values}
    return getattr(value, kind)


def expected(made: ExportLogsServiceRequest) -> list[tuple[Scope, Said | None]]:
    found: list[tuple[Scope, Said | None]] = []
    for group in made.resource_logs:
        resource = {each.key: plain(each.value) for each in group.resource.attributes}
        for part in group.scope_logs:
            scope = Scope(resource, part.scope.name, part.scope.version, {})
            found += [
                (
                    scope,
                    Said(
                        record.time_unix_nano,
                        record.observed_time_unix_nano,
                        record.severity_number,
                        record.severity_text,
                        plain(record.body) if record.HasField("body") else None,
                        {each.key: plain(each.value) for each in record.attributes},
                        record.dropped_attributes_count,
                        record.trace_id.hex(),
                        record.span_id.hex(),
                        record.event_name,
                    ),
                )
                for record in part.log_records
            ]
    return found


REQUESTS = st.builds(
    request, pairs(VALUES), st.lists(st.tuples(TEXT, st.lists(RECORDS, max_size=3)), max_size=3)
)


@given(REQUESTS)
def test_protobuf_is_read_as_the_official_library_reads_it(made: ExportLogsServiceRequest) -> None:
    """Every kind of value, nested too."""
    assert list(otlp_protobuf.requested(made.SerializeToString())) == expected(made)


@given(REQUESTS)
def test_json_is_read_as_the_official_library_writes_it(made: ExportLogsServiceRequest) -> None:
    """But for the ids, which OTLP wants in hexadecimal and the library writes in base64."""
    said = MessageToDict(made)
    for group in said.get("resourceLogs", []):
        for part in group.get("scopeLogs", []):
            for record in part.get("logRecords", []):
                for name in ("traceId", "spanId"):
                    record.pop(name, None)
                number = record.get("severityNumber")
                if isinstance(number, str):
                    record["severityNumber"] = (
                        LogRecord.DESCRIPTOR.fields_by_name["severity_number"]
                        .enum_type.values_by_name[number]
                        .number
                    )
    wanted = [(scope, said and said._replace(trace_id="", span_id="")) for scope, said in expected(made)]
    assert list(otlp_json.requested(json.dumps(said).encode())) == wanted


@given(st.binary(max_size=400))
def test_nonsense_is_refused_and_nothing_else(data: bytes) -> None:
    """Whatever comes; and what is understood can be stored."""
    for decoder in (otlp_protobuf, otlp_json):
        try:
            for scope, said in decoder.requested(data):
                if said is not None:
                    assert len(Mapper(scope).record(said, NOW)) == len(LOG_FIELDS)
        except WireError:
            continue


@given(REQUESTS, st.data())
def test_damaged_requests_raise_nothing_but_wire_errors(
    made: ExportLogsServiceRequest, data: st.DataObject
) -> None:
    """A byte changed, or the end missing."""
    raw = bytearray(made.SerializeToString())
    if raw:
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
        del raw[data.draw(st.integers(0, len(raw))) :]
    try:
        for scope, said in otlp_protobuf.requested(bytes(raw)):
            if said is not None:
                Mapper(scope).record(said, NOW)
    except WireError:
        return


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["resourceLogs", "resource", "scopeLogs", "scope", "logRecords", "attributes", "key", "value", "body",
                 "stringValue", "intValue", "doubleValue", "bytesValue", "arrayValue", "kvlistValue", "values",
                 "timeUnixNano", "severityNumber", "traceId"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=30,
)  # fmt: skip


@given(JSON_VALUES)
def test_strange_json_raises_nothing_but_wire_errors(value: Any) -> None:
    """Every known name with every kind of value."""
    try:
        for scope, said in otlp_json.requested(json.dumps({"resourceLogs": value}).encode()):
            if said is not None:
                Mapper(scope).record(said, NOW)
    except WireError:
        return


def test_one_record_that_cannot_be_read_is_rejected_alone() -> None:
    """The others are there; the message that holds them is whole."""
    good = LogRecord(severity_text="INFO").SerializeToString()
    bad = b"\x09\x01"  # half a time
    records = b"".join(b"\x12" + bytes([len(each)]) + each for each in (good, bad, good))
    group = b"\x12" + bytes([len(records)]) + records
    found = list(otlp_protobuf.requested(b"\x0a" + bytes([len(group)]) + group))
    assert [said is None for _, said in found] == [False, True, False]
    said = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}, 5, {"timeUnixNano": "x"}, {}]}]}]})
    assert [said is None for _, said in otlp_json.requested(said.encode())] == [False, True, True, False]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"boolValue": False}, False),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 1e3}, 1_000),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": "+/8="}, b"\xfb\xff"),
        ({"bytesValue": "-_8"}, b"\xfb\xff"),
    ],
)
def test_values_in_every_form_that_json_of_protobuf_allows(value: dict[str, Any], read: Any) -> None:
    """Either alphabet of base64, whole numbers as text or with an exponent."""
    assert value_of(value) == read


@pytest.mark.parametrize(
    "value",
    [{"boolValue": "false"}, {"boolValue": 1}, {"intValue": 1.5}, {"intValue": 1e30}, {"bytesValue": "?"}],
)
def test_values_of_another_kind_reject_their_record(value: dict[str, Any]) -> None:
    """Rather than to be read as something that nobody said."""
    assert value_of(value) is None


@pytest.mark.parametrize(
    ("said", "number"),
    [(17, 17), ("17", 17), ("SEVERITY_NUMBER_WARN", 13), ("SEVERITY_NUMBER_FATAL4", 24), ("SEVERITY", None)],
)
def test_severities_by_number_and_by_name(said: Any, number: int | None) -> None:
    """OTLP wants the number, JSON of protobuf writes the name; anything else rejects the record."""
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": said}]}]}]}
    ((_, found),) = otlp_json.requested(json.dumps(request).encode())
    assert (found and found.severity) == number


def value_of(value: dict[str, Any]) -> Any:
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": value}]}]}]}
    ((_, said),) = otlp_json.requested(json.dumps(request).encode())
    return None if said is None else said.body


def nested(depth: int) -> bytes:
    raw = b""
    for _ in range(depth):
        raw = b"\x0a" + length(raw)  # ArrayValue.values
        raw = b"\x2a" + length(raw)  # AnyValue.array_value
    return raw


def length(raw: bytes) -> bytes:
    return otlp_protobuf._number(len(raw)) + raw


def test_what_is_nested_too_deep_is_rejected() -> None:
    """Long before Python's own stack ends."""
    for depth, fine in ((10, True), (5_000, False)):
        record = b"\x2a" + length(nested(depth))
        group = b"\x12" + length(b"\x12" + length(record))
        ((_, said),) = otlp_protobuf.requested(b"\x0a" + length(group))
        assert (said is not None) is fine
    deep = b'{"resourceLogs":' + b"[" * 200_000
    with pytest.raises(WireError):
        list(otlp_json.requested(deep))


def test_answers_are_what_the_official_library_reads() -> None:
    """Success, partial success."""
    answer = ExportLogsServiceResponse.FromString(otlp_protobuf.success(300, "why"))
    assert (answer.partial_success.rejected_log_records, answer.partial_success.error_message) == (300, "why")
    assert ExportLogsServiceResponse.FromString(otlp_protobuf.success(0, "")) == ExportLogsServiceResponse()
    assert json.loads(otlp_json.success(3, "why")) == {
        "partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "why"}
    }


# --- records -------------------------------------------------------------------------------------------


def mapped(said: Said, scope: Scope | None = None) -> dict[str, Any]:
    record = Mapper(scope or Scope({})).record(said, NOW)
    return {name: value for name, value in zip(LOG_FIELDS, record, strict=True) if value is not None}


def test_the_data_model_goes_to_the_fields() -> None:
    """Resource, scope, semantic conventions."""
    scope = Scope(
        {
            "service.name": "shop",
            "service.version": "1.2",
            "host.name": "web1",
            "telemetry.sdk.name": "x",
            "deployment.environment": "prod",
        },
        "shop.till",
        "3",
    )
    attributes = {
        "code.function.name": "sell",
        "code.file.path": "till.py",
        "code.line.number": 7,
        "thread.name": "T1",
        "process.pid": 42,
        "exception.type": "ValueError",
        "exception.message": "no",
        "exception.stacktrace": "Traceback ...",
        "system_id": "till",
        "order": [1, 2],
    }
    record = mapped(Said(NOW - 5, NOW, 17, "ERROR", "sold", attributes, 0, "AB" * 16, "0" * 16), scope)
    assert json.loads(record.pop("attributes")) == {
        "order": [1, 2],
        "host": "web1",
        "resource": {"deployment.environment": "prod"},
        "scope": {"version": "3"},
    }
    assert record == {
        "time": NOW - 5, "severity": 17, "level": "ERROR", "service": "shop", "version": "1.2", "logger": "shop.till",
        "function": "sell", "module": "till.py", "line": 7, "thread": "T1", "process": 42, "system": "till",
        "exception": "ValueError: no", "stack": "Traceback ...", "message": "sold", "trace_id": "ab" * 16,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [("text", "text"), (None, "happened"), ({"a": [1, None]}, '{"a":[1,null]}'), (True, "true"), (b"\xff", "\\xff"), (7, "7")],
)  # fmt: skip
def test_bodies(body: Any, message: str) -> None:
    """Structured ones as JSON; without one the event is the message."""
    assert mapped(Said(body=body, event="happened"))["message"] == message


def test_times_and_severities_that_are_missing() -> None:
    """The observed time, then that of arrival; the number by the word."""
    assert mapped(Said(observed=NOW - 9))["time"] == NOW - 9
    assert mapped(Said(time=TIME_MAX + 1, observed=2**63))["time"] == NOW
    assert mapped(Said(text="Warn"))["severity"] == 13
    assert mapped(Said(severity=99, text="?"))["severity"] == 0
    assert mapped(Said(body=math.inf))["message"] == "inf"


@given(REQUESTS)
def test_every_record_can_be_stored(made: ExportLogsServiceRequest) -> None:
    """Attributes are an object of JSON."""
    for scope, said in expected(made):
        assert said is not None
        record = mapped(said, scope)
        assert isinstance(json.loads(record.get("attributes", "{}")), dict)
