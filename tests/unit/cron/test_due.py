"""When an expression is due: against a model that looks at every minute, and where the clock is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tabard.ops.cronexec import due
from tabard.ops.cronexec.expression import Expression, parse

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/St_Johns",
)
TEXTS = (
    "* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "15 0-5 * * *", "0,30 1,2,3 * * *", "*/20 2 * * *",
    "30 */2 * * *", "0 3 * * sun", "5 2 25-31 3,10,11 *", "0 0 1 * 1", "59 23 31 12 *",
)  # fmt: skip


def zone_of(name: str) -> due.Zone:
    """The offset of a zone at a moment."""
    zone = ZoneInfo(name)

    def offset(moment: int) -> int:
        found = datetime.fromtimestamp(moment, zone).utcoffset()
        assert found is not None
        return int(found.total_seconds())

    return offset


def parsed(text: str) -> Expression:
    """It is one."""
    found = parse(text)
    assert found is not None
    return found


def model(expression: Expression, start: int, end: int, zone: due.Zone) -> list[int]:
    """Every minute from ``start`` to ``end`` is looked at; what was skipped and what came twice as the rules say."""
    found: set[int] = set()
    names = set(expression.times)
    seen: set[int] = set()
    begin = start - 30 * 3600
    before = begin // 60 * 60 - 60 + zone(begin // 60 * 60 - 60)
    for moment in range(begin // 60 * 60, end, 60):
        wall = moment + zone(moment)
        if expression.fixed:
            for skipped in range(before + 60, wall, 60):
                if expression.on(skipped // 86_400) and skipped % 86_400 // 60 in names:
                    found.add(moment)
        due_now = expression.on(wall // 86_400) and wall % 86_400 // 60 in names
        if due_now and not (expression.fixed and wall in seen):
            found.add(moment)
        seen.add(wall)
        before = wall
    return sorted(moment for moment in found if start < moment < end)


CHANGES = [
    int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()),
    int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()),
    int(datetime(2026, 3, 8, 7, tzinfo=UTC).timestamp()),
    int(datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp()),
    int(datetime(2026, 4, 4, 15, tzinfo=UTC).timestamp()),
    int(datetime(2026, 10, 3, 15, 30, tzinfo=UTC).timestamp()),
]


@given(
    st.sampled_from(TEXTS),
    st.sampled_from(ZONES),
    st.sampled_from(CHANGES) | st.integers(1_700_000_000, 1_900_000_000),
    st.integers(-100_000, 20_000),
    st.integers(0, 150_000),
)
@example("30 2 * * *", "Europe/Berlin", CHANGES[0], -80_000, 160_000)
@example("30 2 * * *", "Europe/Berlin", CHANGES[1], -80_000, 160_000)
@example("0 * * * *", "Australia/Lord_Howe", CHANGES[4], -80_000, 160_000)
def test_the_same_moments_as_looking_at_every_minute(
    text: str, name: str, about: int, before: int, length: int
) -> None:
    """In zones of whole and of half hours, about the changes of the clock and elsewhere."""
    expression, zone = parsed(text), zone_of(name)
    start, end = about + before, about + before + length
    expected = model(expression, start, end, zone)
    span = due.between(expression, start, end, zone)
    assert span.number == len(expected)
    if expected:
        assert (span.first, span.last) == (expected[0], expected[-1])
        assert due.after(expression, start, zone) == expected[0]
        assert due.latest(expression, end - 1, zone) == expected[-1]


@given(
    st.sampled_from(TEXTS),
    st.sampled_from(ZONES),
    st.integers(1_700_000_000, 1_800_000_000),
    st.integers(1, 60),
)
def test_many_days_are_as_many_as_their_parts(text: str, name: str, start: int, days: int) -> None:
    """What is counted by whole days is the sum of what is counted moment by moment."""
    expression, zone = parsed(text), zone_of(name)
    end = start + days * 86_400
    whole = due.between(expression, start, end, zone)
    number, at = 0, start
    while (found := due.after(expression, at, zone)) is not None and found < end and number < 200:
        number, at = number + 1, found
    assert number in {whole.number, 200}


def berlin(*parts: int, fold: int = 0) -> int:
    """A moment by the clock on a wall in Berlin."""
    return int(datetime(*parts, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).timestamp())  # type: ignore[misc,arg-type]


def test_a_time_of_day_that_is_skipped_is_due_at_the_change() -> None:
    """The job of 02:30 runs at 03:00 on the day that has no 02:30."""
    found = due.after(parsed("30 2 * * *"), berlin(2026, 3, 29, 0, 0), zone_of("Europe/Berlin"))
    assert found == berlin(2026, 3, 29, 3, 0)


def test_a_time_of_day_that_comes_twice_is_due_once() -> None:
    """The first time."""
    zone = zone_of("Europe/Berlin")
    first = due.after(parsed("30 2 * * *"), berlin(2026, 10, 25, 0, 0), zone)
    assert first == berlin(2026, 10, 25, 2, 30, fold=0)
    assert due.after(parsed("30 2 * * *"), first, zone) == berlin(2026, 10, 26, 2, 30)


def test_an_interval_follows_the_clock() -> None:
    """Hourly: not in the skipped hour, twice in the repeated one."""
    zone, hourly = zone_of("Europe/Berlin"), parsed("30 * * * *")
    assert due.between(hourly, berlin(2026, 3, 29, 0, 0), berlin(2026, 3, 30, 0, 0), zone).number == 23
    assert due.between(hourly, berlin(2026, 10, 25, 0, 0), berlin(2026, 10, 26, 0, 0), zone).number == 25


@pytest.mark.parametrize(
    ("text", "year", "month", "day"), [("0 0 29 2 *", 2028, 2, 29), ("0 0 29 2 */6", 2032, 2, 29)]
)
def test_a_leap_day_is_waited_for(text: str, year: int, month: int, day: int) -> None:
    """A star before the step lets both the day and the weekday be asked for."""
    found = due.after(parsed(text), int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), lambda _: 0)
    assert found is not None
    date = datetime.fromtimestamp(found, UTC)
    assert (date.month, date.day) == (month, day)
    assert date.year == year if text.endswith("*") else (date.isoweekday() % 7 in {0, 6})


def test_the_zone_of_the_host_is_the_default() -> None:
    """A full hour by local time."""
    found = due.after(parsed("0 * * * *"), 1_795_000_000)
    assert found is not None
    assert datetime.fromtimestamp(found).minute == 0
    assert timedelta(0) < timedelta(seconds=found - 1_795_000_000) <= timedelta(hours=1)
