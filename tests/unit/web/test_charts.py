"""Geometry of charts and strips."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.web.charts import MINUTE, Plan, draw_chart, unbroken
from tabard.web.heartbeat import MAX_CELLS, heartbeat_strip
from tabard.web.histogram import BUCKETS, bucket_width
from tabard.web.scales import nice_ceiling, show_bytes, show_number, spaced
from tabard.web.words import coordinate, delay
from tabard.web.zones import SECOND, UTC_ZONE

NOW = 1_793_721_600_000_000_000
values = st.floats(min_value=0, max_value=1e15, allow_nan=False)


@given(values)
def test_a_scale_ends_above_its_values(value):
    """Nothing is drawn outside, and not all of it at the foot."""
    for binary in (False, True):
        top = nice_ceiling(value, binary=binary)
        assert top >= value
        assert value == 0 or top <= max(2.5 * value, 1)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), values), min_size=1, max_size=40, unique_by=lambda point: point[0]
    )
)
def test_curves_stay_within_their_drawing(points):
    """Every coordinate is between 0 and 1000, 0 and 100, and no path is malformed."""
    points = [(NOW + moment, value) for moment, value in sorted(points)]
    chart = draw_chart(Plan("x", {"x": "x"}, show_number), {"x": points}, NOW, NOW + 10**6, UTC_ZONE)
    assert chart is not None
    (curve,) = chart.curves
    spots = re.findall(r"[ML]([\d.]+) ([\d.]+)", curve.path)
    assert spots
    assert "".join(re.findall(r"[ML][\d.]+ [\d.]+", curve.path)) == curve.path
    for x, y in spots:
        assert 0 <= float(x) <= 1002
        assert 0 <= float(y) <= 100
    assert len(chart.probes) == len(points)


def test_a_curve_is_broken_where_samples_are_missing():
    """No line is invented over a silence."""
    points = [(second * SECOND, 1.0) for second in (*range(0, 100, 10), *range(300, 400, 10))]
    assert [len(run) for run in unbroken(points)] == [10, 10]


def test_no_values_no_chart():
    """Series that are missing or empty draw nothing."""
    assert draw_chart(Plan("x", {"x": "x"}, show_number), {}, 0, 1, UTC_ZONE) is None
    assert draw_chart(Plan("x", {"x": "x"}, show_number), {"x": []}, 0, 1, UTC_ZONE) is None


@given(st.integers(1, 8 * 24 * 60), st.sampled_from([1.0, 10.0, 60.0, 300.0]))
def test_a_whole_strip_is_green_when_every_beacon_came(minutes, interval):
    """Whatever the range and the interval, regular beacons leave no other colour, and cells stay wide enough to see."""
    since = NOW - minutes * MINUTE
    first = since // MINUTE * MINUTE - 24 * 60 * MINUTE
    step = round(interval * SECOND)
    heard: dict[int, int] = {}
    for beat in range(first, NOW, max(step, MINUTE)):
        heard[beat // MINUTE * MINUTE] = max(1, MINUTE // step)
    cells = heartbeat_strip(
        [beat for beat in heard.items() if beat[0] >= since - 24 * 60 * MINUTE],
        since,
        NOW,
        interval,
        UTC_ZONE,
        known=True,
    )
    assert {cell.state for cell in cells} == {"full"}
    assert len(cells) <= MAX_CELLS + 1


def strip(beats, **more):
    """The states of the last six minutes, 10 s into the last one, of a node that speaks every 10 s."""
    until = NOW + 10 * SECOND
    cells = heartbeat_strip(
        [(NOW - minute * MINUTE, count) for minute, count in beats.items()],
        NOW - 5 * MINUTE, until, 10.0, UTC_ZONE, known=True, **more,
    )  # fmt: skip
    return [cell.state for cell in cells]


def test_a_minute_that_has_just_begun_is_no_heartbeat():
    """After silence it is silence still; after beacons nothing is overdue yet."""
    assert strip({5: 6, 4: 6, 3: 6}) == ["full", "full", "full", "none", "none", "none"]
    assert strip({5: 6, 4: 6, 3: 6, 2: 6, 1: 6})[-2:] == ["full", "some"]
    assert strip({5: 6, 4: 6, 3: 6, 2: 6, 1: 6, 0: 1})[-2:] == ["full", "full"]


def test_what_nobody_could_hear_is_unknown():
    """The recorder fell silent: up to then minutes are judged by what was due, from then on nobody knows."""
    heard = {5: 6, 4: 0, 3: 6, 2: 3}
    listened = NOW - 2 * MINUTE + 30 * SECOND
    assert strip(heard, listened=listened) == ["full", "none", "full", "full", "unknown", "unknown"]
    assert strip({5: 6}, listened=listened)[-3:] == ["none", "unknown", "unknown"]


@given(st.integers(1, 80 * 365 * 86400))
def test_a_histogram_has_a_readable_number_of_bars(seconds):
    """From a second to decades."""
    step = bucket_width(seconds * SECOND)
    assert seconds * SECOND / step <= BUCKETS


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1536, "1.5 KiB"),
        (2**30, "1 GiB"),
        (5 * 2**50, "5,120 TiB"),
    ],
)
def test_sizes_have_three_digits(size, text):
    """They must fit beside a chart."""
    assert show_bytes(size) == text


def test_spaced_includes_both_ends():
    """Labels stand at the edges too."""
    assert spaced(0, 100, 5) == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (100.0, "100"), (1.005, "1"), (12.346, "12.35"), (1e-9, "0")]
)
def test_coordinates_are_short(value, text):
    """Two decimals at most, no exponent."""
    assert coordinate(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.004, "4 ms later"), (5.0, "5 s later"), (-3.0, "3 s before it was said: the clocks differ")],
)
def test_a_delay_is_said_in_words(seconds, text):
    """A record that arrived before it was said shows that clocks differ."""
    assert delay(seconds) == text
