"""Encoding and decoding are each other's inverse, and what is not of this version says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers.delivery.ranges import MAX_RANGES, ranges_from
from tabard.brokers.wire.batch import (
    BATCH_VERSION,
    DATA,
    MAX_SEQ,
    Header,
    body_digest,
    check_batch,
    decode_header,
    encode_header,
    seal_batch,
)
from tabard.brokers.wire.body import decode_groups
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import (
    BEACON_KIND,
    CURSOR_KIND,
    HELLO_KIND,
    MESSAGE_VERSION,
    RETIRE_KIND,
    Hello,
    decode_beacon,
    decode_cursor,
    decode_hello,
    decode_retire,
    encode_hello,
    kind_of,
)
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.errors import WireError
from tabard.records import MAX_BODY
from tests.unit.wire.messages import KINDS, Kind, beacons, cursors, groups, headers, hellos, spoiled

SESSION = b"8 bytes."
HEADER = Header(LOGS, DATA, bytes(16), b"", 2, 3, body_digest(b"body"), bytes(32))
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
each_message = pytest.mark.parametrize(
    ("kind", "decode", "width"),
    [
        (BEACON_KIND, decode_beacon, 9),
        (CURSOR_KIND, decode_cursor, 9),
        (HELLO_KIND, decode_hello, 4),
        (RETIRE_KIND, decode_retire, 8),
    ],
)


@each_kind
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_encoded_is_decoded(kind: Kind, data: st.DataObject) -> None:
    """Every field comes back as it was (NaN among a beacon's facts is why this compares what people read)."""
    value = data.draw(kind.values)
    assert repr(kind.decode(kind.encode(value))) == repr(value)


@each_kind
@settings(max_examples=40)
@given(data=st.data())
def test_what_was_understood_can_be_said_again(kind: Kind, data: st.DataObject) -> None:
    """A spoiled message that still is one decodes to a value as good as any: encoded and decoded, it is the same."""
    try:
        value = kind.decode(data.draw(spoiled(kind.values, kind.encode)))
    except WireError:
        return
    assert repr(kind.decode(kind.encode(value))) == repr(value)


# --- versions and kinds ------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, 255, -1, None, "1", 2.0, b"\1", [1]])
@each_message
def test_another_version_is_refused(kind: int, decode: Any, width: int, version: Any) -> None:
    """The error names what was expected and what was found, so that a person knows which side to update."""
    with pytest.raises(WireError) as refused:
        decode(pack([version, kind, *range(width - 2)]))
    assert refused.value.expected == f"version {MESSAGE_VERSION}"
    assert repr(tuple(version) if isinstance(version, list) else version) in str(refused.value.found)


@pytest.mark.parametrize("version", [0, 2, 255, None, "1", b"\1", 1.5])
def test_a_header_of_another_version_is_refused(version: Any) -> None:
    """Whatever else it holds: fields of a later version may be more or fewer."""
    for fields in ([*HEADER], [*HEADER, 1, 2], []):
        with pytest.raises(WireError) as refused:
            decode_header(pack([version, *fields]))
        assert refused.value.expected == f"version {BATCH_VERSION}"
        assert refused.value.found == repr(version)


@pytest.mark.parametrize("one", [True, 1.0])
def test_what_equals_one_is_not_version_one(one: Any) -> None:
    """A version is an integer; two encodings of one message would be two identities of it."""
    with pytest.raises(WireError):
        decode_header(pack([one, *HEADER]))


@each_message
def test_another_kind_is_refused(kind: int, decode: Any, width: int) -> None:
    """A beacon is no cursor; the error names kind and number of fields."""
    for other in (0, 5, BEACON_KIND % 3 + 1 if kind == BEACON_KIND else BEACON_KIND):
        with pytest.raises(WireError) as refused:
            decode(pack([MESSAGE_VERSION, other, *range(width - 2)]))
        widths = f"{width} to {width + 1}" if kind == HELLO_KIND else f"{width}"
        assert refused.value.expected == f"kind {kind}, {widths} fields"
        assert str(refused.value.found).startswith(f"{other}, ")
    for fields in (width - 1, width + 1 + (kind == HELLO_KIND)):
        with pytest.raises(WireError, match=f"{fields} fields"):
            decode(pack([MESSAGE_VERSION, kind, *range(fields - 2)]))


@settings(max_examples=30)
@given(beacons, cursors, hellos)
def test_the_kind_is_told_before_decoding(beacon: Any, cursor: Any, hello: Any) -> None:
    """The second field says which decoder is right."""
    by_name = {kind.name: kind for kind in KINDS}
    for name, value, number in (
        ("beacon", beacon, BEACON_KIND),
        ("cursor", cursor, CURSOR_KIND),
        ("hello", hello, HELLO_KIND),
    ):
        assert kind_of(by_name[name].encode(value)) == number


@pytest.mark.parametrize("value", [None, 1, [], [1], [2, 1], [1, "1"], [1, None], {}, [1, 1.0], "ab"])
def test_what_has_no_kind_is_refused(value: Any) -> None:
    """Not a list, another version, a kind that is no number."""
    with pytest.raises(WireError, match="not a message of this version"):
        kind_of(pack(value))


@pytest.mark.parametrize("sink", ["", "Main", "a/b", "a" * 64, None, 5, b"main", "ma\nin", "main\n"])
def test_a_sink_has_a_name(sink: Any) -> None:
    """It becomes a part of topics and a column."""
    with pytest.raises(WireError):
        decode_hello(pack([MESSAGE_VERSION, HELLO_KIND, sink, SESSION]))


@pytest.mark.parametrize("session", [b"", b"7 bytes", b"9 bytes..", "8 chars.", None, 8])
def test_a_session_has_eight_bytes(session: Any) -> None:
    """No more, no less, no text."""
    with pytest.raises(WireError, match="expected 8 bytes"):
        decode_hello(pack([MESSAGE_VERSION, HELLO_KIND, "main", session]))
    assert decode_hello(encode_hello(Hello("main", SESSION))).session == SESSION


def test_a_hello_to_all_is_what_it_was_before_there_were_others() -> None:
    """An older agent understands that of a recorder that has its sink alone; shards are said only when some are not meant."""
    assert encode_hello(Hello("main", SESSION)) == pack([MESSAGE_VERSION, HELLO_KIND, "main", SESSION])
    assert decode_hello(encode_hello(Hello("main", SESSION, 1 << 63))).shards == 1 << 63


@pytest.mark.parametrize("shards", [0, -1, 1 << 64, "1", None, True, 1.0])
def test_shards_that_there_are_not_are_refused(shards: Any) -> None:
    """A hello to nobody is none."""
    with pytest.raises(WireError):
        decode_hello(
            pack([MESSAGE_VERSION, HELLO_KIND, "main", SESSION, shards if shards != 1 << 64 else str(shards)])
        )


# --- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"stream": 0},
        {"stream": 4},
        {"stream": True},
        {"stream": None},
        {"kind": 0},
        {"kind": 4},
        {"kind": 2.0},
        {"epoch": bytes(15)},
        {"epoch": bytes(17)},
        {"epoch": "x" * 16},
        {"key_id": bytes(33)},
        {"key_id": "key"},
        {"first": 0},
        {"first": -1},
        {"first": MAX_SEQ + 1},
        {"first": 1.0},
        {"count": 0},
        {"count": -5},
        {"count": MAX_SEQ + 1},
        {"first": MAX_SEQ, "count": 2},
        {"count": None},
        {"body_digest": bytes(31)},
        {"body_digest": None},
        {"previous": b""},
        {"previous": 0},
    ],
    ids=str,
)
def test_a_header_with_one_wrong_field_is_refused(change: dict[str, Any]) -> None:
    """Each field has its type and its bounds."""
    assert decode_header(encode_header(HEADER)) == HEADER
    with pytest.raises(WireError):
        decode_header(encode_header(HEADER._replace(**change)))


def test_the_last_sequence_number_may_be_the_greatest() -> None:
    """A range is bounded by its end, so that no sum of its numbers exceeds a column."""
    last = HEADER._replace(first=MAX_SEQ, count=1)
    assert decode_header(encode_header(last)) == last


@given(headers, st.binary(max_size=100), st.binary(max_size=64))
def test_a_batch_is_what_was_sealed(header: Header, body: bytes, signature: bytes) -> None:
    """Header, signature, body and identity are those of the batch that was cut."""
    sealed = seal_batch(header._replace(body_digest=body_digest(body)), body, lambda _head: signature)
    checked = check_batch(sealed.head, sealed.signature, sealed.body)
    assert checked == sealed
    assert checked.digest == sealed.digest
    assert checked.size == len(sealed.head) + len(signature) + len(body)
    assert checked.header.last == header.first + header.count - 1


@pytest.mark.threat("damage")
@given(st.binary(min_size=1, max_size=50), st.integers(0), st.integers(1, 255))
def test_a_body_that_was_touched_is_refused(body: bytes, place: int, flip: int) -> None:
    """One changed byte, one byte more, one less."""
    header = HEADER._replace(body_digest=body_digest(body))
    touched = bytearray(body)
    touched[place % len(body)] ^= flip
    for wrong in (bytes(touched), body + b"\0", body[:-1]):
        with pytest.raises(WireError, match="a batch body that its header does not name"):
            check_batch(encode_header(header), b"", wrong)


def test_a_body_has_a_limit() -> None:
    """Exactly the limit passes; a byte more is refused although its digest is right."""
    for size, fits in ((MAX_BODY, True), (MAX_BODY + 1, False)):
        body = bytes(size)
        head = encode_header(HEADER._replace(body_digest=body_digest(body)))
        if fits:
            assert len(check_batch(head, b"", body).body) == size
        else:
            with pytest.raises(WireError, match=f"at most {MAX_BODY} bytes"):
                check_batch(head, b"", body)


@pytest.mark.parametrize("stream", [LOGS, SAMPLES])
@given(found=groups, claimed=st.integers(0, 20))
def test_a_header_says_how_many_records_there_are(stream: int, found: Any, claimed: int) -> None:
    """Groups with another number of records are refused, those with the right one come back."""
    count = sum(len(group[3]) for group in found)
    assert repr(decode_groups(stream, pack(found), count)) == repr(found)
    if claimed != count:
        with pytest.raises(WireError, match=f"expected {claimed}, found {count}"):
            decode_groups(stream, pack(found), claimed)


@pytest.mark.parametrize(
    "body", [None, 1, {}, [1], [[]], [["s", 1, "o"]], [["s", 1, "o", None]], [["s", 1, "o", [], 1]]]
)
def test_a_body_that_is_no_groups_is_refused(body: Any) -> None:
    """Four parts, the last of them a list."""
    with pytest.raises(WireError):
        decode_groups(SAMPLES, pack(body), 0)


def test_logs_hold_no_map() -> None:
    """Attributes travel as text; samples may hold maps."""
    body = pack([["s", 1, "o", [[{}]]]])
    assert decode_groups(SAMPLES, body, 1)
    with pytest.raises(WireError, match="a map"):
        decode_groups(LOGS, body, 1)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [[1, 2, b"", b""]] * 2,
        [[2, 1, b"", b""]],
        [[0, 1, b"", b""]],
        [[-3, -2, b"", b""]],
        [[1, 5, b"", b""], [5, 6, b"", b""]],
        [[7, 9, b"", b""], [1, 2, b"", b""]],
        [[1, True, b"", b""]],
        [[1.0, 2, b"", b""]],
        [[1, 2, "", b""]],
        [[1, 2, b""]],
        [[2 * n + 1, 2 * n + 1, b"", b""] for n in range(MAX_RANGES + 1)],
    ],
    ids=repr,
)
def test_ranges_rise_and_are_apart(value: Any) -> None:
    """At most eight, each from its first to its last, none within another."""
    frozen = tuple(tuple(item) for item in value) if isinstance(value, list) else value
    with pytest.raises(WireError, match="a cursor with"):
        ranges_from(frozen)
