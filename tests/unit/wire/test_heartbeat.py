"""The heartbeat of a link on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.wire import topics
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.heartbeat import HEARTBEAT_KIND, Heartbeat, decode_heartbeat, encode_heartbeat
from tabard.brokers.wire.messages import MESSAGE_VERSION
from tabard.errors import WireError

BEAT = Heartbeat("b1", "hq/dmz", 1.0, 7, above=True)
FIELDS: list[Any] = [MESSAGE_VERSION, HEARTBEAT_KIND, *BEAT]


def test_what_is_sent_is_read() -> None:
    """Six frames under the broker's own topic, which no node's or zone's subscription matches."""
    frames = encode_heartbeat(BEAT)
    assert len(frames) == 6
    assert frames[0] == b"l/b1/"
    assert frames[0].startswith(topics.LINK_PREFIX)
    assert decode_heartbeat(frames[2]) == BEAT


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (1, 3),
        (2, "../b"),
        (2, 7),
        (3, "HQ"),
        (3, None),
        (4, 0),
        (4, 1e9),
        (4, "1"),
        (5, 0),
        (5, True),
        (6, 1),
    ],
)
def test_what_is_wrong_is_refused(place: int, value: object) -> None:
    """Each field for itself."""
    with pytest.raises(WireError):
        decode_heartbeat(pack([*FIELDS[:place], value, *FIELDS[place + 1 :]]))


@given(st.binary(max_size=64))
def test_rubbish_is_refused(data: bytes) -> None:
    """Nothing but a WireError comes of it."""
    with pytest.raises(WireError):
        decode_heartbeat(data)
