"""Whatever bytes come: a certificate, a chain, a roster or a file of keys is taken or refused in words, never a crash."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.trust import certificates, keys, reasons
from tabard.brokers.trust.certificates import MAX_CERTIFICATE, Certificate, issue, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keyfiles import MAGIC, decode_key
from tabard.brokers.trust.rosters import MAX_MEMBERS, MAX_ROSTER, Roster, read_roster, sign
from tabard.brokers.wire.codec import pack
from tabard.errors import TrustError, WireError
from tests.unit.trust.places import DAY, NOW, Tree, key

TREE = Tree()
GOOD = TREE.node()[1][1]
ROSTER = TREE.dmz.roster(NOW, [GOOD], [(key(9).public.key_id, "x")], [("node", "web1", "")])
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=70),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=30,
)


def refuse(encoded: Any) -> None:
    """Each reader takes it or raises a TrustError with a reason that there is, in a bounded sentence."""
    for reader in (
        read,
        read_roster,
        lambda data: Directory(data, NOW),
        lambda data: TREE.fresh().take([data], NOW),
    ):
        error = refusal(reader, encoded)
        assert error is None or (isinstance(error, WireError) and error.reason in reasons.REASONS)
        assert len(str(error)) < 2_000


def refusal(reader: Callable[[Any], object], data: Any) -> TrustError | None:
    """How a reader refuses something, None when it takes it."""
    try:
        reader(data)
    except TrustError as error:
        return error
    return None


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    """Noise."""
    refuse(data)
    with pytest.raises(TrustError):
        decode_key(data, "here")
    error = refusal(lambda data: decode_key(data, "here"), MAGIC + data)
    assert error is None or error.where == "here"


@given(PLAIN)
def test_any_values(value: Any) -> None:
    """Well-formed msgpack of anything, bare, as content and as file of keys."""
    try:
        data = msgpack.packb(value)
    except (ValueError, OverflowError, UnicodeEncodeError):
        return
    refuse(data)
    refuse(pack((data, bytes(64), bytes(64))))
    refuse(pack((data, bytes(64))))
    with pytest.raises(TrustError):
        decode_key(MAGIC + data, "here")


@given(st.integers(0, 10), PLAIN)
def test_one_field_of_a_certificate_is_anything(place: int, value: Any) -> None:
    """Signed by its authority all the same: content is checked before it is believed, also that of a friend."""
    fields = list(msgpack.unpackb(read(GOOD).signed))
    fields[place] = value
    refuse(_signed(fields))


@given(st.integers(0, 7), PLAIN)
def test_one_field_of_a_roster_is_anything(place: int, value: Any) -> None:
    """The same for a roster."""
    fields = list(msgpack.unpackb(read_roster(ROSTER).signed))
    fields[place] = value
    signed = msgpack.packb(fields)
    data = pack((signed, key(2).sign(keys.ROSTER, signed)))
    refuse(data)
    directory = TREE.fresh()
    directory.take(TREE.dmz_chain, NOW)
    try:
        directory.take_roster(data, NOW)
    except TrustError:
        assert directory.rosters() == {}


@given(st.data())
def test_a_good_one_cut_or_bent(data: st.DataObject) -> None:
    """At any place."""
    for good in (GOOD, ROSTER):
        end = data.draw(st.integers(0, len(good) - 1))
        refuse(good[:end])
        bent = bytearray(good)
        bent[end] = data.draw(st.integers(0, 255))
        refuse(bytes(bent))
        refuse(good + b"\0")


def _signed(fields: Any) -> bytes:
    signed = msgpack.packb(fields)
    return pack((signed, key(2).sign(keys.CERTIFICATE, signed), bytes(64)))


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (0, True),
        (1, "root"),
        (1, ["node"]),
        (2, "../web1"),
        (2, "Web1"),
        (2, ""),
        (3, "hq/../hq"),
        (3, "/".join("abcdefghi")),
        (4, bytes(32)),
        (4, "x" * 32),
        (5, b"short"),
        (6, -1),
        (6, True),
        (7, 2**63),
        (8, NOW - 8 * DAY),
        (9, "main"),
        (9, ["main"] * 17),
        (9, ["MAIN"]),
        (10, 1),
    ],
)
def test_what_a_certificate_may_not_say(place: int, value: Any) -> None:
    """Versions, roles, names, keys, times, sinks and rights of another form."""
    fields = list(msgpack.unpackb(read(GOOD).signed))
    fields[place] = value
    with pytest.raises(TrustError) as caught:
        read(_signed(fields))
    assert caught.value.reason == reasons.MALFORMED


def test_roles_have_their_own_forms() -> None:
    """A recorder is of one sink; a zone's name is the last of its path."""
    bare = Certificate(
        "recorder",
        "r",
        "hq",
        key(9).public,
        key(1).public.key_id,
        NOW,
        NOW,
        NOW + DAY,
        ("a", "b"),
        commands=False,
    )
    for wrong in (bare, bare._replace(sinks=()), bare._replace(role="zone", sinks=())):
        with pytest.raises(TrustError) as caught:
            issue(wrong, key(1), key(9))
        assert caught.value.reason == reasons.MALFORMED


def test_sizes_are_bounded_before_anything_is_believed() -> None:
    """Bytes, elements and depth; the largest certificate that there can be fits."""
    name = "a" * 63
    largest = Certificate(
        "node",
        name,
        "/".join([name] * 8),
        key(9).public,
        key(1).public.key_id,
        NOW,
        NOW,
        NOW + DAY,
        (name,) * 16,
        commands=True,
    )
    assert len(issue(largest, key(1), key(9))) < MAX_CERTIFICATE
    for data in (
        b"\xc4" * (MAX_CERTIFICATE + 1),
        b"\x91" * MAX_CERTIFICATE,
        b"\xdd\xff\xff\xff\xff",
        pack((b"\x91" * 3_000, bytes(64), bytes(64))),
        pack(([None] * 3_000,)),
    ):
        with pytest.raises(TrustError) as caught:
            read(data)
        assert caught.value.reason == reasons.MALFORMED
    for roster in (
        b"\xc6" + bytes(MAX_ROSTER),
        pack((pack((1, "hq", 1, bytes(16), 0, (b"",) * (MAX_MEMBERS + 1), (), ())), bytes(64))),
        pack((pack((1, "hq", 1, bytes(16), 0, (bytes(MAX_CERTIFICATE + 1),), (), ())), bytes(64))),
    ):
        with pytest.raises(TrustError):
            read_roster(roster)
    with pytest.raises(TrustError):
        sign(Roster("hq", 0, bytes(16), NOW), key(1))


@pytest.mark.threat("keys-in-reach")
def test_a_file_of_keys_that_is_damaged_is_refused_without_its_secret() -> None:
    """Neither the sentence nor the chain of errors behind it shows a byte of it."""
    seed = bytes(range(65, 97))
    body = (1, "node", "web1", NOW, seed, (GOOD,), b"")
    for wrong in (
        pack(body)[:-1],
        pack((*body, 1)),
        pack((*body[:4], seed[:31], (), b"")),
        pack((*body[:6], seed[:30])),
        pack(seed),
        pack([seed] * 50),
    ):
        with pytest.raises(TrustError) as caught:
            decode_key(MAGIC + wrong, "here")
        assert seed[:20].decode() not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(TrustError, match="certificate of another one"):
        decode_key(MAGIC + pack(body), "here")


def test_a_time_beyond_what_people_count_is_shown_as_it_is() -> None:
    """A sentence about an absurd time is still a sentence."""
    assert certificates.when(2**63 - 1).startswith("2262")
    assert certificates.when(2**200).endswith("ns")
