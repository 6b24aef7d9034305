"""JSON lines: objects of any logger become records, everything else is kept as text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.jsonl import ALIASES, LineParser, parse_line
from tabard.brokers.wire.codec import pack
from tabard.records import LOG_FIELDS, LOG_INDEX, MAX_RECORD, normalise_log

NOW = 1_763_765_724_000_000_000
AT = 1_763_765_000_000_000_000


def parse(value):
    """The named fields that one line gives, without those that are nil."""
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    record = parse_line(line, NOW)
    return {name: item for name, item in zip(LOG_FIELDS, record, strict=True) if item is not None}


def test_the_names_of_the_fields_are_understood():
    """Every field of a record can be said by its own name."""
    said = dict.fromkeys(LOG_FIELDS, "x") | {
        "time": AT // 10**9,
        "severity": 9,
        "line": 3,
        "process": 4,
        "attributes": {"a": 1},
    }
    assert parse(said) == said | {"time": AT, "attributes": '{"a":1}'}


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_widespread_names_are_understood(alias):
    """What other loggers call a field lands in that field, in any case of letters."""
    name = ALIASES[alias]
    value = {"time": AT // 10**9, "severity": 9, "line": 3, "process": 4}.get(name, "x")
    for key in (alias, alias.upper()):
        found = parse({key: value, "message": "m"} if name != "message" else {key: value})
        assert found[name] == (AT if name == "time" else value)
        assert "attributes" not in found


def test_a_fields_own_name_wins_over_an_alias():
    """What loses is kept in the attributes."""
    found = parse({"msg": "alias", "message": "own", "levelname": "INFO", "lvl": "DEBUG"})
    assert found["message"] == "own"
    assert json.loads(found["attributes"]) == {"msg": "alias", "lvl": "DEBUG"}
    assert found["level"] == "INFO"
    assert parse({"message": None, "msg": "said"})["message"] == "said"


TIMES = {
    "2025-11-21t22:55:24z": 1_763_765_724_000_000_000,
    "20251121T225524Z": 1_763_765_724_000_000_000,
    "20251121T235524.5+0100": 1_763_765_724_500_000_000,
    "20251121T2255Z": 1_763_765_700_000_000_000,
    1_763_765_000: AT,
    1_763_765_000.5: AT + 500_000_000,
    1_763_765_000_000: AT,
    1_763_765_000_000_000: AT,
    AT: AT,
    "1763765000": AT,
    "2025-11-21T22:43:20Z": AT,
    "2025-11-21T22:43:20.000000001Z": AT + 1,
    "2025-11-21 23:43:20,5+01:00": AT + 500_000_000,
    "2025-11-21T17:43:20-0500": AT,
}


@pytest.mark.parametrize("said", TIMES, ids=str)
def test_times_are_iso_or_numbers(said):
    """ISO 8601, or seconds; larger numbers are milli-, micro- or nanoseconds."""
    assert parse({"time": said, "msg": "x"})["time"] == TIMES[said]


@pytest.mark.parametrize("said", [25, -1, 7.5])
def test_a_severity_that_is_none_is_kept_beside(said):
    """The level says it then."""
    found = parse({"severity": said, "level": "ERROR", "msg": "x"})
    assert (found["severity"], json.loads(found["attributes"])) == (17, {"severity": said})


@pytest.mark.parametrize(
    "said", ["yesterday", -5, 1e300, True, [], {}, "2025-99-99T00:00:00Z", "20259999T000000Z", 10**40]
)
def test_a_time_that_is_none_is_kept_beside(said):
    """The record gets the time it was read at; nothing of what was said is dropped."""
    found = parse({"time": said, "msg": "x"})
    assert found["time"] == NOW
    assert "time" in json.loads(found["attributes"])


LEVELS = {
    '{"level": "warning"}': ("warning", 13),
    '{"level": "nonsense"}': ("nonsense", 0),
    '{"severity": "ERROR"}': ("ERROR", 17),
    '{"severity": 17}': (None, 17),
    '{"severity": 17, "level": "odd"}': ("odd", 17),
    '{"severity": 99, "level": "ERROR"}': ("ERROR", 17),
    '{"levelno": 30, "levelname": "WARNING"}': ("WARNING", 13),
    '{"level": 30}': ("30", 9),
    '{"level": 50}': ("50", 17),
    "{}": (None, 0),
}


@pytest.mark.parametrize("line", LEVELS)
def test_levels_are_words_or_numbers(line):
    """Words of any logger, OpenTelemetry numbers, Python's levelno, and the scale of bunyan and pino."""
    found = parse(line.encode())
    assert (found.get("level"), found["severity"]) == LEVELS[line]


def test_what_has_no_field_goes_into_the_attributes():
    """With its structure, and next to the attributes that were sent."""
    found = parse({"msg": "x", "a": {"b": [1, None]}, "attributes": {"c": 1.5, "a": 0}, "line": "three"})
    assert json.loads(found["attributes"]) == {"a": {"b": [1, None]}, "c": 1.5, "line": "three"}


def test_attributes_may_be_the_text_of_an_object():
    """As a record holds them."""
    assert json.loads(parse({"attributes": '{"a": 1}', "b": 2})["attributes"]) == {"a": 1, "b": 2}
    assert json.loads(parse({"attributes": "no object"})["attributes"]) == {"attributes": "no object"}


def test_structures_in_a_text_field_are_json():
    """A message that is an object is shown as one."""
    assert parse({"message": {"a": 1}})["message"] == '{"a":1}'


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[1, 2]",
        b'"text"',
        b"{",
        b'{"a":',
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b"1" * 9_000,
        b"NaN",
    ],
    ids=lambda line: repr(line[:12]),
)
def test_a_line_that_is_no_object_is_kept_as_text(line):
    """Its text is the message, and the attributes say that it was no JSON."""
    found = parse(line)
    assert found["message"] == line.decode("utf-8", "backslashreplace")
    assert found["time"] == NOW
    assert json.loads(found["attributes"]) == {"intake": "not json"}


@pytest.mark.parametrize(
    "line", [b'{"a": NaN, "b": -Infinity, "c": 1e999}', b'{"a": "\\ud800", "message": "\\udfff\\u0000"}']
)
def test_what_json_allows_and_databases_do_not_is_made_storable(line):
    """Numbers without end are text, half a surrogate pair and NUL are replaced; the attributes stay JSON."""
    record = parse_line(line, NOW)
    assert normalise_log(record) == record
    pack(record)
    json.loads(record[LOG_INDEX["attributes"]], parse_constant=pytest.fail)


def test_a_line_longer_than_a_record_keeps_its_beginning():
    """In bounded memory, with a note of how long it was; the next line is whole again."""
    parser = LineParser(lambda: NOW)
    found: list[tuple[Any, ...]] = []
    for _ in range(40):
        found += parser.feed(b"x" * 10_000)
        assert parser.buffered <= MAX_RECORD
    found += parser.feed(b"\nnext\n")
    first, second = found
    assert len(pack(first)) <= MAX_RECORD
    assert set(first[LOG_INDEX["message"]]) == {"x"}
    assert json.loads(first[LOG_INDEX["attributes"]])["intake.cut"]["line"] == 400_000
    assert second[LOG_INDEX["message"]] == "next"


def test_an_object_with_large_values_is_cut():
    """A record never grows beyond what a record may be; attributes that do not fit are left out whole."""
    for said in ({"msg": "\u20ac" * 100_000}, {"msg": "x", "extra": ["\u20ac"] * 60_000}):
        record = parse_line(json.dumps(said, ensure_ascii=False).encode(), NOW)
        assert len(pack(record)) <= MAX_RECORD
        assert "intake.cut" in json.loads(record[LOG_INDEX["attributes"]])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*LOG_FIELDS, *ALIASES, "levelno", "other"]) | st.text(max_size=5)


@given(st.dictionaries(KEYS, JSON_VALUES, max_size=8))
def test_any_object_gives_a_storable_record(said):
    """Nothing is raised, and the store can hold what comes out; attributes are always a JSON object."""
    record = parse_line(json.dumps(said).encode(), NOW)
    assert normalise_log(record) == record
    pack(record)
    attributes = record[LOG_INDEX["attributes"]]
    assert attributes is None or isinstance(json.loads(attributes), dict)


@given(st.binary(max_size=100))
def test_any_line_gives_a_storable_record(line):
    """So does any other line."""
    record = parse_line(line, NOW)
    assert normalise_log(record) == record
    pack(record)
