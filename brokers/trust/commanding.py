"""Whom a node obeys: who may carry a command to it, who may give one, and the message that a dispatcher makes of it. Pure.

A dispatcher and an operator each need a certificate of that role which says that it may command, for the node's zone or one above:
authority flows down the tree only. What the dispatcher's key signs is that it sends now; what is to be done is signed by the operator, so
neither can do the other's part, and a node's, broker's or recorder's key neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import DISPATCHER, OPERATOR, Certificate, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import COMMAND, WIRE, PrivateKey, PublicKey
from tabard.brokers.wire.command import (
    Approval,
    Command,
    Document,
    Order,
    Parcel,
    decode_parcel,
    document_digest,
    encode_command,
    encode_document,
    encode_order,
    encode_parcel,
)
from tabard.brokers.wire.credentials import decode_credentials, encode_credentials
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.topics import down_topic
from tabard.errors import TrustError
from tabard.names import zone_within


class Issuer(NamedTuple):
    """Somebody whose key signs documents, or sends them: the key, and the chain of its certificate."""

    key: PrivateKey
    chain: Sequence[bytes]

    @property
    def credentials(self) -> bytes:
        """What proves whose key it is."""
        return encode_credentials([self.chain])

    @property
    def name(self) -> str:
        """The name that its certificate gives it."""
        return read(self.chain[-1]).certificate.name


def issue_order(document: Document, issuer: Issuer, approvers: Sequence[Issuer] = ()) -> Order:
    """Sign a document. Raises WireError for one that no node would take."""
    encoded = encode_document(document)
    return Order(
        encoded,
        issuer.key.sign(COMMAND, encoded),
        issuer.credentials,
        tuple(Approval(each.credentials, each.key.sign(COMMAND, encoded)) for each in approvers),
    )


def command_message(
    order: Order,
    node: str,
    zone: str,
    key: PublicKey,
    dispatcher: Issuer,
    nonce: bytes,
    now: int,
    envelope: bytes = b"",
) -> Message:
    """The message that carries an order to a node, in a box for its key; `now` by the dispatcher's clock.

    Raises WireError for an order that is too large.
    """
    head = encode_command(Command(dispatcher.name, node, document_digest(order.document), nonce, now))
    body = encode_parcel(Parcel(dispatcher.credentials, key.box(encode_order(order))))
    return Message(down_topic(zone, node), envelope, head, dispatcher.key.sign(WIRE, head), body, b"")


def check_dispatcher(directory: Directory, zone: str, message: Message, name: str, wall: int) -> Parcel:
    """See that a dispatcher of this name, of a node's `zone` or one above, sent the message; what it carries.

    `wall`: nanoseconds since 1970 by this host's clock. Raises WireError, TrustError among it.
    """
    parcel = decode_parcel(message.body)
    certificate = _proven(directory, parcel.credentials, DISPATCHER, zone, wall)
    if certificate.name != name:
        raise _exceeds("a command by a dispatcher in another's name", name, str(certificate))
    if not certificate.key.verifies(WIRE, message.head, message.signature):
        raise _forged("a command that its dispatcher did not sign", str(certificate))
    return parcel


def check_issuer(directory: Directory, zone: str, order: Order, document: Document, now: int) -> Certificate:
    """The operator who issued a document for a node of `zone`; `now`: nanoseconds since 1970 by the dispatcher's clock.

    Raises WireError, TrustError among it.
    """
    certificate = _proven(directory, order.credentials, OPERATOR, zone, now)
    if certificate.key_id != document.key_id:
        raise _exceeds("a command by an operator in another's name", document.key_id.hex(), str(certificate))
    if not certificate.key.verifies(COMMAND, order.document, order.signature):
        raise _forged("a command that its issuer did not sign", str(certificate))
    return certificate


def approvers(
    directory: Directory, zone: str, order: Order, issuer: Certificate, now: int
) -> tuple[Certificate, ...]:
    """The operators besides its issuer who signed the same document, each once. Raises WireError for one that did not."""
    found: dict[str, Certificate] = {}
    for approval in order.approvals:
        certificate = _proven(directory, approval.credentials, OPERATOR, zone, now)
        if not certificate.key.verifies(COMMAND, order.document, approval.signature):
            raise _forged("an approval that its operator did not sign", str(certificate))
        if (
            certificate[:3] != issuer[:3] and certificate.key_id != issuer.key_id
        ):  # two keys of one person are one
            found[f"{certificate.zone}/{certificate.name}"] = certificate
    return tuple(found.values())


def _proven(directory: Directory, credentials: bytes, role: str, zone: str, now: int) -> Certificate:
    """Who these credentials prove to be, if that is somebody of this role who may command in `zone`."""
    chain = decode_credentials(credentials)[0]
    claimed = read(chain[-1]).certificate
    if claimed.role != role or not claimed.commands:
        raise _exceeds(f"a command by no {role}", f"a {role} that may command", str(claimed))
    if not zone_within(zone, claimed.zone):
        raise _exceeds("a command from a zone beside or below", f"a {role} of {zone} or above", str(claimed))
    return directory.take(chain, max(now, claimed.since))


def _exceeds(what: str, expected: str, found: str) -> TrustError:
    return TrustError(what, reason=reasons.EXCEEDS, expected=expected, found=found)


def _forged(what: str, who: str) -> TrustError:
    return TrustError(what, reason=reasons.FORGED, expected=f"a signature by {who}", found="another one")
