"""Durations and sizes: what is read, what is refused, and that both ways agree."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import TabardError
from tabard.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10ms", 0.01),
        ("30s", 30),
        ("5m", 300),
        ("1.5h", 5400),
        ("7d", 604800),
        ("1w", 604800),
        ("250 us", 0.00025),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    """Every unit gives seconds, decimals and one space are allowed."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["10", "", "s", "-5s", "5 minutes", "1h30m", "1e3s", "٣s", "0.5us", "nan", "inf s"]
)
def test_a_duration_without_a_clear_unit_is_refused(text: str) -> None:
    """A number without a unit and every other spelling is an error that shows what was found."""
    with pytest.raises(TabardError, match="expected a duration with its unit") as caught:
        parse_duration(text)
    assert caught.value.found == repr(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("65536", 65536), ("64KiB", 65536), ("1.5MiB", 1572864), ("2 GB", 2 * 10**9), ("7B", 7)],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    """Binary and decimal units are told apart; a bare number is bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1K", "1mib", "-1", "1.5", "0.3kiB", "many"])
def test_a_malformed_size_is_refused(text: str) -> None:
    """Unknown units, signs and fractions of a byte are errors."""
    with pytest.raises(TabardError, match="not a size"):
        parse_size(text)


@given(st.integers(0, 10**15))
def test_a_formatted_duration_reads_back_exactly(microseconds: int) -> None:
    """format_duration and parse_duration are inverses, to the microsecond."""
    seconds = microseconds / 1_000_000
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 2**49))
def test_a_formatted_size_reads_back_exactly(size: int) -> None:
    """format_size and parse_size are inverses."""
    assert parse_size(format_size(size)) == size


def test_durations_are_written_in_the_largest_unit_that_is_exact() -> None:
    """A person sees 7d, not 168h or 1w."""
    assert [format_duration(value) for value in (0, 0.01, 1.5, 90, 3600, 604800)] == [
        "0s", "10ms", "1500ms", "90s", "1h", "7d",
    ]  # fmt: skip


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_clearly(text: str) -> None:
    """No input makes the parsers fail in another way than TabardError."""
    for parse in (parse_duration, parse_size):
        with suppress(TabardError):
            assert parse(text) >= 0
