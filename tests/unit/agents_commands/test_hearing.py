"""What a node believes to be a command: each check fails for its own reason, and nothing else than the whole is heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tabard.agents.commands import hearing
from tabard.agents.commands.hearing import Heard, Ignored, hear
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import BROKER, DISPATCHER, OPERATOR, RECORDER
from tabard.brokers.trust.commanding import Issuer, command_message, issue_order
from tabard.brokers.trust.directory import Directory
from tabard.brokers.wire.command import Order
from tabard.brokers.wire.messages import Message
from tabard.errors import TrustError, WireError
from tests.operators import ZONE_OF_NODE, document, somebody
from tests.trustees import NOON, Trustees

ME = NodeKey("web1", ZONE_OF_NODE)
NONCE = b"nonce..."


class Scene:
    """A node, and those who may command it."""

    def __init__(self) -> None:
        self.trustees = Trustees()
        self.key = self.trustees.key()
        self.ada = somebody(self.trustees, OPERATOR, "hq")
        self.desk = somebody(self.trustees, DISPATCHER, "hq", "desk")
        self.directory: Directory | None = self.trustees.directory()

    def order(self, issuer: Issuer | None = None, **more: Any) -> Order:
        """Signed."""
        issuer = issuer or self.ada
        return issue_order(document(issuer)._replace(**more), issuer)

    def message(self, order: Order | None = None, **more: Any) -> Message:
        """Sent now."""
        said: dict[str, Any] = {"dispatcher": self.desk, "nonce": NONCE, "now": NOON + 5, **more}
        return command_message(order or self.order(), ME.node, ME.zone, self.key.public, **said)

    def hear(self, message: Message) -> Heard:
        """What the node makes of it."""
        return hear(message, ME, self.directory, self.key.unbox, lambda nonce: nonce == NONCE, NOON)

    def why(self, message: Message) -> str:
        """Why it is nothing for this node."""
        try:
            self.hear(message)
        except Ignored as error:
            return str(error)
        except TrustError as error:
            return error.reason
        except WireError:
            return "malformed"
        return ""


@pytest.fixture(name="scene")
def _scene() -> Scene:
    return Scene()


def test_what_is_right_is_heard(scene: Scene) -> None:
    """With the document, its issuer and the dispatcher's now."""
    heard = scene.hear(scene.message())
    assert heard.document == document(scene.ada)
    assert (heard.issuer.name, heard.now) == ("ada", NOON + 5)


@pytest.mark.threat("replayed-command")
def test_a_message_with_the_nonce_of_no_late_beacon_is_a_replay(scene: Scene) -> None:
    """However right the rest is."""
    assert scene.why(scene.message(nonce=b"other...")) == hearing.UNKNOWN_NONCE


@pytest.mark.threat("retargeted-command")
def test_a_command_for_another_node_is_not_for_this_one(scene: Scene) -> None:
    """By name or by zone, whoever wraps it for this node; nor in a head for another node, nor in a box for another key."""
    assert scene.why(scene.message(scene.order(node="web2"))) == hearing.FOR_ANOTHER
    assert scene.why(scene.message(scene.order(zone="hq"))) == hearing.FOR_ANOTHER
    order, other = scene.order(), scene.trustees.key()
    said: dict[str, Any] = {"dispatcher": scene.desk, "nonce": NONCE, "now": NOON}
    assert scene.why(command_message(order, "web2", ME.zone, scene.key.public, **said)) == hearing.FOR_ANOTHER
    assert scene.why(command_message(order, "web1", ME.zone, other.public, **said)) == hearing.SEALED


@pytest.mark.threat("reused-envelope")
def test_an_envelope_is_good_for_one_document(scene: Scene) -> None:
    """The head of one message on the body of another: the digest does not fit, whoever signed that one and whenever."""
    one = scene.message()
    for order in (scene.order(words=("rm",)), scene.order(id=b"j" * 16), scene.order(node="web2")):
        other = scene.message(order)
        assert scene.why(one._replace(body=other.body)) == hearing.ANOTHER_DOCUMENT
        assert scene.why(other._replace(body=one.body)) == hearing.ANOTHER_DOCUMENT
        assert scene.why(one._replace(head=other.head)) == reasons.FORGED
    assert scene.why(one) == ""


@pytest.mark.threat("altered-command")
@pytest.mark.parametrize("frame", ["head", "signature", "body"])
def test_every_byte_counts(scene: Scene, frame: str) -> None:
    """One bit anywhere in what is signed or sealed."""
    message = scene.message()
    data: bytes = message._asdict()[frame]
    for at in range(0, len(data), 7):
        spoilt = bytearray(data)
        spoilt[at] ^= 4
        assert scene.why(message._replace(**{frame: bytes(spoilt)})), at


@pytest.mark.threat("command-from-below")
@pytest.mark.parametrize("zone", ["hq/dmz/cell", "hq/office", "hq/dmz2"])
def test_nobody_below_or_beside_commands(scene: Scene, zone: str) -> None:
    """As operator or as dispatcher, each with the other one right."""
    foreign = somebody(scene.trustees, OPERATOR, zone)
    assert scene.why(scene.message(scene.order(foreign))) == reasons.EXCEEDS
    assert scene.why(scene.message(dispatcher=somebody(scene.trustees, DISPATCHER, zone))) == reasons.EXCEEDS


@pytest.mark.threat("key-of-another-role-commands")
@pytest.mark.parametrize("role", [RECORDER, BROKER, DISPATCHER])
def test_a_recorder_or_broker_makes_no_command(scene: Scene, role: str) -> None:
    """Nor does a dispatcher by itself; and an operator does not send."""
    other = somebody(scene.trustees, role, "hq", "other")
    assert scene.why(scene.message(scene.order(other))) == reasons.EXCEEDS
    if role != DISPATCHER:
        assert scene.why(scene.message(dispatcher=other)) == reasons.EXCEEDS
    assert scene.why(scene.message(dispatcher=scene.ada)) == reasons.EXCEEDS


@pytest.mark.threat("revoked-operator")
def test_what_a_revoked_operator_signed_is_not_heard(scene: Scene) -> None:
    """Though it was heard before, and its certificate is known."""
    message = scene.message()
    assert scene.why(message) == ""
    assert scene.directory is not None
    scene.directory.take_roster(scene.trustees.revoke(scene.ada.key.public.key_id), NOON)
    assert scene.why(message) == reasons.REVOKED


def test_a_stranger_and_a_home_without_keys(scene: Scene) -> None:
    """Nobody who leads to another root; and without keys nobody at all."""
    stranger = Trustees(seed=7)
    assert scene.why(scene.message(scene.order(somebody(stranger, OPERATOR, "hq")))) == reasons.FORGED
    assert scene.why(scene.message(dispatcher=somebody(stranger, DISPATCHER, "hq"))) == reasons.FORGED
    scene.directory = None
    assert scene.why(scene.message()) == hearing.NO_KEYS


@pytest.mark.parametrize(
    "spoil",
    [lambda message: message._replace(body=b""), lambda message: message._replace(head=b"\x92\x01\x09")],
)
def test_what_cannot_be_read_is_malformed(scene: Scene, spoil: Callable[[Message], Message]) -> None:
    """And nothing else happens."""
    assert scene.why(spoil(scene.message())) == "malformed"


def test_documents_are_read_again_by_the_node(scene: Scene) -> None:
    """What an operator's own program let pass is not believed to be in order."""
    order = scene.order()
    bad = order.document[:-1]
    spoilt = order._replace(document=bad, signature=scene.ada.key.sign(b"command", bad))
    assert scene.why(scene.message(spoilt)) == "malformed"


@pytest.mark.threat("revoked-operator")
def test_an_operator_whose_certificate_has_ended_by_the_dispatchers_clock_is_not_heard(scene: Scene) -> None:
    """Whenever it was signed, and whatever this node's own clock says."""
    eve = somebody(scene.trustees, OPERATOR, "hq", "eve", until=10)
    order = scene.order(eve)
    assert scene.why(scene.message(order, now=NOON + 9)) == ""
    assert scene.why(scene.message(order, now=NOON + 10)) == reasons.EXPIRED
