"""What is understood of one syslog message."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.admission import fitted
from tabard.agents.intake.bridge.syslog import FACILITIES, SyslogParser, structured_data
from tabard.records import LOG_FIELDS, LOG_WIDTH

NOW = 1_795_316_295_000_000_000  # 2026-11-22 02:58:15 UTC
SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def read(text: str, now: int = NOW) -> dict[str, Any]:
    """The fields that a message sets, attributes decoded."""
    record = SyslogParser(lambda: now).read(text)
    found = {name: value for name, value in zip(LOG_FIELDS, record, strict=True) if value is not None}
    if "attributes" in found:
        found |= {"attributes": json.loads(found["attributes"])}
    return found


def test_rfc_5424_with_all_its_parts() -> None:
    """Time with its zone, host, program, process, message id, structured data, and the message without its BOM."""
    assert read(
        '<165>1 2026-11-22T03:58:15.003+01:00 web1.example.com shop 4711 ID47 [a@32473 iut="3" x="\\"q\\" \\] \\\\"]'
        '[b] \ufeffAn application "event" \u00fc'
    ) == {
        "time": NOW + 3_000_000, "severity": 10, "level": "notice", "service": "shop", "process": 4711,
        "message": 'An application "event" \u00fc',
        "attributes": {
            "facility": "local4", "host": "web1.example.com", "msgid": "ID47",
            "sd": {"a@32473": {"iut": "3", "x": '"q" ] \\'}, "b": {}},
        },
    }  # fmt: skip


def test_rfc_5424_with_nothing_but_a_priority() -> None:
    """Every field may be nil; the time is then that of arrival."""
    assert read("<0>1 - - - - - -") == {
        "time": NOW, "severity": 24, "level": "emerg", "message": "", "attributes": {"facility": "kern"},
    }  # fmt: skip


def test_a_process_id_that_is_no_number_is_an_attribute() -> None:
    """PROCID may be any word, in both forms."""
    assert read("<14>1 2026-11-22T02:58:15Z h app worker-3 - - m")["attributes"]["procid"] == "worker-3"
    found = read("<14>Nov 22 03:58:15 h app[worker-3]: m")
    assert found["attributes"]["procid"] == "worker-3"
    assert (found["service"], found["message"]) == ("app", "m")


@pytest.mark.parametrize(
    ("text", "host", "service", "process", "message"),
    [
        ("Nov 22 03:58:15 web1 sshd[812]: Accepted key", "web1", "sshd", 812, "Accepted key"),
        ("Nov 22 03:58:15 sshd[812]: Accepted key", None, "sshd", 812, "Accepted key"),
        ("Nov 22 03:58:15 sshd: a b: c", None, "sshd", None, "a b: c"),
        ("Nov 22 03:58:15 sshd: b: c", None, "sshd", None, "b: c"),
        ("Nov 22 03:58:15 2001:db8::1 kernel: [1.2] x", "2001:db8::1", "kernel", None, "[1.2] x"),
        ("Nov 22 03:58:15.123 web1 cron: x", "web1", "cron", None, "x"),
        ("Nov 22 03:58:15 postfix/smtpd[9]: x", None, "postfix/smtpd", 9, "x"),
        ("Nov 22 03:58:15 some words without a program", None, None, None, "some words without a program"),
        ("2026-11-22T03:58:15+01:00 web1 app[1]: x", "web1", "app", 1, "x"),
        ("2026-11-22T02:58:15.000000Z web1 app: x", "web1", "app", None, "x"),
        ("Nov 22 03:58:15 web1 (udev-worker)[812]: x", "web1", "(udev-worker)", 812, "x"),
        ("Nov 22 03:58:15 run-parts(/etc/cron.daily)[812]: x", None, "run-parts(/etc/cron.daily)", 812, "x"),
        ("open(2): no such file", None, None, None, "open(2): no such file"),
        ("app[7]: no time", None, "app", 7, "no time"),
        ("app: no time", None, "app", None, "no time"),
        ("no time, no program", None, None, None, "no time, no program"),
        ("ERROR: the disk is full", None, None, None, "ERROR: the disk is full"),
        ("", None, None, None, ""),
    ],
)
def test_rfc_3164_as_it_is_really_sent(
    text: str, host: str | None, service: str | None, process: int | None, message: str
) -> None:
    """With and without time, host, program and process; what is no header stays in the message."""
    found = read("<13>" + text)
    assert (found.get("service"), found.get("process"), found["message"]) == (service, process, message)
    assert found["attributes"] == {"facility": "user"} | ({"host": host} if host else {})
    assert (found["level"], found["severity"]) == ("notice", 10)
    assert found["time"] == NOW


def test_only_ascii_digits_are_a_process_id() -> None:
    """Other digits that Unicode knows are a word."""
    for word in ("\u00b2", "\u0663", "7\u00b2"):
        assert read(f"<14>1 - h app {word} - - m")["attributes"]["procid"] == word
        assert read(f"<14>app[{word}]: m")["attributes"]["procid"] == word


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("2099-12-31T23:59:60.5Z", "h app 7 - - m"),
        ("2200-01-01T00:00:00Z", "h app 7 - - m"),
        ("2026-02-30T10:00:00Z", "h app 7 M1 - m"),
        ("2026-11-22T24:00:00Z", "h app 7 - - m"),
        ("Feb 29 10:00:00", "h app[7]: m"),
        ("Nov 31 00:00:00", "h app[7]: m"),
        ("Nov 22 25:00:00.5", "h app[7]: m"),
        ("2026-13-01T00:00:00+01:00", "h app[7]: m"),
    ],
)
def test_a_time_that_cannot_be_is_an_attribute(said: str, rest: str) -> None:
    """Beyond what can be stored, or no day of that month: the record's own is that of arrival, all else is understood."""
    found = read(f"<{'10>1' if 'app 7' in rest else '10>'} {said} {rest}".replace("<10> ", "<10>"))
    assert (found["severity"], found["service"], found["process"]) == (21, "app", 7)
    assert (found["message"], found["time"]) == ("m", NOW)
    assert found["attributes"].pop("time") in (said, said.removesuffix(".5"))
    assert found["attributes"] == {"facility": "user", "host": "h"} | (
        {"msgid": "M1"} if "M1" in rest else {}
    )


def test_a_leap_day_is_of_a_leap_year() -> None:
    """On the first of March 2028 too."""
    march = 1_835_481_600_000_000_000  # 2028-03-01 00:00 UTC
    assert read("<13>Feb 29 23:30:00 h a: x", march)["time"] == march - 90 * 60 * SECOND


def test_a_parameter_that_is_said_several_times_is_a_list() -> None:
    """RFC 5424 allows it, for several addresses for example."""
    found = read('<13>1 - h a - - [o ip="10.0.0.1" ip="10.0.0.2" x="y" ip="::1"] m')
    assert found["attributes"]["sd"] == {"o": {"ip": ["10.0.0.1", "10.0.0.2", "::1"], "x": "y"}}


def test_every_priority_is_a_facility_and_a_severity() -> None:
    """0 to 191; what is beyond is no priority, and the message stays whole."""
    for number in range(192):
        found = read(f"<{number}>x")
        assert found["attributes"] == {"facility": FACILITIES[number // 8]}
    severities = [read(f"<{number}>x")["severity"] for number in range(8)]
    assert severities == sorted(severities, reverse=True)
    assert read("<192>x")["message"] == "<192>x"
    assert read("<999>1 - - - - - - x")["attributes"] == {"intake": "no syslog"}


def test_a_date_without_a_year_is_the_latest_that_fits() -> None:
    """In January, December is of last year; a clock a little ahead is of this one."""
    january = 1_798_765_200_000_000_000  # 2027-01-01 02:00 in Berlin
    assert read("<13>Dec 31 23:59:59 h a: x", january)["time"] == january - 2 * 3_600 * SECOND - SECOND
    assert read("<13>Jan  1 02:00:05 h a: x", january)["time"] == january + 5 * SECOND


def test_what_is_remembered_of_dates_is_forgotten_when_the_year_ends() -> None:
    """The same words mean another year some months later."""
    now = NOW
    parser = SyslogParser(lambda: now)
    first = parser.read("<13>Dec 20 00:00:00 h a: x")[0]
    now += 40 * 86_400 * SECOND
    assert parser.read("<13>Dec 20 00:00:00 h a: x")[0] - first == 365 * 86_400 * SECOND


@pytest.mark.parametrize(
    "text",
    [
        "no priority at all",
        "<13",
        "<>x",
        "<1234>x",
        "<-1>x",
        '<13>1 2026-11-22T02:58:15Z h a - - [unclosed x="y',
        "\0\0\0",
    ],
)
def test_what_cannot_be_understood_is_kept_as_plain_text(text: str) -> None:
    """The whole of it, or all behind the priority."""
    found = read(text)
    assert found["message"] in (text, text.partition(">")[2])
    assert found["time"] >= NOW - 366 * 86_400 * SECOND


def test_a_line_without_a_priority_is_stamped_like_a_line_of_a_file() -> None:
    """Its time and level are read, and the message stays whole."""
    found = read("2026-11-22 03:58:15,250 ERROR no priority")
    assert (found["time"], found["severity"], found["message"]) == (
        NOW + 250_000_000, 17, "2026-11-22 03:58:15,250 ERROR no priority",
    )  # fmt: skip
    assert found["attributes"] == {"intake": "no syslog"}


def test_structured_data_is_bounded() -> None:
    """Of thousands of parameters the first 256 are kept."""
    text = "[a " + " ".join(f'k{number}="v"' for number in range(5_000)) + "]"
    assert len(structured_data(text)["a"]) == 256


@given(
    st.text(max_size=120),
    st.sampled_from(["", "<13>", "<13>1 ", "<13>Nov 22 03:58:15 ", "<13>1 - - - - - ["]),
)
def test_anything_becomes_a_record_that_can_be_stored(rest: str, start: str) -> None:
    """Of full width and of the right types, whatever is said."""
    record = SyslogParser(lambda: NOW).read(start + rest)
    assert len(record) == LOG_WIDTH
    if "\0" not in rest:
        assert fitted(record) is record


@pytest.mark.threat("bad-input")
@pytest.mark.parametrize("part", ["[", '[a "', '[a b="\\', "]", '"', "[a]", "<13>", " "])
def test_no_message_takes_long(part: str) -> None:
    """Patterns that repeat a hundred thousand times are looked through once."""
    read("<13>1 2026-11-22T02:58:15Z h a - - " + part * 100_000)
    read("<13>" + part * 100_000)
    read(part * 100_000)
