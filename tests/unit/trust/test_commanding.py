"""Whose commands are believed, by role and by place in the tree; and that nobody else can read or change one."""

from __future__ import annotations

import pytest

from tabard.brokers.trust import commanding, reasons
from tabard.brokers.trust.certificates import (
    BROKER,
    DISPATCHER,
    NODE,
    OPERATOR,
    RECORDER,
    ROLES,
    ZONE,
)
from tabard.brokers.trust.commanding import Issuer, check_dispatcher, check_issuer
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import COMMAND, WIRE, PrivateKey
from tabard.brokers.wire.command import Order, decode_document, decode_order
from tabard.brokers.wire.messages import Message
from tabard.errors import TrustError, WireError
from tests.operators import ZONE_OF_NODE, document, somebody
from tests.trustees import NOON, Trustees

NODE_KEY = PrivateKey.from_seed(b"n" * 32)
NONCE = b"nonce..."


@pytest.fixture(name="trustees")
def _trustees() -> Trustees:
    return Trustees()


def sent(order: Order, dispatcher: Issuer) -> Message:
    """A message to the node of these tests."""
    return commanding.command_message(
        order, "web1", ZONE_OF_NODE, NODE_KEY.public, dispatcher, NONCE, NOON + 5
    )


def refused(directory: Directory, order: Order, zone: str = ZONE_OF_NODE, now: int = NOON) -> str:
    """Why the issuer is not believed; empty when it is."""
    try:
        check_issuer(directory, zone, order, decode_document(order.document), now)
    except TrustError as error:
        return error.reason
    return ""


def turned_away(directory: Directory, message: Message, name: str = "ada", wall: int = NOON) -> str:
    """Likewise of the dispatcher."""
    try:
        check_dispatcher(directory, ZONE_OF_NODE, message, name, wall)
    except TrustError as error:
        return error.reason
    return ""


@pytest.mark.threat("command-from-below")
@pytest.mark.parametrize(
    ("zone", "may"),
    [("hq", True), ("hq/dmz", True), ("hq/dmz/cell", False), ("hq/dmz2", False), ("hq/office", False)],
)
def test_authority_flows_down_the_tree_only(trustees: Trustees, zone: str, *, may: bool) -> None:
    """An operator and a dispatcher of the node's zone or above it; of a child or a sibling neither."""
    operator, dispatcher = somebody(trustees, OPERATOR, zone), somebody(trustees, DISPATCHER, zone)
    order = commanding.issue_order(document(operator), operator)
    expected = "" if may else reasons.EXCEEDS
    assert refused(trustees.directory(), order) == expected
    assert turned_away(trustees.directory(), sent(order, dispatcher)) == expected


@pytest.mark.threat("key-of-another-role-commands")
@pytest.mark.parametrize("role", ROLES)
def test_each_role_does_its_own_part_only(trustees: Trustees, role: str) -> None:
    """A recorder's, broker's, node's or zone's key commands nothing; an operator does not send, a dispatcher does not issue."""
    name = "hq" if role == ZONE else "ada"
    one = somebody(trustees, role, "hq", name)
    order = commanding.issue_order(document(one), one)
    assert (refused(trustees.directory(), order) == "") is (role == OPERATOR)
    assert (turned_away(trustees.directory(), sent(order, one), name) == "") is (role == DISPATCHER)


@pytest.mark.threat("key-of-another-role-commands")
@pytest.mark.parametrize("role", [NODE, BROKER, RECORDER])
def test_a_recorder_or_broker_with_the_right_to_command_written_in_is_still_none(
    trustees: Trustees, role: str
) -> None:
    """It is the role that counts, not the flag alone."""
    one = somebody(trustees, role, "hq", commands=True)
    assert refused(trustees.directory(), commanding.issue_order(document(one), one)) == reasons.EXCEEDS


def test_a_certificate_that_does_not_say_so_gives_no_commands(trustees: Trustees) -> None:
    """Whoever may look need not be one who may command."""
    operator = somebody(trustees, OPERATOR, "hq", commands=False)
    order = commanding.issue_order(document(operator), operator)
    assert refused(trustees.directory(), order) == reasons.EXCEEDS
    quiet = somebody(trustees, DISPATCHER, "hq", commands=False)
    assert turned_away(trustees.directory(), sent(order, quiet)) == reasons.EXCEEDS


@pytest.mark.threat("altered-command")
def test_what_was_altered_is_nobodys(trustees: Trustees) -> None:
    """Document, signature, head: each byte is signed by whoever answers for it."""
    operator, dispatcher = somebody(trustees, OPERATOR, "hq"), somebody(trustees, DISPATCHER, "hq")
    order = commanding.issue_order(document(operator), operator)
    other = commanding.issue_order(document(operator)._replace(words=("rm",)), operator)
    assert refused(trustees.directory(), order._replace(document=other.document)) == reasons.FORGED
    assert refused(trustees.directory(), order._replace(signature=bytes(64))) == reasons.FORGED
    message = sent(order, dispatcher)
    for at in (3, len(message.head) - 1):
        spoilt = bytearray(message.head)
        spoilt[at] ^= 1
        assert turned_away(trustees.directory(), message._replace(head=bytes(spoilt))) == reasons.FORGED
    assert turned_away(trustees.directory(), message, "eve") == reasons.EXCEEDS


@pytest.mark.threat("altered-command")
def test_a_document_bears_the_key_of_who_issued_it(trustees: Trustees) -> None:
    """Another operator cannot sign a document that says it is by this one."""
    ada, eve = somebody(trustees, OPERATOR, "hq"), somebody(trustees, OPERATOR, "hq", "eve")
    assert refused(trustees.directory(), commanding.issue_order(document(ada), eve)) == reasons.EXCEEDS


def test_a_word_of_another_kind_is_no_command(trustees: Trustees) -> None:
    """What an operator's key signed in another context is not what it commands, and the other way round."""
    operator, dispatcher = somebody(trustees, OPERATOR, "hq"), somebody(trustees, DISPATCHER, "hq")
    order = commanding.issue_order(document(operator), operator)
    wrong = order._replace(signature=operator.key.sign(WIRE, order.document))
    assert refused(trustees.directory(), wrong) == reasons.FORGED
    message = sent(order, dispatcher)
    assert (
        turned_away(
            trustees.directory(),
            message._replace(signature=dispatcher.key.sign(COMMAND, message.head)),
        )
        == reasons.FORGED
    )


@pytest.mark.threat("revoked-operator")
def test_a_revoked_operator_commands_nothing(trustees: Trustees) -> None:
    """Nor a revoked dispatcher; also what was signed before."""
    operator, dispatcher = somebody(trustees, OPERATOR, "hq"), somebody(trustees, DISPATCHER, "hq")
    order = commanding.issue_order(document(operator), operator)
    directory = trustees.directory()
    message = sent(order, dispatcher)
    assert (refused(directory, order), turned_away(directory, message)) == ("", "")
    directory.take_roster(trustees.revoke(operator.key.public.key_id), NOON)
    assert (refused(directory, order), turned_away(directory, message)) == (reasons.REVOKED, "")
    directory.take_roster(trustees.revoke(dispatcher.key.public.key_id), NOON)
    assert turned_away(directory, message) == reasons.REVOKED


def test_an_operator_whose_certificate_has_ended_commands_nothing(trustees: Trustees) -> None:
    """By the dispatcher's clock for the operator, by the node's own for the dispatcher."""
    operator, dispatcher = (somebody(trustees, role, "hq", until=10) for role in (OPERATOR, DISPATCHER))
    order = commanding.issue_order(document(operator), operator)
    assert (refused(trustees.directory(), order, now=NOON + 9), "") == ("", "")
    assert refused(trustees.directory(), order, now=NOON + 10) == reasons.EXPIRED
    message = sent(order, dispatcher)
    assert turned_away(trustees.directory(), message, wall=NOON + 9) == ""
    assert turned_away(trustees.directory(), message, wall=NOON + 10) == reasons.EXPIRED


def test_approvals_are_of_other_people(trustees: Trustees) -> None:
    """The issuer's own, and the same person's twice, are none; a wrong signature spoils the order."""
    ada, bob, cyd = (somebody(trustees, OPERATOR, "hq", name) for name in ("ada", "bob", "cyd"))
    order = commanding.issue_order(document(ada), ada, [ada, bob, bob, cyd])
    directory = trustees.directory()
    issuer = check_issuer(directory, ZONE_OF_NODE, order, decode_document(order.document), NOON)
    found = commanding.approvers(directory, ZONE_OF_NODE, order, issuer, NOON)
    assert [each.name for each in found] == ["bob", "cyd"]
    adas_other = somebody(trustees, OPERATOR, "hq", "ada")
    twice = commanding.issue_order(document(ada), ada, [adas_other])
    assert commanding.approvers(directory, ZONE_OF_NODE, twice, issuer, NOON) == ()
    bad = order._replace(approvals=(order.approvals[1]._replace(signature=bytes(64)),))
    with pytest.raises(TrustError) as error:
        commanding.approvers(directory, ZONE_OF_NODE, bad, issuer, NOON)
    assert error.value.reason == reasons.FORGED


@pytest.mark.threat("read-command")
def test_only_the_node_opens_the_box(trustees: Trustees) -> None:
    """Nobody on the way reads what a command says, nor another node; an altered box is none."""
    operator, dispatcher = somebody(trustees, OPERATOR, "hq"), somebody(trustees, DISPATCHER, "hq")
    order = commanding.issue_order(document(operator)._replace(words=("very-secret-word",)), operator)
    message = sent(order, dispatcher)
    assert not any(b"very-secret" in frame for frame in message)
    parcel = check_dispatcher(trustees.directory(), ZONE_OF_NODE, message, "ada", NOON)
    opened = NODE_KEY.unbox(parcel.sealed)
    assert opened is not None
    assert decode_order(opened) == order
    assert trustees.key().unbox(parcel.sealed) is None
    assert NODE_KEY.unbox(parcel.sealed[:-1] + bytes([parcel.sealed[-1] ^ 1])) is None
    assert NODE_KEY.unbox(b"") is None
    with pytest.raises(WireError):
        check_dispatcher(trustees.directory(), ZONE_OF_NODE, message._replace(body=b""), "ada", NOON)
