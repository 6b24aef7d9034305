"""Attributes of bounded size: large values are cut, names and small values beside them stay."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.bridge.plain import CHARACTERS, MEMBERS, object_text, value_text

NOTE = re.compile(r"(.*)<(\d+) more (?:characters|bytes)>", re.DOTALL)


def shown(values: dict[str, Any]) -> dict[str, Any]:
    """As they are stored."""
    found: dict[str, Any] = json.loads(object_text(values))
    return found


def characters(value: Any) -> int:
    """Of all names and texts."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + characters(each) for key, each in value.items())
    return sum(map(characters, value)) if isinstance(value, list) else 0


@pytest.mark.parametrize("size", [65_500, 65_515, 65_519, 65_530, 65_536, 70_000, 3_000_000])
@pytest.mark.parametrize("make", ["z".__mul__, b"z".__mul__], ids=["text", "bytes"])
def test_a_large_value_costs_neither_its_name_nor_the_small_ones(make: Any, size: int) -> None:
    """Wherever it stands among them."""
    small = {"order": 4711, "customer": "ann"}
    for values in ({"body": make(size), **small}, {**small, "body": make(size)}):
        found = shown(values)
        assert {**found, "body": ""} == {**values, "body": ""}
        assert list(found) == list(values)
        assert characters(found) <= CHARACTERS
        match = NOTE.fullmatch(found["body"])
        if match is None:
            assert found["body"] == "z" * size
        else:
            assert len(match[1]) > 65_400
            assert len(match[1]) + int(match[2]) == size


def test_large_values_share_what_the_small_ones_leave() -> None:
    """Deep within others too."""
    found = shown({"a": "x" * 100_000, "in": {"b": ["y" * 100_000, "small"]}, "c": 1, "d": "z" * 30_000})
    assert (found["in"]["b"][1], found["c"]) == ("small", 1)
    sizes = [len(each) for each in (found["a"], found["in"]["b"][0], found["d"])]
    assert max(sizes) - min(sizes) <= 1
    assert CHARACTERS - 16 < characters(found) <= CHARACTERS


def test_long_names_are_cut_and_stay_apart() -> None:
    """Two that begin alike, beside short ones."""
    found = shown({"n" * 50_000 + "a": 1, "n" * 50_000 + "b": 2, "order": 4711})
    assert list(found.values()) == [1, 2, 4711]
    assert found["order"] == 4711
    assert characters(found) <= CHARACTERS + len("<1>")


def test_bytes_that_are_no_text_are_cut_by_what_they_become() -> None:
    """Each is shown by four characters."""
    found = shown({"raw": b"\xff" * 60_000, "order": 4711})
    match = NOTE.fullmatch(found["raw"])
    assert match is not None
    assert len(match[1]) == 4 * (60_000 - int(match[2])) > 60_000
    assert found["order"] == 4711
    assert shown({"raw": "ä".encode() * 20_000}) == {"raw": "ä" * 20_000}


def test_of_too_many_members_the_first_are_kept() -> None:
    """Where names and values are too much even when the long ones are cut: none is shorter for it than it says."""
    found = shown({f"name {number:025}": "v" * 100 for number in range(MEMBERS)})
    assert found.pop("<more>") == "<more>"
    assert list(found) == [f"name {number:025}" for number in range(len(found))]
    assert len(found) > 500
    assert characters(found) <= CHARACTERS


def test_one_value_is_bounded_as_text() -> None:
    """A message that is a dict with a large text."""
    found = json.loads(value_text({"body": "z" * 70_000, "order": 4711}))
    assert found["order"] == 4711
    assert NOTE.fullmatch(found["body"])
    assert CHARACTERS - 16 < len(value_text(b"z" * 70_000)) <= CHARACTERS


TEXTS = st.builds(
    lambda text, times: text * times, st.text(max_size=4), st.sampled_from([1, 1, 1, 9_000, 40_000])
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.binary(max_size=20) | st.binary(max_size=3).map(lambda raw: raw * 20_000),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=6))
def test_whatever_it_is_it_is_bounded(values: dict[str, Any]) -> None:
    """And whole where that is little."""
    found = shown(values)
    assert len(found) == len(values)
    assert characters(found) <= CHARACTERS + 100
