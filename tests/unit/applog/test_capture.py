"""What is kept of a record at the moment it is logged: nothing hostile gets through, nothing that changes is deferred."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.applog.capture import FIELDS, MORE, TEXT_LIMIT, capture
from tabard.applog.record import Speaker, pack, row_of, rows_of, severity
from tabard.client import MAX_PAYLOAD
from tabard.records import LOG_INDEX, LOG_WIDTH, MAX_RECORDS

WHO = Speaker("shop", product="acme", user2="u2", package="shop", version="1.4")


class Mute:
    """Has no text at all."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Ill(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("ill")


def record(msg: object, *args: object, **extra: Any) -> logging.LogRecord:
    """What a logger would make."""
    return logging.getLogger("t").makeRecord(
        "t", logging.INFO, __file__, 7, msg, args, None, "f", extra or None
    )


def row(made: logging.LogRecord) -> dict[str, Any]:
    """It, as a record by field names."""
    values = row_of(made, WHO, 42)
    assert len(values) == LOG_WIDTH
    return {name: values[position] for name, position in LOG_INDEX.items()}


def test_a_row_has_every_field_of_its_speaker_and_place() -> None:
    """Who, where, what."""
    said = row(record("%s x %d", "a", 3))
    assert said["message"] == "a x 3"
    assert (said["service"], said["product"], said["system"], said["user2"]) == ("shop", "acme", None, "u2")
    assert (said["package"], said["version"], said["process"]) == ("shop", "1.4", 42)
    assert (said["logger"], said["function"], said["line"], said["level"]) == ("t", "f", 7, "INFO")


def test_a_mutable_argument_is_made_text_at_once() -> None:
    """What the application does to it later does not change what it said."""
    basket = ["a"]
    entry = capture(record("basket %s", basket))
    mapping = {"k": basket}
    other = capture(record("basket %(k)s", mapping))
    basket.append("b")
    mapping["k"] = []
    assert [each[LOG_INDEX["message"]] for each in rows_of([entry, other], WHO, 1)] == [
        "basket ['a']",
        "basket ['a']",
    ]


def test_plain_arguments_are_left_to_the_background() -> None:
    """Then nothing is formatted by the thread that logs."""
    entry = capture(record("%s %d %.2f", "a", 1, 0.5))
    assert "%s %d %.2f" in entry
    assert entry[MORE] is None


def test_later_changes_of_the_record_change_nothing() -> None:
    """Handlers that colour a level in place are common."""
    made = record("m")
    entry = capture(made)
    made.levelname, made.msg = "\x1b[31mINFO", "other"
    (said,) = rows_of([entry], WHO, 1)
    assert (said[LOG_INDEX["level"]], said[LOG_INDEX["message"]]) == ("INFO", "m")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (record("%d and %d", 1), "'%d and %d' with 1 arguments that do not fit"),
        (record("%d", "x"), "'%d' with 1 arguments that do not fit"),
        (record("none", 1), "'none' with 1 arguments that do not fit"),
        (record(Mute()), "<Mute whose text raised RuntimeError>"),
        (record("%s", Mute()), "'%s' with 1 arguments that do not fit"),
        (record(Mute(), 1), "<Mute whose repr raised RuntimeError> with 1 arguments that do not fit"),
        (record(None), "None"),
        (record(b"bytes"), "b'bytes'"),
        (record(""), ""),
    ],
)
def test_what_cannot_be_formatted_still_says_something(made: logging.LogRecord, expected: str) -> None:
    """A mistake in a logging call is no reason to lose what it was about, or to raise."""
    assert row(made)["message"] == expected


def test_an_exception_that_cannot_be_shown_is_named() -> None:
    """Its trace is there, its text is not."""
    made = record("failed")
    error = Ill()
    made.exc_info = (Ill, error, None)
    said = row(made)
    assert said["exception"] == "Ill: <Ill whose text raised ValueError>"
    assert "Ill" in said["stack"]


def test_exc_info_without_an_exception_is_none() -> None:
    """``logger.exception`` outside of a handler."""
    made = record("m")
    made.exc_info = (None, None, None)
    assert (row(made)["exception"], row(made)["stack"]) == (None, None)


def test_extras_are_attributes_or_the_fields_they_name() -> None:
    """By our names or by those of the original; what JSON does not have is shown as text."""
    said = row(
        record("m", SYSTEM_ID="s1", user1="u", trace_id="t9", item=[1], odd=Mute(), package_version="2")
    )
    assert (said["system"], said["user1"], said["trace_id"], said["version"]) == ("s1", "u", "t9", "2")
    assert json.loads(said["attributes"]) == {"item": [1], "odd": "<Mute whose repr raised RuntimeError>"}


def test_extras_that_json_cannot_have_are_shown() -> None:
    """A list within itself, a key that is no text."""
    knot: list[Any] = []
    knot.append(knot)
    assert json.loads(row(record("m", knot=knot))["attributes"]) == {"knot": "[[...]]"}


def test_long_texts_are_cut_and_say_so() -> None:
    """One record cannot fill the memory that is there for thousands."""
    said = row(record("a" * (TEXT_LIMIT + 7)))
    assert said["message"].endswith("... (7 more characters)")
    assert row(record("%s", "a" * (TEXT_LIMIT + 7)))["message"].endswith("... (7 more characters)")


def attributes(extras: dict[str, Any]) -> dict[str, Any]:
    """Those of a record that says them, which are never more than may be."""
    made = record("m")
    vars(made).update(extras)
    said = row(made)["attributes"]
    assert len(said) <= TEXT_LIMIT
    found: dict[str, Any] = json.loads(said, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    return found


def uncut(value: str) -> int:
    """How long a text was before it was cut, by its own word."""
    kept, _, missing = value.rpartition("... (")
    assert missing.endswith(" more characters)")
    return len(kept) + int(missing.split()[0])


def test_a_big_extra_is_cut_and_the_small_ones_are_whole() -> None:
    """What the record is found by is not lost for a body that somebody added."""
    said = attributes({"body": "z" * 48_500, "order": 4711, "customer": "ann"})
    assert (said.pop("order"), said.pop("customer")) == (4711, "ann")
    assert list(said) == ["body"]
    assert uncut(said["body"]) == 48_500
    assert len(said["body"]) > TEXT_LIMIT - 100


def test_big_extras_share_the_room() -> None:
    """Each is cut alike; a structure is shown as the text that its JSON is."""
    said = attributes(
        {"a": "x" * 30_000, "b": ["y" * 30_000], "c": "\N{GRINNING FACE}" * 30_000, "d": "w" * 9_000}
    )
    assert said["d"] == "w" * 9_000
    assert [uncut(said[name]) for name in "abc"] == [30_000, 30_004, 30_000]
    assert said["b"].startswith('["yyy')
    shares = [len(json.dumps(said[name])) for name in "abc"]
    assert max(shares) - min(shares) < 30


def test_the_names_of_many_extras_are_kept_as_far_as_there_is_room() -> None:
    """Rather a name without its value than none; of those that are left out, how many."""
    many = {f"name {number}": "x" * 100 for number in range(1_500)}
    assert attributes(many).keys() == many.keys()
    more = {f"name {number}": "x" * 100 for number in range(9_000)}
    said = attributes(more)
    assert said.pop("...") == f"{9_000 - len(said)} more attributes"
    assert len(said) > 2_000 and said.keys() < more.keys()


def test_a_value_that_json_cannot_have_spoils_no_other() -> None:
    """A list within itself, a number that is none: these alone are shown as text."""
    knot: list[Any] = []
    knot.append(knot)
    said = attributes({"knot": knot, "rate": float("nan"), "order": 4711, "body": "z" * 50_000})
    assert (said["knot"], said["rate"], said["order"]) == ("[[...]]", "nan", 4711)


@given(
    st.dictionaries(
        st.text(st.sampled_from('ab\N{GRINNING FACE}\ud800"'), max_size=9).map(lambda name: f"x{name}"),
        st.tuples(st.sampled_from(["z", "\\", "\n", "\N{GRINNING FACE}", "\ud800"]), st.integers(0, 50_000)),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_extras_there_are_all_are_there_within_the_bound(sizes: dict[str, tuple[str, int]]) -> None:
    """Letters of any width, names with anything in them; what is whole is what it was."""
    extras = {name: letter * count for name, (letter, count) in sizes.items()}
    said = attributes(extras)
    assert said.keys() == extras.keys()
    for name, value in extras.items():
        assert said[name] in (value, "...") or uncut(said[name]) == len(value)


def test_the_largest_record_fits_a_frame() -> None:
    """Every text as long as it may be, each letter four bytes: it is still sent."""
    made = record("\N{GRINNING FACE}" * TEXT_LIMIT, extra="\N{GRINNING FACE}" * 3_000)
    made.exc_text = made.stack_info = "\N{GRINNING FACE}" * TEXT_LIMIT
    (packed,) = pack([row_of(made, WHO, 1)])
    assert len(packed.payload) <= MAX_PAYLOAD


def test_what_is_logged_while_a_text_is_made_is_kept_without_making_another() -> None:
    """An object whose text logs the object would never end."""
    entries = []

    class Talker:
        def __str__(self) -> str:
            entries.append(capture(record("%s", self)))
            return "talker"

    entries.append(capture(record("%s", Talker())))
    messages = [each[LOG_INDEX["message"]] for each in rows_of(entries, WHO, 1)]
    assert messages == ["a record logged while another was being made into text", "talker"]


def test_rows_that_msgpack_refuses_are_made_storable() -> None:
    """A level without a proper name, a lone surrogate, a number beyond 64 bits: each is sent as text."""
    odd = record("\ud800")
    odd.levelname = object()  # type: ignore[assignment]
    odd.lineno = 2**70
    (packed,) = pack(rows_of([capture(odd), capture(record("well"))], WHO, 1))
    first, second = msgpack.unpackb(packed.payload)
    assert (first[LOG_INDEX["message"]], second[LOG_INDEX["message"]]) == ("\ufffd", "well")
    assert packed.records == 2


@given(st.lists(st.integers(0, 300_000), max_size=12), st.integers(0, 600))
def test_rows_are_packed_into_frames_that_hold_them(sizes: list[int], small: int) -> None:
    """In order, each once, within the bounds of a frame."""
    rows = [row_of(record("x"), WHO, 1)] * small
    message = LOG_INDEX["message"]
    rows = [(*each[:message], str(at), *each[message + 1 :]) for at, each in enumerate(rows)]
    rows += [(*row_of(record("x"), WHO, 1)[:-1], "a" * size) for size in sizes]
    packed = pack(rows)
    found = [each for one in packed for each in msgpack.unpackb(one.payload, use_list=False)]
    assert found == rows
    assert all(len(one.payload) <= MAX_PAYLOAD and one.records <= MAX_RECORDS for one in packed)


@given(
    st.one_of(st.text(), st.integers(), st.none(), st.binary(), st.floats(), st.lists(st.text())),
    st.lists(
        st.one_of(st.text(), st.integers(), st.none(), st.binary(), st.lists(st.integers())), max_size=4
    ),
)
def test_whatever_is_logged_becomes_a_record(msg: object, args: list[object]) -> None:
    """Never an exception, always a frame that can be decoded, and the text that Python makes where it makes one."""
    made = record(msg, *args)
    (packed,) = pack([row_of(made, WHO, 1)])
    (said,) = msgpack.unpackb(packed.payload)
    try:
        expected = made.getMessage()
    except Exception:
        return
    if expected.isprintable():
        assert said[LOG_INDEX["message"]] == expected


def test_a_record_whose_fields_exceed_a_frame_together_is_cut_and_kept() -> None:
    """Names, ids and texts can each be long; those before and after it go their way."""
    huge = record("m" * 50_000)
    huge.name = huge.threadName = "\U0001f600" * 1_000_000
    for name in FIELDS:
        setattr(huge, name, "\U0001f600" * 50_000)
    vars(huge)["task"] = "x" * 40_000
    found = pack(rows_of([capture(record("a")), capture(huge), capture(record("b"))], WHO, 1))
    assert all(len(packed.payload) <= MAX_PAYLOAD for packed in found)
    said = [row for packed in found for row in msgpack.unpackb(packed.payload)]
    assert [row[LOG_INDEX["message"]][:1] for row in said] == ["a", "m", "b"]
    assert said[1][LOG_INDEX["logger"]].endswith("more characters)")


@pytest.mark.parametrize(
    ("level", "number"), [(5, 1), (10, 5), (20, 9), (25, 9), (30, 13), (40, 17), (50, 21), (99, 21), ("x", 0)]
)
def test_levels_become_severities(level: object, number: int) -> None:
    """The numbers are OpenTelemetry's."""
    assert severity(level) == number
