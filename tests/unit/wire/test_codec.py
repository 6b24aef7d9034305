"""msgpack from outside: a plain value or a WireError, and never more memory than a small host has."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any, Final

import msgpack
import pytest
from hypothesis import given

from tabard.brokers.wire.batch import decode_header
from tabard.brokers.wire.body import decode_gap, decode_groups, decode_open
from tabard.brokers.wire.codec import MAX_HEAD, MAX_ITEMS, MAX_MAPS, pack, unpack
from tabard.brokers.wire.messages import decode_beacon, decode_cursor, decode_hello, decode_retire, kind_of
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.errors import WireError
from tabard.records import MAX_BODY
from tests.unit.wire.messages import anything

MIB: Final = 2**20
DEEPEST: Final = 1_024
"""msgpack refuses what is nested deeper."""


def array(count: int, items: bytes) -> bytes:
    """An array that says it has `count` items."""
    return b"\xdd" + count.to_bytes(4, "big") + items


def nested(depth: int) -> bytes:
    """A list in a list in a list."""
    return b"\x91" * depth + b"\xc0"


def peak(data: bytes, *, stream: int) -> int:
    """Bytes of objects that reading a body takes at most."""
    tracemalloc.start()
    try:
        with pytest.raises((WireError, RecursionError)):
            decode_groups(stream, data, 1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@given(anything)
def test_what_is_packed_is_unpacked(value: Any) -> None:
    """Any plain value comes back; lists as tuples."""
    assert repr(unpack(pack(value))) == repr(_frozen(value))


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {key: _frozen(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not valid msgpack"),
        (b"\xc1", "not valid msgpack"),
        (b"\xc0\xc0", "extra data"),
        (pack([1, 2]) + b"\0", "extra data"),
        (b"\xdb\xff\xff\xff\xff", "incomplete input"),
        (b"\xc6\xff\xff\xff\xff", "incomplete input"),
        (b"\xdd\xff\xff\xff\xff", "max_array_len"),
        (b"\xdf\xff\xff\xff\xff", "max_map_len"),
        (b"\xc9\xff\xff\xff\xff\x05", "max_ext_len"),
        (array(MAX_ITEMS + 1, b"\xc0" * (MAX_ITEMS + 1)), "max_array_len"),
        (msgpack.packb(msgpack.ExtType(5, b"x")), "max_ext_len"),
        (msgpack.packb(msgpack.Timestamp(1)), "max_ext_len"),
        (b"\xa1\xff", "utf-8"),
        (b"\x81\x01\x02", "int is not allowed for map key"),
        (b"\x81\x90\x02", "not allowed for map key"),
        (b"\xc4" * 2 + b"\0" * MAX_HEAD, f"at most {MAX_HEAD} bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:6].hex(),
)
def test_what_is_no_plain_value_is_refused(data: bytes, said: str) -> None:
    """Cut short, too long, of unknown types: each says what was found."""
    with pytest.raises(WireError) as refused:
        unpack(data)
    assert said in str(refused.value)


def test_an_extension_type_without_data_is_refused() -> None:
    """It would be a tuple of two to whoever checks for one."""
    with pytest.raises(WireError):
        unpack(b"\xc7\x00\x05")


def test_maps_may_be_forbidden() -> None:
    """Where a structure has none, even an empty one is refused."""
    with pytest.raises(WireError, match="a map stands where none may be"):
        unpack(b"\x91\x80", maps=False)
    assert unpack(b"\x91\x80") == ({},)


@pytest.mark.parametrize(("count", "fits"), [(MAX_MAPS, True), (MAX_MAPS + 1, False)])
def test_maps_are_counted(count: int, fits: bool) -> None:
    """Up to the limit they are a value, beyond it an error that names the limit."""
    data = array(count, b"\x80" * count)
    if fits:
        assert len(unpack(data, items=count)) == count
    else:
        with pytest.raises(WireError, match=f"at most {MAX_MAPS} maps"):
            unpack(data, items=count)


def test_of_equal_keys_the_last_counts() -> None:
    """As in JSON: one value, not two."""
    assert unpack(b"\x82\xa1a\x01\xa1a\x02") == {"a": 2}


def test_a_number_may_be_none() -> None:
    """NaN is a value; who needs a number has to check (seconds do)."""
    assert math.isnan(unpack(pack(math.nan)))


@pytest.mark.threat("bad-input")
@pytest.mark.parametrize("depth", [DEEPEST + 10, 10_000, MAX_HEAD - 1])
def test_too_deep_nesting_is_refused(depth: int) -> None:
    """An interpreter's stack is never used up."""
    with pytest.raises(WireError):
        unpack(nested(depth))


@pytest.mark.parametrize("depth", [100, 500, DEEPEST - 1])
@pytest.mark.parametrize("decode", [decode_beacon, decode_cursor, decode_hello, decode_retire, kind_of])
def test_deep_values_are_no_message(decode: Any, depth: int) -> None:
    """The error shows some of what was found, whatever its shape."""
    with pytest.raises(WireError):
        decode(nested(depth))


@pytest.mark.threat("bad-input")
@pytest.mark.parametrize(
    "data",
    [
        array(MIB - 10, b"\x80" * (MIB - 10)),
        array(60_000, b"\x80" * 60_000),
        array(65_000, (b"\x8f" + b"\xa0\xc0" * 15) * 33_000),
        (b"\xdf\x00\x01\x00\x00\xa0" * 170_000),
        b"\x81\xa0" * 500_000,
    ],
    ids=[
        "a million empty maps",
        "many empty maps",
        "many small maps",
        "maps in maps declared large",
        "maps in maps",
    ],
)
@pytest.mark.parametrize("stream", [LOGS, SAMPLES])
def test_a_megabyte_of_maps_stays_small(data: bytes, stream: int) -> None:
    """Unchecked, a million empty maps are seventy million bytes."""
    assert peak(data[:MAX_BODY], stream=stream) < 16 * MIB


@pytest.mark.parametrize(
    "data",
    [
        array(1_000, nested(1_000) * 1_000),
        array(60_000, nested(15) * 60_000),
        b"\xdd\x00\x01\x00\x00" * DEEPEST,
        b"\xdc\xff\xff" * DEEPEST,
        b"\xdc\x00\xff" * 340_000,
        array(65_536, b"\xcb" + bytes(8)) * 16,
    ],
    ids=["deep", "shallow", "declared large", "declared large, short form", "within logs", "floats"],
)
@pytest.mark.parametrize("stream", [LOGS, SAMPLES])
def test_a_megabyte_of_lists_is_bounded(data: bytes, stream: int) -> None:
    """A list costs more than a byte, and its room is made before its items come: bounded, not small."""
    assert peak(data[:MAX_BODY], stream=stream) < 128 * MIB


@pytest.mark.parametrize("decode", [decode_header, decode_open, decode_gap])
def test_small_structures_are_not_decoded_when_they_are_large(decode: Any) -> None:
    """Their limits are far below that of a body."""
    with pytest.raises(WireError, match="too large"):
        decode(pack([b"x" * 40_000]))
