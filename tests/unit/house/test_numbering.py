"""What tests of many numbered records say when they fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.numbering import difference, differences


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            [0, 1, 3, 4],
            "missing: 2; unexpected: none; doubled: none; out of order at: none; 4 of 5",
        ),
        (
            [0, 1, 1, 2, 3, 4],
            "missing: none; unexpected: none; doubled: 1; out of order at: none; 6 of 5",
        ),
        (
            [0, 2, 1, 3, 4],
            "missing: none; unexpected: none; doubled: none; out of order at: 1; 5 of 5",
        ),
        ([7, 3, 4], "missing: 0-2; unexpected: 7; doubled: none; out of order at: none; 3 of 5"),
        ([], "missing: 0-4; unexpected: none; doubled: none; out of order at: none; 0 of 5"),
    ],
)
def test_what_is_wrong_is_named(found: list[int], said: str) -> None:
    """In one line, whatever it is."""
    assert difference(found, range(5)) == said


def test_only_the_first_are_named() -> None:
    """However much is missing."""
    said = difference([], range(0, 40_000, 2))
    assert said.startswith("missing: 0, 2, 4, 6, 8, 10, 12, 14, and 19992 more; ")
    assert len(said) < 200


def test_several_sources_are_named() -> None:
    """Those that are wrong, also one that is not there at all, or has nothing."""
    assert differences({"a": [0, 1]}, {"a": range(2)}) == ""
    said = differences({"a": [0], "b": [0], "d": []}, {"a": range(2), "b": range(1), "c": range(1)})
    assert said.split(": ")[0] == "a"
    assert "; c: missing: 0;" in said
    assert said.endswith("; d: is unexpected")
    assert differences({}, {"e": []}) == "e: is missing"


@given(st.lists(st.integers(0, 6)), st.lists(st.integers(0, 6)))
def test_it_says_nothing_only_of_what_is_the_same(found: list[int], expected: list[int]) -> None:
    """Nothing else is taken for right, in any order and with any doubles."""
    assert (difference(found, expected) == "") == (found == expected)
