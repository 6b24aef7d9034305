"""What the envelope of a message says of the hop that it takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.forwarder import MAX_SMALL
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.hop import (
    HOP_VERSION,
    MOST,
    Ascent,
    Cap,
    Descent,
    decode_ascent,
    decode_descent,
    encode_ascent,
    encode_descent,
)
from tabard.brokers.wire.streams import LOGS, SAMPLES, STREAM_NAMES
from tabard.errors import WireError

DOWN = Descent(b"bootboot", 3, 41, (Cap(LOGS, 70_000), Cap(SAMPLES, None)))
UP = Ascent(b"bootboot", 3, 41, 20, 19)
DOWN_FIELDS: list[Any] = [HOP_VERSION, *DOWN]
UP_FIELDS: list[Any] = [HOP_VERSION, *UP]


def test_what_is_said_is_read() -> None:
    """Both ways."""
    assert decode_descent(encode_descent(DOWN)) == DOWN
    assert decode_ascent(encode_ascent(UP)) == UP


def test_the_largest_one_passes_every_broker() -> None:
    """A broker drops a message whose envelope is larger than it allows."""
    most = 2**63 - 1
    caps = tuple(Cap(stream, most) for stream in STREAM_NAMES)
    assert len(encode_descent(Descent(b"bootboot", most, most, caps))) <= MOST == MAX_SMALL


def test_an_empty_one_says_nothing() -> None:
    """As those of earlier editions."""
    assert decode_descent(b"") is None and decode_ascent(b"") is None


def test_what_a_later_edition_adds_is_passed_over() -> None:
    """At the end."""
    assert decode_descent(pack([*DOWN_FIELDS, "more"])) == DOWN
    assert decode_ascent(pack([*UP_FIELDS, "more"])) == UP


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (1, b"short"),
        (1, "bootboot"),
        (2, -1),
        (3, True),
        (3, 2**63),
        (4, 7),
        (4, [[LOGS]]),
        (4, [[LOGS, -1]]),
        (4, [[9, 1]]),
        (4, [[LOGS, 1], [LOGS, 2]]),
        (4, [[True, 1]]),
        (4, [[LOGS, 1.5]]),
    ],
)
def test_what_is_wrong_is_refused(place: int, value: object) -> None:
    """Each with a sentence."""
    fields = list(DOWN_FIELDS)
    fields[place] = value
    with pytest.raises(WireError):
        decode_descent(pack(fields))


@pytest.mark.parametrize("place", range(1, 6))
def test_a_beacon_with_a_wrong_number_is_refused(place: int) -> None:
    """Whatever stands there instead."""
    fields = list(UP_FIELDS)
    fields[place] = None
    with pytest.raises(WireError):
        decode_ascent(pack(fields))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Never another error."""
    for decode in (decode_descent, decode_ascent):
        try:
            decode(data)
        except WireError:
            continue
