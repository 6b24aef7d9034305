"""The messages round the batches: envelope, beacon, cursor, hello, and the frames they travel in.

Each message is six frames: topic, envelope, head, signature, body, hops. A batch has all of them; the
others have an empty envelope and body. `head` is the signed part; envelope and hops are not signed,
and nothing that may be lost or doubled by forging them rests on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.delivery.ranges import Ranges, ranges_from
from tabard.brokers.wire.batch import EPOCH_BYTES, MAX_SEQ
from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.brokers.wire.topics import SHARDS
from tabard.digests import DIGEST_BYTES
from tabard.errors import TabardError, WireError
from tabard.names import check_node, check_sink, check_zone

MESSAGE_VERSION: Final = 1
BEACON_KIND: Final = 1
CURSOR_KIND: Final = 2
HELLO_KIND: Final = 3
RETIRE_KIND: Final = 4

SESSION_BYTES: Final = 8
NONCE_BYTES: Final = 8
NO_SESSION: Final = b"\0" * SESSION_BYTES
MAX_EPOCHS: Final = 8
"""Epochs of one stream that a beacon names: the oldest ones and the one being written."""
MAX_WANTS: Final = 16
MAX_FACTS: Final = 64
MAX_WHO: Final = 128
"""Characters that say who retired a sink."""
ALL_SHARDS: Final = (1 << SHARDS) - 1


class Message(NamedTuple):
    """The six frames."""

    topic: bytes
    envelope: bytes
    head: bytes
    signature: bytes
    body: bytes
    hops: bytes


class Envelope(NamedTuple):
    """Written anew at every send of a batch; unsigned, so it only steers the flow of credit."""

    session: bytes
    """The sink's session this was sent in."""
    sent: int
    """Batches sent in this session and stream, this one included."""
    sent_bytes: int
    heard: int
    """Number of the last cursor message that was taken into account."""
    wants: int
    """Asked ranges that are still to be sent."""


class BeaconStream(NamedTuple):
    """What a beacon says of one stream."""

    stream: int
    spans: tuple[tuple[bytes, int, int, bytes], ...]
    """(epoch, oldest, last, digest of the last batch) of the newest epoch and of the oldest ones kept of which the
    sink has not said in this session that all is stored."""
    more: int
    """Epochs of that kind that are not named for want of room."""
    envelope: Envelope
    live: int
    """The next sequence number of the newest epoch that will be sent unasked, 0 when none."""


class Beacon(NamedTuple):
    """A node's sign of life, sent unjournaled every `interval` and when it is stuck without credit."""

    node: str
    zone: str
    nonce: bytes
    wall: int
    """Nanoseconds since 1970-01-01 UTC by the node's clock."""
    interval: float
    """Seconds until the next one at the latest."""
    streams: tuple[BeaconStream, ...]
    facts: dict[str, Any]
    """Version, boot id, faults: small, for people."""


class Want(NamedTuple):
    """A request to send again: the batches of `epoch` that cover `lo` to `hi`."""

    epoch: bytes
    lo: int
    hi: int


class CursorStream(NamedTuple):
    """What a sink says of one stream: all of it is state, so it may be lost, doubled or reordered."""

    stream: int
    cursors: tuple[tuple[bytes, Ranges], ...]
    credit: int
    """Batches that may have been sent in this session in all."""
    credit_bytes: int
    lease: float
    """Seconds for which the credit holds, from when it is heard."""
    live: tuple[bytes, int] | None
    """(epoch, seq): send unasked from there on."""
    wants: tuple[Want, ...]


class Cursor(NamedTuple):
    """A sink's message to one node: what is stored, what may be sent, what is asked for."""

    sink: str
    session: bytes
    number: int
    """Rising within the session; an older one is ignored."""
    nonce: bytes
    """Of the node's latest beacon: proof that a new session is not an old message replayed."""
    node: str
    linger: float
    """Seconds that the node may hold records back to fill a batch."""
    streams: tuple[CursorStream, ...]


class Hello(NamedTuple):
    """A sink's call to its nodes that a session has begun: whoever hears it sends a beacon soon."""

    sink: str
    session: bytes
    shards: int = ALL_SHARDS
    """Whose nodes are meant: bit 0 is shard 0. Not sent when it is all of them."""


class Retire(NamedTuple):
    """A sink's word to one node that it is retired, or that it is not any more. Repeated until the node has heard."""

    sink: str
    node: str
    nonce: bytes
    """Of one of the node's last four beacons to this sink: an old message cannot be replayed."""
    retired: bool
    since: int
    """Nanoseconds since 1970-01-01 UTC by the sink's clock."""
    who: str
    """Who said so, for people."""


def encode_envelope(envelope: Envelope) -> bytes:
    """The frame of `envelope`."""
    return pack(tuple(envelope))


def decode_envelope(data: bytes) -> Envelope:
    """Decode and check. Raises WireError."""
    return _envelope(unpack(data, limit=128, items=8, maps=False))


def encode_beacon(beacon: Beacon) -> bytes:
    """The signed bytes of `beacon`."""
    streams = [(s.stream, s.spans, s.more, tuple(s.envelope), s.live) for s in beacon.streams]
    return pack((MESSAGE_VERSION, BEACON_KIND, *beacon[:5], streams, beacon.facts))


def decode_beacon(head: bytes) -> Beacon:
    """Decode and check. Raises WireError."""
    fields = _fields(head, BEACON_KIND, "beacon", 7)
    node, zone, nonce, wall, interval, streams, facts = fields
    try:
        check_node(_text(node, "node"))
        check_zone(_text(zone, "zone"))
    except WireError:
        raise
    except TabardError as error:
        raise WireError("a beacon with a wrong name", expected=error.expected, found=error.found) from error
    _blob(nonce, NONCE_BYTES, "nonce")
    _number(wall, "wall clock")
    seconds = _seconds(interval, "interval")
    if not isinstance(facts, dict) or len(facts) > MAX_FACTS or not all(map(_is_fact, facts, facts.values())):
        raise WireError(
            "a beacon with wrong facts",
            expected=f"a map of at most {MAX_FACTS} words to scalars or lists of them",
            found=shown(facts),
        )
    parts = tuple(_beacon_stream(value) for value in _rows(streams, len(STREAM_NAMES), "streams"))
    return Beacon(node, zone, nonce, wall, seconds, parts, facts)


def encode_cursor(cursor: Cursor) -> bytes:
    """The signed bytes of `cursor`."""
    streams = [
        (
            s.stream,
            [(epoch, [tuple(item) for item in ranges]) for epoch, ranges in s.cursors],
            s.credit,
            s.credit_bytes,
            s.lease,
            s.live,
            [tuple(want) for want in s.wants],
        )
        for s in cursor.streams
    ]
    return pack((MESSAGE_VERSION, CURSOR_KIND, *cursor[:6], streams))


def decode_cursor(head: bytes) -> Cursor:
    """Decode and check. Raises WireError."""
    sink, session, number, nonce, node, linger, streams = _fields(head, CURSOR_KIND, "cursor", 7)
    _sink_name(sink)
    _blob(session, SESSION_BYTES, "session")
    _number(number, "number")
    _blob(nonce, NONCE_BYTES, "nonce")
    _text(node, "node")
    parts = tuple(_cursor_stream(value) for value in _rows(streams, len(STREAM_NAMES), "streams"))
    return Cursor(sink, session, number, nonce, node, _seconds(linger, "linger"), parts)


def encode_hello(hello: Hello) -> bytes:
    """The signed bytes of `hello`."""
    return pack((MESSAGE_VERSION, HELLO_KIND, *(hello if hello.shards != ALL_SHARDS else hello[:2])))


def decode_hello(head: bytes) -> Hello:
    """Decode and check. Raises WireError."""
    sink, session, shards = (*_fields(head, HELLO_KIND, "hello", 2, most=3), ALL_SHARDS)[:3]
    _sink_name(sink)
    _blob(session, SESSION_BYTES, "session")
    if type(shards) is not int or not 0 < shards <= ALL_SHARDS:
        raise WireError("wrong shards", expected="a bit for each of some shards", found=shown(shards))
    return Hello(sink, session, shards)


def encode_retire(retire: Retire) -> bytes:
    """The signed bytes of `retire`."""
    return pack((MESSAGE_VERSION, RETIRE_KIND, *retire))


def decode_retire(head: bytes) -> Retire:
    """Decode and check. Raises WireError."""
    sink, node, nonce, retired, since, who = _fields(head, RETIRE_KIND, "retirement", 6)
    _sink_name(sink)
    _text(node, "node")
    _blob(nonce, NONCE_BYTES, "nonce")
    if type(retired) is not bool or len(_text(who, "name")) > MAX_WHO:
        raise WireError("a wrong retirement", expected="yes or no, and by whom", found=shown((retired, who)))
    return Retire(sink, node, nonce, retired, _number(since, "time"), who)


def kind_of(head: bytes) -> int:
    """Which message `head` is, by its second field. Raises WireError."""
    value = unpack(head)
    if (
        not isinstance(value, tuple)
        or len(value) < 2
        or not is_version(value[0], MESSAGE_VERSION)
        or type(value[1]) is not int
    ):
        found = shown(value[:2] if isinstance(value, tuple) else value)
        expected = f"[{MESSAGE_VERSION}, kind, ...]"
        raise WireError("not a message of this version", expected=expected, found=found)
    return value[1]


# --- checks ------------------------------------------------------------------------------------


def _fields(head: bytes, kind: int, name: str, count: int, most: int = 0) -> tuple[Any, ...]:
    value = unpack(head)
    if not isinstance(value, tuple) or len(value) < 2 or not is_version(value[0], MESSAGE_VERSION):
        found = shown(value[:1] if isinstance(value, tuple) else value)
        raise WireError(f"a {name} of an unknown version", expected=f"version {MESSAGE_VERSION}", found=found)
    if not is_version(value[1], kind) or not count <= len(value) - 2 <= max(count, most):
        expected = f"kind {kind}, {count + 2}{f' to {most + 2}' if most else ''} fields"
        found = f"{shown(value[1])}, {len(value)} fields"
        raise WireError(f"not a {name}", expected=expected, found=found)
    return value[2:]


def _number(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SEQ:
        raise WireError(f"a wrong {what}", expected=f"an integer from 0 to {MAX_SEQ}", found=shown(value))
    return value


def _seconds(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 86_400:
        raise WireError(f"a wrong {what}", expected="seconds from 0 to 86,400", found=shown(value))
    return float(value)


def _blob(value: Any, size: int, what: str) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise WireError(f"a wrong {what}", expected=f"{size} bytes", found=shown(value))
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise WireError(f"a wrong {what}", expected="a string", found=shown(value))
    return value


def _sink_name(value: Any) -> None:
    try:
        check_sink(_text(value, "sink"))
    except WireError:
        raise
    except TabardError as error:
        raise WireError("a message of a wrong sink", expected=error.expected, found=error.found) from error


def _rows(value: Any, most: int, what: str) -> Sequence[Any]:
    if not isinstance(value, tuple) or len(value) > most:
        raise WireError(f"wrong {what}", expected=f"a list of at most {most}", found=shown(value))
    return value


def _row(value: Any, width: int, what: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or len(value) != width:
        raise WireError(f"a wrong {what}", expected=f"a list of {width}", found=shown(value))
    return value


def _stream(value: Any) -> int:
    if type(value) is not int or value not in STREAM_NAMES:
        raise WireError("an unknown stream", expected="1 to 3", found=shown(value))
    return value


def _is_fact(name: Any, value: Any) -> bool:
    """A word, and a scalar or a flat list: what people read needs no more, and nothing nests without end."""
    flat = value if isinstance(value, tuple) else (value,)
    return isinstance(name, str) and all(
        item is None or isinstance(item, (str, int, float, bytes)) for item in flat
    )


def _envelope(value: Any) -> Envelope:
    session, *numbers = _row(value, 5, "envelope")
    _blob(session, SESSION_BYTES, "session")
    for number in numbers:
        _number(number, "envelope")
    return Envelope(session, *numbers)


def _span(value: Any) -> tuple[bytes, int, int, bytes]:
    epoch, oldest, last, digest = _row(value, 4, "span of a beacon")
    _blob(epoch, EPOCH_BYTES, "epoch")
    _number(oldest, "oldest")
    _number(last, "last")
    _blob(digest, DIGEST_BYTES, "digest")
    return epoch, oldest, last, digest


def _beacon_stream(value: Any) -> BeaconStream:
    stream, spans, more, envelope, live = _row(value, 5, "stream of a beacon")
    kept = tuple(_span(span) for span in _rows(spans, MAX_EPOCHS, "spans"))
    return BeaconStream(
        _stream(stream),
        kept,
        _number(more, "number of epochs"),
        _envelope(envelope),
        _number(live, "live position"),
    )


def _cursor_stream(value: Any) -> CursorStream:
    stream, cursors, credit, credit_bytes, lease, live, wants = _row(value, 7, "stream of a cursor")
    pairs = []
    for pair in _rows(cursors, 2 * MAX_EPOCHS, "cursors"):
        epoch, ranges = _row(pair, 2, "cursor")
        pairs.append((_blob(epoch, EPOCH_BYTES, "epoch"), ranges_from(ranges)))
    return CursorStream(
        _stream(stream),
        tuple(pairs),
        _number(credit, "credit"),
        _number(credit_bytes, "credit"),
        _seconds(lease, "lease"),
        None if live is None else _position(live, "live position"),
        tuple(_want(want) for want in _rows(wants, MAX_WANTS, "wants")),
    )


def _position(value: Any, what: str) -> tuple[bytes, int]:
    epoch, seq = _row(value, 2, what)
    return _blob(epoch, EPOCH_BYTES, "epoch"), _number(seq, what)


def _want(value: Any) -> Want:
    epoch, lo, hi = _row(value, 3, "want")
    _blob(epoch, EPOCH_BYTES, "epoch")
    return Want(epoch, _number(lo, "want"), _number(hi, "want"))
