"""Commands on the wire: what a node would take, and that everything else is an error before anything is believed."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.wire import command
from tabard.brokers.wire.codec import pack, unpack
from tabard.brokers.wire.command import (
    ACTION,
    CANCEL,
    MAX_APPROVALS,
    MAX_DOCUMENT,
    MAX_LIFE,
    MAX_WORD,
    MAX_WORDS,
    RUN,
    Approval,
    Command,
    Document,
    Order,
    Parcel,
)
from tabard.errors import WireError

GOOD = Document(
    b"i" * 16, b"g" * 16, b"k" * 16, "hq/dmz", "web1", 5, 6, 1.5, RUN, ("/bin/echo", "a b", "", "$(x)")
)
ORDER = Order(b"document", b"s" * 64, b"credentials", (Approval(b"c", b"t" * 64),))


def test_a_document_comes_back_as_it_was_signed() -> None:
    """Words stay apart and as they are, empty ones too."""
    assert command.decode_document(command.encode_document(GOOD)) == GOOD


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": b"short"},
        {"group": "text"},
        {"key_id": b""},
        {"zone": ""},
        {"zone": "../hq"},
        {"node": ""},
        {"node": "*"},
        {"node": None},
        {"issued": -1},
        {"expires": 5},
        {"expires": 6 + MAX_LIFE},
        {"expires": 2**63},
        {"timeout": 0},
        {"timeout": 86_401},
        {"timeout": float("nan")},
        {"timeout": True},
        {"kind": "eval"},
        {"kind": b"run"},
        {"words": ()},
        {"words": ("",)},
        {"words": ("a\0b",)},
        {"words": (b"a",)},
        {"words": "text"},
        {"words": ("a",) * (MAX_WORDS + 1)},
        {"words": ("a", "\u00e9" * (MAX_WORD // 2 + 1))},
        {"words": ("a" * MAX_WORD,) * 3},
        {"words": ("\udc80",)},
        {"kind": ACTION, "words": ("../ping",)},
        {"kind": CANCEL, "words": ("ab",)},
        {"kind": CANCEL, "words": ("a" * 32, "b")},
        {"kind": CANCEL, "words": ("A" * 32,)},
    ],
    ids=str,
)
@pytest.mark.threat("command-to-nobody")
def test_what_no_node_would_take_is_not_signed_and_not_read(wrong: dict[str, Any]) -> None:
    """Nobody is a target least of all: an empty or wide one is an error at either end."""
    bad = GOOD._replace(**wrong)
    with pytest.raises(WireError):
        command.encode_document(bad)
    try:
        packed = pack((1, *bad))
    except ValueError:
        return  # nothing that travels
    with pytest.raises(WireError):
        command.decode_document(packed)


@pytest.mark.parametrize("kind", [RUN, ACTION, CANCEL])
def test_the_largest_and_the_smallest_pass(kind: str) -> None:
    """Bounds are inclusive."""
    words = {RUN: ("a" * MAX_WORD,), ACTION: ("ping",), CANCEL: ("0f" * 16,)}[kind]
    for timeout in (0.001, 86_400.0):
        document = GOOD._replace(kind=kind, words=words, timeout=timeout)
        assert command.decode_document(command.encode_document(document)) == document
    assert command.encode_document(GOOD._replace(words=("a",) * MAX_WORDS))
    assert command.encode_document(GOOD._replace(expires=GOOD.issued + MAX_LIFE))


def test_a_version_that_is_not_known_is_refused() -> None:
    """A later document may mean something else by its fields."""
    fields = unpack(command.encode_document(GOOD))
    with pytest.raises(WireError, match="version"):
        command.decode_document(pack((2, *fields[1:])))


def test_the_frames_come_back() -> None:
    """Head, body and box."""
    head = Command("desk", "web1", b"d" * 32, b"n" * 8, 7)
    assert command.decode_command(command.encode_command(head)) == head
    parcel = Parcel(b"credentials", b"box")
    assert command.decode_parcel(command.encode_parcel(parcel)) == parcel
    assert command.decode_order(command.encode_order(ORDER)) == ORDER


@pytest.mark.parametrize(
    "wrong",
    [
        {"document": b""},
        {"document": b"d" * (MAX_DOCUMENT + 1)},
        {"signature": b"short"},
        {"credentials": b""},
        {"approvals": ORDER.approvals * (MAX_APPROVALS + 1)},
        {"approvals": (Approval(b"c", b"short"),)},
    ],
    ids=str,
)
def test_a_wrong_box_is_refused(wrong: dict[str, Any]) -> None:
    """At both ends."""
    with pytest.raises(WireError):
        command.encode_order(ORDER._replace(**wrong))


def test_what_does_not_fit_is_said_before_it_is_sent() -> None:
    """The limit of the body is that of every node: more approvals than fit are an error at the dispatcher."""
    crowded = ORDER._replace(approvals=(Approval(b"c" * 32_000, b"t" * 64),) * 5)
    with pytest.raises(WireError, match="too large"):
        command.encode_order(crowded)
    with pytest.raises(WireError, match="too large"):
        command.encode_parcel(Parcel(b"c", b"s" * command.MAX_COMMAND))
