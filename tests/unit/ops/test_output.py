"""Lists for people and for programs."""

from __future__ import annotations

import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.ops.output import emit, printable, width
from tabard.web.zones import iso

ROWS = [
    {"name": "a", "size": 10, "up": True, "note": None},
    {"name": "bcd", "size": 7, "up": False, "note": "x y"},
]
COLUMNS = ("name", "size", "up", "note")


def written(rows: list[dict[str, object]], columns: tuple[str, ...], output: str) -> str:
    """What emit writes."""
    stream = io.StringIO()
    emit(rows, columns, output, stream)
    return stream.getvalue()


def test_a_table_is_aligned_and_has_no_trailing_blanks() -> None:
    """Headers in capitals, yes and no for flags, nothing for None."""
    assert written(ROWS, COLUMNS, "table") == "NAME  SIZE  UP   NOTE\na     10    yes\nbcd   7     no   x y\n"


def test_json_is_one_array_and_ndjson_one_object_a_line() -> None:
    """Both give the rows back with their types."""
    assert json.loads(written(ROWS, COLUMNS, "json")) == ROWS
    assert [json.loads(line) for line in written(ROWS, COLUMNS, "ndjson").splitlines()] == ROWS


def test_an_empty_list_is_valid_in_every_form() -> None:
    """No rows: a header, an empty array, nothing."""
    assert written([], COLUMNS, "table") == "NAME  SIZE  UP  NOTE\n"
    assert json.loads(written([], COLUMNS, "json")) == []
    assert written([], COLUMNS, "ndjson") == ""


def test_a_record_cannot_steer_the_terminal() -> None:
    """Escape sequences, line breaks and direction marks are shown, not obeyed."""
    hostile = "\x1b[2Jgone\r\nfake line\u202e\x9b31m\x00"
    shown = written([{"name": hostile}], ("name",), "table")
    assert shown == "NAME\n\\x1b[2Jgone\\r\\nfake line\\u202e\\x9b31m\\x00\n"
    assert json.loads(written([{"name": hostile}], ("name",), "json")) == [{"name": hostile}]


def test_wide_and_combining_characters_keep_columns_straight() -> None:
    """Chinese takes two columns, an accent of its own none."""
    assert width("日本") == 4
    assert width("e\u0301") == 1


@given(st.lists(st.fixed_dictionaries({"a": st.text(), "b": st.one_of(st.none(), st.integers(), st.text())})))
def test_any_text_gives_one_printable_line_a_row(rows: list[dict[str, object]]) -> None:
    """Tables have a line per row and only printable characters; JSON forms give the rows back."""
    lines = written(rows, ("a", "b"), "table").split("\n")
    assert len(lines) == len(rows) + 2
    assert all(line.isprintable() for line in lines)
    assert json.loads(written(rows, ("a", "b"), "json")) == rows
    assert [json.loads(line) for line in written(rows, ("a", "b"), "ndjson").split("\n")[:-1]] == rows


@given(st.text())
def test_printable_text_is_left_as_it_is(text: str) -> None:
    """Only what is not printable changes."""
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text


def test_a_time_is_local_to_the_millisecond_in_a_table_and_whole_in_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `tabard logs` shows it, in every list: people compare them."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    rows: list[dict[str, object]] = [{"at": iso(1_795_415_639_584_373_559), "all": [iso(0)]}]
    assert written(rows, ("at", "all"), "table").splitlines()[1].split("  ") == [
        "2026-11-23 06:33:59.584+00:00",
        "1970-01-01 00:00:00.000+00:00",
    ]
    assert written(rows, ("at",), "ndjson") == '{"at": "2026-11-23T06:33:59.584373559Z"}\n'
