"""Valid messages of every kind, as hypothesis draws them, and the ways in which bytes are spoiled."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple

import msgpack
from hypothesis import strategies as st

from tabard.brokers.delivery.ranges import MAX_RANGES, Range, Ranges, decode_ranges
from tabard.brokers.wire import topics
from tabard.brokers.wire.batch import (
    EPOCH_BYTES,
    MAX_SEQ,
    Header,
    check_batch,
    decode_header,
    encode_header,
)
from tabard.brokers.wire.body import GapInfo, Open, decode_gap, decode_groups, decode_open
from tabard.brokers.wire.codec import pack, unpack
from tabard.brokers.wire.command import (
    MAX_LIFE,
    Approval,
    Command,
    Document,
    Order,
    Parcel,
    decode_command,
    decode_document,
    decode_order,
    decode_parcel,
    encode_command,
    encode_document,
    encode_order,
    encode_parcel,
)
from tabard.brokers.wire.messages import (
    ALL_SHARDS,
    MAX_EPOCHS,
    MAX_WANTS,
    MAX_WHO,
    Beacon,
    BeaconStream,
    Cursor,
    CursorStream,
    Envelope,
    Hello,
    Retire,
    Want,
    decode_beacon,
    decode_cursor,
    decode_envelope,
    decode_hello,
    decode_retire,
    encode_beacon,
    encode_cursor,
    encode_envelope,
    encode_hello,
    encode_retire,
    kind_of,
)
from tabard.brokers.wire.points import Point, encode_points
from tabard.brokers.wire.rotation import Rotation
from tabard.brokers.wire.streams import LOGS, SAMPLES, STREAM_IDS
from tabard.digests import DIGEST_BYTES
from tabard.names import MAX_ZONE_DEPTH, NAME

Strategy = st.SearchStrategy[Any]


class Kind(NamedTuple):
    """One kind of message: valid ones, and both directions between bytes and value."""

    name: str
    values: Strategy
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def sized(size: int) -> Strategy:
    """Bytes of this length."""
    return st.binary(min_size=size, max_size=size)


names: Final = st.from_regex(NAME, fullmatch=True)
zones: Final = st.lists(names, min_size=1, max_size=MAX_ZONE_DEPTH).map("/".join)
streams: Final = st.sampled_from(sorted(STREAM_IDS.values()))
epochs: Final = sized(EPOCH_BYTES)
digests: Final = sized(DIGEST_BYTES)
eights: Final = sized(8)
positions: Final = st.integers(1, MAX_SEQ)
numbers: Final = st.integers(0, MAX_SEQ)
seconds: Final = st.floats(0, 86_400)
scalars: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
anything: Final = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=12,
)

headers: Final = st.builds(
    Header,
    streams,
    st.integers(1, 3),
    epochs,
    st.binary(max_size=DIGEST_BYTES),
    st.integers(1, MAX_SEQ // 2),
    st.integers(1, MAX_SEQ // 2),
    digests,
    digests,
)
envelopes: Final = st.builds(Envelope, eights, numbers, numbers, numbers, numbers)
spans: Final = st.tuples(epochs, numbers, numbers, digests)
beacons: Final = st.builds(
    Beacon,
    names,
    zones,
    eights,
    numbers,
    seconds,
    st.lists(
        st.builds(
            BeaconStream,
            streams,
            st.lists(spans, max_size=MAX_EPOCHS).map(tuple),
            numbers,
            envelopes,
            numbers,
        ),
        max_size=3,
    ).map(tuple),
    st.dictionaries(st.text(max_size=10), scalars, max_size=8),
)
ranges: Final = st.lists(positions, max_size=2 * MAX_RANGES, unique=True).flatmap(
    lambda edges: st.lists(
        st.tuples(digests | st.just(b""), digests | st.just(b"")),
        min_size=len(edges) // 2,
        max_size=len(edges) // 2,
    ).map(
        lambda pairs: Ranges(
            Range(lo, hi, *pair)
            for lo, hi, pair in zip(sorted(edges)[0::2], sorted(edges)[1::2], pairs, strict=False)
        )
    )
)
cursors: Final = st.builds(
    Cursor,
    names,
    eights,
    numbers,
    eights,
    names,
    seconds,
    st.lists(
        st.builds(
            CursorStream,
            streams,
            st.lists(st.tuples(epochs, ranges), max_size=4).map(tuple),
            numbers,
            numbers,
            seconds,
            st.none() | st.tuples(epochs, numbers),
            st.lists(st.builds(Want, epochs, numbers, numbers), max_size=MAX_WANTS).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)
hellos: Final = st.builds(Hello, names, eights, st.just(ALL_SHARDS) | st.integers(1, ALL_SHARDS))
retirements: Final = st.builds(
    Retire, names, names, eights, st.booleans(), numbers, st.text(max_size=MAX_WHO)
)
opens: Final = st.builds(
    Open,
    st.none() | epochs,
    numbers,
    digests,
    st.sampled_from(["start", "fork", "doubt", "error"]),
    st.booleans(),
    st.booleans(),
    st.none() | numbers,
    st.text(max_size=40),
    st.none() | st.builds(Rotation, epochs, epochs, st.binary(min_size=64, max_size=64)),
)
points: Final = st.dictionaries(st.integers(1, MAX_SEQ), st.binary(min_size=8, max_size=8), max_size=4).map(
    lambda found: tuple(Point(*item) for item in sorted(found.items()))
)
gaps: Final = st.builds(
    GapInfo, st.text(max_size=20), numbers, st.booleans(), digests, st.binary(max_size=20), points
)
records: Final = st.lists(scalars, max_size=4).map(tuple)
groups: Final = st.lists(
    st.tuples(
        st.text(max_size=5), st.integers(0, 9), st.text(max_size=5), st.lists(records, max_size=4).map(tuple)
    ),
    max_size=4,
).map(tuple)
GROUPED: Final = 3
"""Records that `groups of logs` and `groups of samples` have to hold: a fuzzed body has no header to say it."""
counted_groups: Final = st.lists(records, min_size=GROUPED, max_size=GROUPED).map(
    lambda rows: (("source", 1, "origin", tuple(rows)),)
)

sixteens: Final = sized(16)
sixtyfours: Final = sized(64)
times: Final = st.integers(0, 2**62)
some_bytes: Final = st.binary(min_size=1, max_size=40)
words: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
documents: Final = st.builds(
    lambda *parts: Document._make((*parts[:6], parts[5] + 1 + parts[6], *parts[7:])),
    sixteens,
    sixteens,
    sixteens,
    zones,
    names,
    times,
    st.integers(0, MAX_LIFE - 1),
    st.floats(0.001, 86_400),
    st.just("run"),
    st.lists(words, min_size=1, max_size=5).map(lambda found: ("x" + found[0], *found[1:])),
)
orders: Final = st.builds(
    Order,
    some_bytes,
    sixtyfours,
    some_bytes,
    st.lists(st.builds(Approval, some_bytes, sixtyfours), max_size=8).map(tuple),
)


def encode_gap(value: GapInfo) -> bytes:
    """The body of a gap, as a node writes it."""
    return pack({**value._asdict(), "points": encode_points(value.points)})


KINDS: Final = (
    Kind("header", headers, encode_header, decode_header),
    Kind("envelope", envelopes, encode_envelope, decode_envelope),
    Kind("beacon", beacons, encode_beacon, decode_beacon),
    Kind("cursor", cursors, encode_cursor, decode_cursor),
    Kind("hello", hellos, encode_hello, decode_hello),
    Kind("retirement", retirements, encode_retire, decode_retire),
    Kind("document", documents, encode_document, decode_document),
    Kind("command", st.builds(Command, names, names, digests, eights, times), encode_command, decode_command),
    Kind("parcel", st.builds(Parcel, some_bytes, some_bytes), encode_parcel, decode_parcel),
    Kind("order", orders, encode_order, decode_order),
    Kind("opening", opens, lambda value: pack(value._asdict()), decode_open),
    Kind("gap", gaps, encode_gap, decode_gap),
    Kind("ranges", ranges, Ranges.encode, decode_ranges),
    Kind("groups of logs", counted_groups, pack, lambda data: decode_groups(LOGS, data, GROUPED)),
    Kind("groups of samples", counted_groups, pack, lambda data: decode_groups(SAMPLES, data, GROUPED)),
)
"""The kinds that are encoded and decoded."""

up_topics: Final = st.builds(
    topics.up_topic, names, zones, names, st.sampled_from([*sorted(STREAM_IDS), topics.BEACON])
)
down_topics: Final = st.builds(topics.down_topic, zones, names) | st.builds(topics.all_topic, names)

DECODERS: Final[tuple[Kind, ...]] = (
    *KINDS,
    Kind("batch", headers, encode_header, lambda data: check_batch(data, b"", b"body")),
    Kind("kind of a message", hellos, encode_hello, kind_of),
    Kind("any value", anything, pack, unpack),
    Kind("up topic", up_topics, bytes, topics.parse_up),
    Kind("down topic", down_topics, bytes, topics.parse_down),
)
"""Everything that reads bytes from outside."""


@st.composite
def spoiled(draw: st.DrawFn, values: Strategy, encode: Callable[[Any], bytes]) -> bytes:
    """A valid message of which bytes were changed, or a value in it replaced."""
    data = encode(draw(values))
    if draw(st.booleans()) and data[:2] not in (topics.UP_PREFIX, topics.DOWN_PREFIX, topics.ALL_PREFIX):
        value = msgpack.unpackb(data, strict_map_key=False)
        return pack(_replaced(value, draw(anything), draw(st.randoms(use_true_random=False))))
    return mutate(data, draw(st.randoms(use_true_random=False)))


def _replaced(value: Any, new: Any, random: Random) -> Any:
    """`value` with `new` in place of one value in it, at any depth."""
    if isinstance(value, list | dict) and value and random.random() < 0.8:
        copied = value.copy()
        key = random.choice(range(len(value)) if isinstance(value, list) else sorted(value))
        copied[key] = _replaced(value[key], new, random)
        return copied
    return new


_TELLING: Final = b"\x80\x90\xc0\xc1\xc4\xc7\xca\xcb\xcf\xd3\xd4\xdb\xdc\xdd\xde\xdf\xff/"
"""First bytes of msgpack's types, and what separates a topic's parts."""


def mutate(data: bytes, random: Random) -> bytes:
    """`data` with some of its bytes changed, cut out, doubled or put in."""
    spoilt = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(spoilt) + 1)
        match random.randrange(5):
            case 0 if at < len(spoilt):
                spoilt[at] = random.choice(_TELLING) if random.random() < 0.5 else random.randrange(256)
            case 1:
                del spoilt[at : at + random.randrange(1, 9)]
            case 2:
                spoilt[at:at] = spoilt[at : at + random.randrange(1, 40)]
            case 3:
                spoilt[at:at] = random.randbytes(random.randrange(1, 9))
            case _:
                del spoilt[at:]
    return bytes(spoilt)
