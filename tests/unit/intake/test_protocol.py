"""The binary protocol and JSON lines: whatever the bytes and however split, the same events, never a raise."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard import intake_frames
from tabard.agents.intake.batcher import MAX_GROUP
from tabard.agents.intake.protocol import (
    Event,
    Hello,
    Line,
    Parser,
    Ping,
    Records,
    Refusal,
    Violation,
    frame_of,
)
from tabard.records import LOG_INDEX, MAX_BODY, MAX_RECORD, normalise_log
from tests.unit.intake.samples import log_record

NOW = 1_763_765_724_000_000_000
HELLO = frame_of(intake_frames.HELLO, 0, {"v": 1, "source": "app-1", "service": "app"})


def parse(data, cuts=()):
    parser = Parser(lambda: NOW)
    events: list[Event] = []
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        events += parser.feed(data[start:cut])
        start = cut
    events += parser.finish()
    return events


def records_frame(records, number=1):
    return frame_of(intake_frames.RECORDS, number, records)


def refused(payload, number=1):
    """The one refusal that a frame with these bytes as payload is answered with."""
    data = HELLO + intake_frames.HEAD.pack(len(payload), intake_frames.RECORDS, number) + payload
    events = parse(data + frame_of(intake_frames.PING))
    assert isinstance(events[1], Refusal)
    assert isinstance(events[2], Ping), "the connection goes on after a refusal"
    return events[1]


@pytest.mark.parametrize("total", [1, 3, 8, 9, 256])
def test_records_that_fit_are_handed_on_unchanged(total):
    """The client's own bytes are what is journaled: nothing is encoded again."""
    payload = msgpack.packb([log_record(message=f"record {number}") for number in range(total)])
    events = parse(HELLO + intake_frames.HEAD.pack(len(payload), intake_frames.RECORDS, 7) + payload)
    assert events == [Hello("app-1", "app"), Records(7, payload, total, 0)]


MISFITS = {
    "too short": lambda record: record[:5],
    "too long": lambda record: (*record, "more"),
    "NUL in the message": lambda record: replaced(record, "message", "a\0b"),
    "NUL in an attribute": lambda record: replaced(record, "attributes", '{"a":"\0"}'),
    "bytes for text": lambda record: replaced(record, "message", b"caf\xe9"),
    "a number for text": lambda record: replaced(record, "service", 12),
    "text for a number": lambda record: replaced(record, "line", "12"),
    "a boolean for a number": lambda record: replaced(record, "process", True),
    "a float for a time": lambda record: replaced(record, "time", 1.5e18),
    "no time": lambda record: replaced(record, "time", None),
    "no message": lambda record: replaced(record, "message", None),
    "a time before 1970": lambda record: replaced(record, "time", -1),
    "a time after 2100": lambda record: replaced(record, "time", 2**63 - 1),
    "an unsigned 64-bit number": lambda record: replaced(record, "line", 2**64 - 1),
    "an unknown severity": lambda record: replaced(record, "severity", 25),
    "an array for text": lambda record: replaced(record, "message", ["a", 1]),
    "no record at all": lambda record: "hello",
}


def replaced(record, name, value):
    values = list(record)
    values[LOG_INDEX[name]] = value
    return tuple(values)


@pytest.mark.parametrize("company", [0, 20])
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_record_that_does_not_fit_is_normalised_and_the_others_left_alone(misfit, company):
    """One odd record costs only itself: it is made storable, and nothing is refused."""
    good = log_record()
    odd = MISFITS[misfit](good)
    sent = [good] * company + [odd]
    event = parse(HELLO + records_frame(sent))[1]
    assert isinstance(event, Records)
    assert (event.total, event.repaired) == (company + 1, 1)
    found = [tuple(record) for record in msgpack.unpackb(event.records)]
    assert found[:-1] == [good] * company
    assert found[-1] == normalise_log(msgpack.unpackb(msgpack.packb(odd), use_list=False))


def test_broken_utf8_is_replaced():
    """Text that is no UTF-8 is stored readable instead of refusing its frame."""
    payload = msgpack.packb([log_record(message="caf_")]).replace(b"caf_", b"caf\xe9")
    event = parse(HELLO + intake_frames.HEAD.pack(len(payload), intake_frames.RECORDS, 1) + payload)[1]
    assert isinstance(event, Records)
    assert msgpack.unpackb(event.records)[0][LOG_INDEX["message"]] == "caf\ufffd"


def test_a_record_that_is_too_large_is_cut_and_says_so():
    """The beginning of the text is kept, with a note of how long it was."""
    large = log_record(message="m" * 100, stack="s" * 400_000, attributes='{"a":1}')
    event = parse(HELLO + records_frame([log_record(), large]))[1]
    assert isinstance(event, Records)
    assert (event.total, event.repaired) == (2, 1)
    record = msgpack.unpackb(event.records)[1]
    assert len(msgpack.packb(record)) <= MAX_RECORD
    assert record[LOG_INDEX["message"]] == "m" * 100
    assert set(record[LOG_INDEX["stack"]]) == {"s"}
    assert record[LOG_INDEX["attributes"]] == '{"a":1,"intake.cut":{"stack":400000}}'


def test_records_that_grow_when_normalised_still_fit_a_batch():
    """NULs become three bytes each: the frame is cut rather than outgrowing what a batch may be."""
    sent = [log_record(message="\0" * 250_000) for _ in range(4)]
    event = parse(HELLO + records_frame(sent))[1]
    assert isinstance(event, Records)
    assert event.total == 4
    assert len(event.records) <= MAX_GROUP


BOMBS = {
    "empty maps": b"\xdc\x01\x00" + b"\x80" * 256,
    "a megabyte of empty maps": b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\x80" * 1_000_000,
    "a record that is a map": msgpack.packb([{"message": "hello"}]),
    "nested arrays": b"\x91" * 1_000_000 + b"\xc0",
    "arrays of arrays": (b"\xdc\x01\x00" + b"\x91\xc0" * 256) * 1_500,
    "wide arrays of arrays": b"\xdc\x01\x00" + (b"\xdc\x01\x00" + b"\x91\xc0" * 256) * 256,
    "an array that promises too much": b"\xdd\xff\xff\xff\xff",
    "text that promises too much": b"\x91\xdb\xff\xff\xff\xff",
    "an extension type": b"\x91\xd4\x05\x00",
    "a timestamp extension": b"\x91\xd6\xff\x00\x00\x00\x00",
    "nothing": b"",
    "two values": b"\x90\x90",
    "no array": b"\xc0",
    "no record": b"\x90",
    "too many records": msgpack.packb([log_record()] * 257),
    "a reserved byte": b"\x91\xc1",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_payloads_are_refused_in_little_memory(bomb):
    """A frame that cannot be records is refused with a reason; decoding it never takes many megabytes."""
    payload = BOMBS[bomb]
    assert len(payload) <= MAX_BODY
    tracemalloc.start()
    refusal = refused(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.reason
    assert refusal.expected
    assert peak < 12_000_000


@pytest.mark.parametrize("number", [0, 2**63, 2**64 - 1])
def test_a_frame_number_out_of_range_is_refused(number):
    """Frames count from 1 and stay within what a mark can hold."""
    assert "number" in refused(msgpack.packb([log_record()]), number).reason


def test_a_frame_too_large_for_a_batch_is_refused():
    """A frame may be a megabyte; records that would not fit a batch with their group's head are refused."""
    filler = msgpack.packb([log_record(message="x" * 200_000)] * 5)
    payload = filler + b"\xc0" * (MAX_BODY - len(filler))
    assert str(MAX_GROUP) in refused(payload).expected


VIOLATIONS = {
    "records before hello": records_frame([log_record()]),
    "a second hello": HELLO + HELLO,
    "an unknown kind": HELLO + frame_of(99),
    "an answer's kind": HELLO + frame_of(intake_frames.WELCOME),
    "a frame too large": HELLO + intake_frames.HEAD.pack(MAX_BODY + 1, intake_frames.RECORDS, 1),
    "plain text": b"hello, is this the syslog?\n",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another version": frame_of(intake_frames.HELLO, 0, {"v": 2, "source": "x"}),
    "no version": frame_of(intake_frames.HELLO, 0, {"source": "x"}),
    "hello that is no map": frame_of(intake_frames.HELLO, 0, ["x"]),
    "hello that is nothing": frame_of(intake_frames.HELLO),
    "a source that is no text": frame_of(intake_frames.HELLO, 0, {"v": 1, "source": 7}),
    "a source too long": frame_of(intake_frames.HELLO, 0, {"v": 1, "source": "x" * 129}),
    "a source with control characters": frame_of(intake_frames.HELLO, 0, {"v": 1, "source": "a\nb"}),
}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_broken_protocol_ends_the_conversation(case):
    """One violation with a reason, and nothing after it is looked at."""
    data = VIOLATIONS[case].ljust(intake_frames.HEAD.size, b"\n")
    events = parse(data + frame_of(intake_frames.PING) * 3)
    assert isinstance(events[-1], Violation)
    assert events[-1].reason
    assert not any(isinstance(event, (Ping, Violation)) for event in events[:-1])


def test_a_source_and_a_service_are_optional():
    """A producer that cannot come back gives no id."""
    assert parse(frame_of(intake_frames.HELLO, 0, {"v": 1})) == [Hello("", "")]
    assert parse(frame_of(intake_frames.HELLO, 0, {"v": 1, "source": None, "new": [1]})) == [Hello("", "")]


def test_a_cut_frame_is_nothing():
    """A client that dies in the middle of a frame leaves no event and, at the end, no bytes behind."""
    data = HELLO + records_frame([log_record()])
    assert parse(data[:-1]) == [Hello("app-1", "app")]


def test_an_unfinished_frame_is_all_that_is_held():
    """What was parsed is given back; the count of held bytes is right."""
    parser = Parser(lambda: NOW)
    assert len(list(parser.feed(HELLO + frame_of(intake_frames.PING)[:5]))) == 1
    assert parser.buffered == 5
    list(parser.feed(frame_of(intake_frames.PING)[5:]))
    assert parser.buffered == 0


FRAMES = st.one_of(
    st.just(HELLO),
    st.just(frame_of(intake_frames.PING)),
    st.builds(
        lambda total, number: records_frame([log_record()] * total, number),
        st.integers(0, 12),
        st.integers(0, 9),
    ),
    st.builds(records_frame, st.binary(max_size=20), st.integers(0, 9)),
    st.builds(
        lambda payload, kind: intake_frames.HEAD.pack(len(payload), kind, 1) + payload,
        st.binary(max_size=40),
        st.integers(0, 4),
    ),
    st.binary(max_size=30),
    st.sampled_from([b'{"msg": "hello"}\n', b"hello\n", b"\n", b" {}\r\n", b'{"a":\n', b"\xff\xfe\n", b"{"]),
)


@settings(max_examples=300)
@given(st.data())
def test_the_way_bytes_are_split_does_not_matter(data):
    """Any bytes in any pieces give the same events as in one piece; nothing is raised."""
    start = data.draw(st.sampled_from([HELLO, b"{}\n", b""]))
    whole = start + b"".join(data.draw(st.lists(FRAMES, max_size=8)))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12))
    assert parse(whole, cuts) == parse(whole)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_payload_is_admitted_or_refused(payload):
    """Random bytes as records end as one Records or one Refusal."""
    data = HELLO + intake_frames.HEAD.pack(len(payload), intake_frames.RECORDS, 1) + payload
    events = parse(data)
    assert len(events) == 2
    assert isinstance(events[1], (Records, Refusal))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.integers(0, 3), max_size=3),
)


@settings(max_examples=200)
@given(st.lists(st.lists(VALUES, max_size=30), min_size=1, max_size=14))
def test_whatever_records_hold_what_is_journaled_fits(records):
    """Admitted records have the right width, types and bounds, whatever was sent."""
    event = parse(HELLO + records_frame(records))[1]
    assert isinstance(event, Records)
    for record in msgpack.unpackb(event.records, use_list=False):
        assert normalise_log(record) == record


def test_json_lines_are_told_by_their_first_byte():
    """The same socket takes both protocols; a JSON line gives a record each."""
    events = parse(b'{"msg": "hello"}\nnot json\n\n{"msg": "no newline"}')
    assert all(isinstance(event, Line) for event in events)
    assert [event.record[LOG_INDEX["message"]] for event in events] == ["hello", "not json", "no newline"]


@pytest.mark.parametrize("version", [1.0, True, "1", None, 2])
def test_only_the_version_itself_is_the_version(version):
    """What merely equals it was not meant to be it."""
    events = parse(frame_of(intake_frames.HELLO, 0, {"v": version, "source": "app-1", "service": "app"}))
    assert isinstance(events[0], Violation)
