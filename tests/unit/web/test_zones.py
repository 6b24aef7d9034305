"""Time at the edge."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import TabardError
from tabard.records import TIME_MAX
from tabard.web.zones import SECOND, UTC_ZONE, age, display_zone, iso, parse_instant

NOW = 1_793_721_600_000_000_000  # 2026-11-03 16:00:00 UTC
BERLIN = display_zone("Europe/Berlin")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", NOW - 900 * SECOND),
        ("-24h", NOW - 86400 * SECOND),
        ("now", NOW),
        ("today", at("2026-11-03T00:00:00+01:00")),
        ("2026-11-03", at("2026-11-03T00:00:00+01:00")),
        ("2026-11-03 14:00", at("2026-11-03T14:00:00+01:00")),
        ("2026-11-03T13:00:00Z", at("2026-11-03T13:00:00+00:00")),
        ("2026-11-03T13:00:00+05:30", at("2026-11-03T13:00:00+05:30")),
        ("2026-11-03T13:00:00 05:30", at("2026-11-03T13:00:00+05:30")),
        ("2026-11-03T13:00:00.250Z", at("2026-11-03T13:00:00+00:00") + SECOND // 4),
    ],
)
def test_an_instant_is_relative_or_absolute(text, expected):
    """Durations count back from now; a time without an offset is one of the page's zone; a lost plus sign is understood."""
    assert parse_instant(text, now=NOW, zone=BERLIN) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterdayish", "15", "2026-13-01", "1969-12-31", "2101-01-01", "0001-01-01", "٣m", "1e5s"]
)
def test_what_is_no_instant_says_what_would_be(text):
    """A faulty time is an error that shows the forms there are."""
    with pytest.raises(TabardError) as caught:
        parse_instant(text, now=NOW, zone=BERLIN)
    assert caught.value.expected
    assert caught.value.found is not None


@given(st.text(max_size=40))
def test_no_text_crashes_the_reader_of_instants(text):
    """Any text is a time in range or a TabardError."""
    with contextlib.suppress(TabardError):
        assert 0 <= parse_instant(text, now=NOW, zone=UTC_ZONE) <= TIME_MAX


@pytest.mark.parametrize(
    "name", ["Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "", "a\0b", "Europe"]
)
def test_an_unknown_zone_is_an_error(name):
    """A zone that does not exist, or is no zone at all, says what is expected."""
    with pytest.raises(TabardError, match="local, utc"):
        display_zone(name)


def test_local_means_what_the_setting_says():
    """``local`` is the zone of the setting, and keeps its name in links."""
    zone = display_zone("local", "Europe/Berlin")
    assert zone.name == "local"
    assert zone.clock(NOW) == "17:00:00.000"
    assert zone.label(NOW) == "CET, UTC+01:00"


def test_utc_is_called_utc():
    """UTC needs no offset."""
    assert UTC_ZONE.label(NOW) == "UTC"
    assert UTC_ZONE.date(NOW) == "2026-11-03"


def test_the_offset_is_that_of_the_moment():
    """In summer the same zone has another offset."""
    assert BERLIN.label(at("2026-07-01T00:00:00+00:00")) == "CEST, UTC+02:00"


@given(st.integers(min_value=0, max_value=TIME_MAX))
def test_iso_keeps_every_nanosecond(time):
    """The text of a time names it exactly."""
    text = iso(time)
    moment = datetime.strptime(text[:26] + "Z", "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    micros = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    assert micros * 1000 + int(text[26:29]) == time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.42, "0.4 s"), (9.96, "10.0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"),
     (3600, "1 h"), (7500, "2 h 5 min"), (3 * 86400 + 4 * 3600, "3 d 4 h"), (-3, "0 s")],
)  # fmt: skip
def test_an_age_has_at_most_two_units(seconds, text):
    """Ages are short."""
    assert age(seconds) == text
