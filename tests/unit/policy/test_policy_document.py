"""A policy as a document: what it can say, who signed it, and what is refused with the place where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.policy.document import (
    KINDS,
    MAX_RULES,
    Policy,
    Redaction,
    check,
    newest,
    read,
    sign,
    verify,
)
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.wire.codec import pack, unpack
from tabard.errors import TrustError

KEY = PrivateKey.from_seed(b"\1" * 32)
WHOLE = Policy(
    "edge",
    3,
    "hq/dmz",
    "hq/dmz",
    up_kinds=("logs",),
    up_nodes=("web*", "db1"),
    up_level=9,
    withhold=((("service", "vault*"), ("max_level", 8)), (("attribute.token", "*"),)),
    redact=(
        Redaction("field", "user1"),
        Redaction("attribute", "password", text=""),
        Redaction("pattern", "message", r"\b\d{16}\b", "[card]"),
    ),
    rate=1_000_000,
)


def test_what_was_signed_is_what_is_read() -> None:
    """All fields, and whose signature it is."""
    encoded = sign(WHOLE, KEY)
    found = read(encoded)
    assert found.policy == WHOLE._replace(issuer=KEY.public.key_id)
    assert found.policy.name == "edge@3"
    assert verify(found, KEY.public)
    assert not verify(found, PrivateKey.from_seed(b"\2" * 32).public)


@pytest.mark.threat("altered-policy")
def test_an_altered_policy_is_nobodys() -> None:
    """Every byte of what is signed counts."""
    encoded = sign(WHOLE, KEY)
    for at in range(len(encoded)):
        altered = bytearray(encoded)
        altered[at] ^= 1
        try:
            found = read(bytes(altered))
        except TrustError:
            continue
        assert not verify(found, KEY.public), at


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"id": "Edge"}, "id"),
        ({"number": 0}, "number"),
        ({"number": True}, "number"),
        ({"zone": "hq//x"}, "zone"),
        ({"below": "hq"}, "below"),
        ({"below": "hq/dmz/a/b"}, "below"),
        ({"below": "hq/dmzx"}, "below"),
        ({"up_kinds": ("control",)}, "up_kinds"),
        ({"up_kinds": "logs"}, "up_kinds"),
        ({"up_nodes": ("",)}, "up_nodes"),
        ({"down_nodes": ("",)}, "down_nodes"),
        ({"down_kinds": ("cursors", "logs")}, "down_kinds"),
        ({"up_nodes": ("x",) * (MAX_RULES + 1)}, "up_nodes"),
        ({"up_level": 25}, "up_level"),
        ({"rate": -1}, "rate"),
        ({"withhold": ((),)}, "withhold 1"),
        ({"withhold": ((("servise", "x"),),)}, "withhold 1"),
        ({"withhold": ((("line", "1"),),)}, "withhold 1"),
        ({"withhold": ((("service", "x"),), (("min_level", 30),))}, "withhold 2: min_level"),
        ({"withhold": ((("service", 5),),)}, "withhold 1: service"),
        ({"withhold": ((("attribute.", "x"),),)}, "withhold 1"),
        ({"withhold": ((("service", "x"), ("service", "y")),)}, "withhold 1"),
        ({"redact": (Redaction("line", "user1"),)}, "redact 1"),
        ({"redact": (Redaction("field", "time"),)}, "redact 1"),
        ({"redact": (Redaction("field", "user1", "x"),)}, "redact 1"),
        ({"redact": (Redaction("field", "user1", text="a\nb"),)}, "redact 1: with"),
        ({"redact": (Redaction("pattern", "message", "(a+)+"),)}, "redact 1: pattern"),
        ({"redact": (Redaction("pattern", "message"),)}, "redact 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(said: dict[str, Any], where: str) -> None:
    """Whoever makes a policy is told what was expected, what was found, and where."""
    with pytest.raises(TrustError) as caught:
        sign(WHOLE._replace(**said), KEY)
    assert caught.value.where == where
    assert caught.value.expected
    assert caught.value.found


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc1",
        pack(1),
        pack([]),
        pack([b"", b""]),
        pack([pack([]), bytes(64)]),
        pack([pack([1, {}]), bytes(64)]),
    ],
)
def test_bytes_that_are_no_policy_are_refused(value: bytes) -> None:
    """In one way, whatever they are."""
    with pytest.raises(TrustError):
        read(value)


def test_a_policy_of_a_later_edition_is_not_guessed_at() -> None:
    """What it says beyond what is known here could be what matters."""
    for content in (pack((3, *WHOLE)), pack((1, *WHOLE)), pack((2, *WHOLE, "more")), pack((2, *WHOLE[:-1]))):
        with pytest.raises(TrustError, match="version"):
            read(pack((content, bytes(64))))


def test_what_says_nothing_of_the_way_down_is_as_earlier_editions_know_it() -> None:
    """They read it; what does say something of it they do not, and so let nothing pass."""
    upward = unpack(read(sign(WHOLE, KEY)).signed)
    assert (upward[0], upward[-1]) == (1, WHOLE.rate)
    both = WHOLE._replace(down_kinds=("cursors",), down_nodes=("web*",))
    found = read(sign(both, KEY))
    assert found.policy == both._replace(issuer=KEY.public.key_id)
    assert unpack(found.signed)[0] == 2
    assert found.policy.lowers and found.policy.changes
    assert not WHOLE.lowers
    assert Policy("edge", 1, "hq", "hq", down_nodes=("a",)).says
    assert not both._replace(ended=True).lowers


def test_a_policy_that_says_nothing_changes_nothing() -> None:
    """Nor one that has ended; a rate alone changes no record."""
    plain = Policy("edge", 1, "hq", "hq")
    check(plain)
    assert not plain.changes
    assert not plain._replace(rate=5, up_kinds=tuple(reversed(KINDS))).changes
    assert WHOLE.changes
    assert not WHOLE._replace(ended=True).changes


def test_of_an_id_the_highest_number_holds() -> None:
    """Whatever their order."""
    documents = [
        read(sign(WHOLE._replace(id=name, number=number), KEY))
        for name, number in (("b", 2), ("b", 10), ("a", 1), ("b", 9))
    ]
    assert {name: each.policy.number for name, each in newest(tuple(documents)).items()} == {"a": 1, "b": 10}
