"""Messages about rosters: what is said is heard, and what is malformed is refused before anything is believed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat
from tabard.brokers.wire.rosters import (
    MOST_BYTES,
    MOST_PARTS,
    MOST_VERSIONS,
    PART,
    Ask,
    Part,
    Speaker,
    Version,
    concerns,
    decode_said,
    decode_versions,
    encode_ask,
    encode_notice,
    encode_part,
    encode_versions,
    is_news,
)
from tabard.brokers.wire.topics import link_topic
from tabard.errors import WireError

ROW = Version("hq/dmz", 7, b"m" * 16)
ME = Speaker("broker", "hq", "hq1")


def frames(*head: Any, body: bytes = b"") -> list[bytes]:
    """Of a message with any head."""
    return [b"l/x/", b"", pack(head), b"", body, b""]


def test_what_is_said_is_heard() -> None:
    """A notice, a question, a part; each on the topic of who says it."""
    ask = Ask(Speaker("node", "hq/dmz", "web1"), ROW, 3)
    part = Part(ROW, PART + 5, 1, b"12345")
    assert decode_said(encode_notice(ME, [ROW])) == ME
    assert decode_versions(encode_notice(ME, [ROW])[1]) == (ROW,)
    assert decode_said(encode_ask(ME, ask)) == ask
    assert decode_said(encode_part(ME, part)) == part
    assert {message[0] for message in (encode_ask(ME, ask), encode_part(ME, part))} == {link_topic("hq1")}
    assert part.parts == 2


def test_a_heartbeat_bears_versions_and_is_what_it_was() -> None:
    """Whoever does not look at its envelope reads the same as before."""
    beat = Heartbeat("b1", "hq/dmz", 1.0, 7, above=True)
    said = encode_heartbeat(beat, b"tally", encode_versions([ROW]))
    assert decode_said(said) is None
    assert not is_news(said)
    assert decode_heartbeat(said[2]) == beat
    assert decode_versions(said[1]) == (ROW,)
    assert decode_versions(encode_heartbeat(beat)[1]) == ()


def test_what_a_later_edition_adds_to_versions_is_passed_over() -> None:
    """At the end, where it stands in nobody's way."""
    assert decode_versions(pack([1, [list(ROW)], "more"])) == (ROW,)


@pytest.mark.parametrize(
    "envelope",
    [
        b"\xc1",
        pack([2, []]),
        pack([1]),
        pack([1, {}]),
        pack([1, [["hq", 7]]]),
        pack([1, [["HQ", 7, b"m" * 16]]]),
        pack([1, [["hq", -1, b"m" * 16]]]),
        pack([1, [["hq", 2**63, b"m" * 16]]]),
        pack([1, [["hq", True, b"m" * 16]]]),
        pack([1, [["hq", 7, b"m" * 15]]]),
        pack([1, [["hq", 7, "m" * 16]]]),
        pack([1, [[7, 7, b"m" * 16]]]),
        pack([1, [list(ROW)] * (MOST_VERSIONS + 1)]),
    ],
)
def test_malformed_versions(envelope: bytes) -> None:
    """Each is a WireError."""
    with pytest.raises(WireError):
        decode_versions(envelope)


@pytest.mark.threat("roster-flood")
@pytest.mark.parametrize(
    "said",
    [
        frames(1, 6, "node", "hq"),
        frames(1, 6, "dispatcher", "hq", "x"),
        frames(1, 6, "node", "hq", "../x"),
        frames(1, 6, "node", "", "x"),
        frames(1, 7, *ME, *ROW),
        frames(1, 7, *ME, *ROW, MOST_PARTS),
        frames(1, 7, *ME, *ROW, -1),
        frames(1, 7, *ME, "hq", 7, b"short", 0),
        frames(1, 8, *ROW, 0, 0),
        frames(1, 8, *ROW, MOST_BYTES + 1, 0, body=bytes(PART)),
        frames(1, 8, *ROW, 10, 0, body=b"123"),
        frames(1, 8, *ROW, 10, 1, body=b"123"),
        frames(1, 8, *ROW, PART + 1, 0, body=b"1"),
        frames(1, 8, *ROW, PART, 0, body=bytes(PART + 1)),
    ],
)
def test_malformed_messages(said: list[bytes]) -> None:
    """Of the kind, and not of its form: a WireError, and no heartbeat."""
    assert is_news(said)
    with pytest.raises(WireError):
        decode_said(said)


@pytest.mark.parametrize("head", [(1, 5), (1, 9), (2, 6, *ME), (1, True), (1,), 7, "x", (1, 6.0)])
def test_other_kinds_are_none(head: Any) -> None:
    """They are somebody else's."""
    assert decode_said([b"l/x/", b"", pack(head), b"", b"", b""]) is None


@pytest.mark.threat("roster-flood")
@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=50))
def test_any_bytes(envelope: bytes, head: bytes, body: bytes) -> None:
    """Nothing but WireError comes of them."""
    with suppress(WireError):
        decode_said([b"l/x/", envelope, head, b"", body, b""])
    with suppress(WireError):
        decode_versions(envelope)
    is_news([b"l/x/", envelope, head, b"", body, b""])


@pytest.mark.threat("roster-flood")
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63), st.text(max_size=8), st.binary(max_size=20), st.floats()), max_size=9),
       st.sampled_from([6, 7, 8]), st.binary(max_size=20))  # fmt: skip
def test_any_fields(fields: list[Any], kind: int, body: bytes) -> None:
    """Whatever stands behind a kind."""
    with suppress(WireError):
        decode_said(frames(1, kind, *fields, body=body))


@pytest.mark.parametrize(
    ("who", "zone", "needs"),
    [
        (Speaker("node", "hq/dmz", "x"), "hq", True),
        (Speaker("node", "hq/dmz", "x"), "hq/dmz", True),
        (Speaker("node", "hq/dmz", "x"), "hq/dmz/cell", False),
        (Speaker("node", "hq/dmz", "x"), "hq/office", False),
        (Speaker("broker", "hq/dmz", "x"), "hq/dmz/cell", True),
        (Speaker("broker", "hq/dmz", "x"), "hq/office", False),
        (Speaker("broker", "hq/dmz", "x"), "hq/dmz2", False),
        (Speaker("recorder", "hq", "x"), "hq/dmz/cell", True),
    ],
)
def test_whom_a_roster_concerns(who: Speaker, zone: str, *, needs: bool) -> None:
    """All those above, of a broker or a recorder also those below; none beside."""
    assert concerns(who, zone) is needs
