"""What lines of log files say of themselves: time, service, process, level."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake import times
from tabard.agents.intake.tail.parse import LineReader, Stamp, find_level

NOW = int(datetime(2025, 11, 21, 23, 0, tzinfo=UTC).timestamp()) * 10**9


@pytest.fixture(autouse=True)
def zurich(monkeypatch):
    """Times without a zone are local: an hour or two ahead of UTC here."""
    monkeypatch.setenv("TZ", "Europe/Zurich")
    monkeypatch.setattr(times, "_last_offset", [])
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text):
    whole, _, fraction = text.partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


CASES = {
    "Nov 21 22:55:24 host prog[123]: hello": Stamp(utc("2025-11-21T21:55:24"), "prog", 123),
    "Nov  1 02:03:04 host CRON[7]: (root) CMD (x)": Stamp(utc("2025-11-01T01:03:04"), "CRON", 7),
    "Dec 24 20:00:00 host kernel: [1.2] merry": Stamp(utc("2024-12-24T19:00:00"), "kernel"),
    "Nov 21 22:55:24 host systemd[1]: Started x.": Stamp(utc("2025-11-21T21:55:24"), "systemd", 1),
    "Nov 21 22:55:24 last message repeated 2 times": Stamp(utc("2025-11-21T21:55:24")),
    "<13>Nov 21 22:55:24 host prog: hi": Stamp(utc("2025-11-21T21:55:24"), "prog", None, "notice", 10),
    "<34>1 2025-11-21T22:14:15.003Z host su 77 ID47 - failed": Stamp(
        utc("2025-11-21T22:14:15.003"), "su", 77, "crit", 21
    ),
    "2025-11-21T22:55:24.123456+01:00 host prog[12]: hello": Stamp(
        utc("2025-11-21T21:55:24.123456"), "prog", 12
    ),
    "2025-11-21T22:55:24+01:00 host org.gnome.Shell[3]: x": Stamp(
        utc("2025-11-21T21:55:24"), "org.gnome.Shell", 3
    ),
    "2025-10-16 23:04:12 status installed libc6": Stamp(utc("2025-10-16T21:04:12")),
    "update-alternatives 2025-09-22 04:45:01: run with --install": Stamp(
        utc("2025-09-22T02:45:01"), "update-alternatives"
    ),
    "2025-11-21 22:55:24,123 ERROR app.db: lost": Stamp(
        utc("2025-11-21T21:55:24.123"), None, None, "ERROR", 17
    ),
    "2025-11-21T22:55:24Z INFO main: starting": Stamp(utc("2025-11-21T22:55:24"), None, None, "INFO", 9),
    "2025-11-21 22:55:24.5 UTC [4711] LOG:  ready": Stamp(utc("2025-11-21T22:55:24.5"), None, 4711, "LOG", 9),
    "[2025-11-21 22:55:24] app.WARNING: careful": Stamp(
        utc("2025-11-21T21:55:24"), None, None, "WARNING", 13
    ),
    "2025/11/21 22:55:24 [error] 99#99: *1 open() failed": Stamp(
        utc("2025-11-21T21:55:24"), None, 99, "error", 17
    ),
    "[Fri Nov 21 22:55:24.123456 2025] [core:notice] [pid 55:tid 1] AH00094: x": Stamp(
        utc("2025-11-21T21:55:24.123456"), None, 55, "notice", 10
    ),
    '192.0.2.1 - bob [21/Nov/2025:22:55:24 +0100] "GET / HTTP/1.1" 200 1': Stamp(utc("2025-11-21T21:55:24")),
    "2025-11-21T22:55:24-0500 level=warn msg=x": Stamp(utc("2025-11-22T03:55:24"), None, None, "warn", 13),
}


@pytest.mark.parametrize("line", CASES)
def test_common_forms_are_understood(line):
    """Syslog old and new, dpkg, Python, PostgreSQL, nginx, Apache, access logs, key=value."""
    assert LineReader().read(line, NOW) == CASES[line]


def test_one_reader_takes_lines_of_different_forms():
    """Trying the last form first does not hide the others."""
    reader = LineReader()
    for _ in range(2):
        for line, stamp in CASES.items():
            assert reader.read(line, NOW) == stamp


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "Traceback (most recent call last):",
        "2025-13-41 22:55:24 no such day",
        "2025-11-21 25:55:24 no such hour",
        "Nov 31 22:55:24 host prog: no such day",
        "1234-56",
        "\ud7ff\u2028 odd",
    ],
)
def test_a_line_without_a_time_has_no_stamp(line):
    """What only looks like a time is none."""
    assert LineReader().read(line, NOW) is None


def test_a_date_without_a_year_is_of_the_last_twelve_months():
    """In January the lines of December are last year's; a clock a little ahead is not a year behind."""
    january = utc("2026-01-01T00:30:00")
    assert LineReader().read("Dec 31 23:59:59 h p: x", january) == Stamp(utc("2025-12-31T22:59:59"), "p")
    eve = utc("2025-12-31T22:59:00")
    assert LineReader().read("Jan  1 00:00:01 h p: x", eve) == Stamp(utc("2025-12-31T23:00:01"), "p")


def test_the_setting_decides_what_is_ambiguous():
    """A blank between date and time may be syslog's or any program's: format = "syslog" says which."""
    line = "2025-11-21 22:55:24 host prog[12]: hello"
    time = utc("2025-11-21T21:55:24")
    assert LineReader().read(line, NOW) == Stamp(time, None, 12)
    assert LineReader(syslog=True).read(line, NOW) == Stamp(time, "prog", 12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ERROR: disk", ("ERROR", 17)),
        ("an ERROR occurred", ("ERROR", 17)),
        ("MIRRORED disk", (None, 0)),
        ("Information desk", (None, 0)),
        ("error in lower case prose", (None, 0)),
        ("[warn] x", ("warn", 13)),
        ("level=info x", ("info", 9)),
        ("level=9000", (None, 0)),
        ("x" * 100 + " ERROR", (None, 0)),
    ],
)
def test_levels_are_found_where_they_are_meant(text, found):
    """Words in capitals, in brackets or behind level=, near the beginning only."""
    assert find_level(text) == found


@given(st.text(max_size=200), st.integers(0, 4_102_444_800_000_000_000))
def test_any_line_is_read_without_an_error(line, now):
    """Whatever is in a file, reading it raises nothing and gives storable numbers."""
    stamp = LineReader().read(line, now)
    assert stamp is None or 0 <= stamp.time <= 4_102_444_800_000_000_000


@given(st.sampled_from(sorted(CASES)), st.integers(0, 60), st.text(max_size=3))
def test_damaged_lines_are_read_without_an_error(line, position, junk):
    """Half a stamp is no reason to fail either."""
    LineReader().read(line[:position] + junk + line[position + 1 :], NOW)
