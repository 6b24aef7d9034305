"""Cron expressions: what they mean, against a model that knows nothing of sets and steps, and what is refused."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import UsageError
from tabard.ops.cronexec.expression import WORDS, Expression, parse

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@st.composite
def fields(draw, low, high, names=()):
    """One field of an expression, and the values that it means."""
    parts, values = [], set()

    def word(value):
        at = value - low
        if names and at < len(names) and draw(st.booleans()):
            return draw(st.sampled_from([names[at], names[at].upper(), names[at].title()]))
        return str(value)

    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["star", "one", "range"]))
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.none() | st.integers(1, high + 1))
        if kind == "star":
            text, first, last = "*", low, high
        elif kind == "one":
            text, last = word(first), first if step is None else high
        else:
            text = f"{word(first)}-{word(last)}"
        parts.append(text if step is None else f"{text}/{step}")
        values |= {value for value in range(first, last + 1) if (value - first) % (step or 1) == 0}
    return ",".join(parts), values


@given(
    fields(0, 59),
    fields(0, 23),
    fields(1, 31),
    fields(1, 12, MONTHS),
    fields(0, 6, DAYS),
    st.integers(0, 60_000),
)
def test_an_expression_names_the_minutes_that_its_fields_say(minute, hour, day, month, weekday, number):
    """Every minute of a day is looked at one by one; day and weekday are joined as crons do."""
    texts = [text for text, _ in (minute, hour, day, month, weekday)]
    try:
        found = parse(" ".join(texts))
    except UsageError:
        assert month[1] <= {2, 4, 6, 9, 11} and min(day[1]) > 29
        return
    assert found is not None
    date = time.gmtime(number * 86_400)
    of_month, of_week = date.tm_mday in day[1], (date.tm_wday + 1) % 7 in weekday[1]
    starred = texts[2].startswith("*") or texts[4].startswith("*")
    fits = (of_month and of_week) if starred else (of_month or of_week)
    assert found.on(number) == (date.tm_mon in month[1] and fits)
    expected = [60 * h + m for h in range(24) for m in range(60) if h in hour[1] and m in minute[1]]
    assert list(found.times) == expected
    assert found.fixed == (not texts[0].startswith("*") and not texts[1].startswith("*"))


@pytest.mark.parametrize("word", list(WORDS))
def test_the_words_are_expressions(word: str) -> None:
    """In any case of letters."""
    found, meant = parse(word.upper()), parse(WORDS[word])
    assert isinstance(found, Expression)
    assert isinstance(meant, Expression)
    assert found._replace(text="") == meant._replace(text="")


def test_reboot_names_no_time() -> None:
    """Nobody can miss it."""
    assert parse("@reboot") is None


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [
        ("0 0 * * 7", {0}),
        ("0 0 * * fri-sun", {5, 6, 0}),
        ("0 0 * * 5-7", {5, 6, 0}),
        ("0 0 * * sun-mon", {0, 1}),
    ],
)
def test_sunday_is_at_both_ends_of_the_week(text: str, weekdays: set[int]) -> None:
    """0, 7 and its name."""
    found = parse(text)
    assert found is not None
    assert found.weekdays == weekdays


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * 32 * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * 0 *", "month"),
        ("* * * * 8", "weekday"),
        ("5-2 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("*/61 * * * *", "minute"),
        ("*/ * * * *", "minute"),
        ("1,, * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("٣ * * * *", "minute"),
        ("* * * jan-foo *", "month"),
        ("mon * * * *", "minute"),
    ],
)
def test_a_wrong_field_is_named(text: str, field: str) -> None:
    """With what it may be, and the whole expression."""
    with pytest.raises(UsageError, match=f"not a {field}: expected") as caught:
        parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", "* * * *", "* * * * * *", "@never", "x", "0 " * 200])
def test_what_is_no_expression_is_refused(text: str) -> None:
    """And it is said what one looks like."""
    with pytest.raises(UsageError, match="five fields"):
        parse(text)


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30-31 2 *", "0 0 31 2,4,jun *"])
def test_a_day_that_never_comes_is_refused(text: str) -> None:
    """Nobody means to wait for it."""
    with pytest.raises(UsageError, match="never comes"):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_a_clear_error(text: str) -> None:
    """Nothing else happens."""
    with contextlib.suppress(UsageError):
        found = parse(text)
        assert found is None or (found.hours and found.minutes)
