"""The tally of a broker on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat
from tabard.brokers.wire.tally import MOST_SENT, TALLY_VERSION, Sent, Tally, Told, decode_tally, encode_tally
from tabard.errors import WireError

TALLY = Tally(b"bootboot", (Sent("main/07", 2, 31), Sent("main/08", 2, 5)), (Told("hq", 40, 39),), 2)
FIELDS: list[Any] = [TALLY_VERSION, *TALLY]


def test_what_is_sent_is_read() -> None:
    """As the body of a heartbeat, whose head is what it was without one."""
    beat = Heartbeat("b1", "hq/dmz", 1.0, 7, above=True)
    frames = encode_heartbeat(beat, encode_tally(TALLY))
    assert decode_tally(frames[4]) == TALLY
    assert decode_heartbeat(frames[2]) == beat
    assert frames[2] == encode_heartbeat(beat)[2]


def test_a_broker_of_an_earlier_edition_sends_none() -> None:
    """Its heartbeat has an empty body."""
    assert decode_tally(b"") is None


def test_a_tally_that_says_nothing_of_ways_has_one() -> None:
    """As the first brokers that sent any."""
    assert decode_tally(pack(FIELDS[:4])) == TALLY._replace(ways=1)


def test_what_a_later_edition_adds_is_passed_over() -> None:
    """At the end, where it stands in nobody's way."""
    assert decode_tally(pack([*FIELDS, "more", 7])) == TALLY


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (1, b"short"),
        (1, "bootboot"),
        (2, 7),
        (2, [["main/07", 2]]),
        (2, [["main/07", 2, -1]]),
        (2, [["main/07", True, 1]]),
        (2, [["main/07", 2, 2**63]]),
        (2, [["k" * 129, 2, 1]]),
        (2, [[b"main/07", 2, 1]]),
        (2, [["k", 1, 1]] * (MOST_SENT + 1)),
        (3, [["hq", 1, None]]),
        (3, {}),
        (4, 0),
        (4, True),
        (4, "2"),
    ],
)
def test_what_is_wrong_is_refused(place: int, value: object) -> None:
    """Each field for itself."""
    with pytest.raises(WireError):
        decode_tally(pack([*FIELDS[:place], value, *FIELDS[place + 1 :]]))


@given(st.binary(min_size=1, max_size=64))
def test_rubbish_is_refused(data: bytes) -> None:
    """Nothing but a WireError comes of it."""
    with pytest.raises(WireError):
        decode_tally(data)
