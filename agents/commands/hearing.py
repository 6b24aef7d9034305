"""Whether a message is a command that this node has to answer. Pure but for asking the keys.

Until the issuer's signature is known to be right, whatever is wrong is only counted: a stranger must not fill a journal. The order
of the checks goes from who sends it now to who wants it done; nothing that is sealed is opened before its dispatcher is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.trust.commanding import check_dispatcher, check_issuer
from tabard.brokers.trust.directory import Directory
from tabard.brokers.wire.command import (
    Document,
    Order,
    decode_command,
    decode_document,
    decode_order,
    document_digest,
)
from tabard.brokers.wire.messages import Message

FOR_ANOTHER: Final = "for another node"
NO_KEYS: Final = "signed, and there are no keys here"
UNKNOWN_NONCE: Final = "the nonce of no late beacon"
"""It was sent before, and is sent again; or the agent was started anew since: the next one has a new nonce."""
SEALED: Final = "sealed to another key, or altered"
ANOTHER_DOCUMENT: Final = "another document than its dispatcher named"


class Ignored(Exception):
    """Raised for what is counted and not answered; the argument is the reason, a word for a counter."""


class Heard(NamedTuple):
    """A command whose issuer is known to have given it, and whose dispatcher to have sent it now."""

    document: Document
    order: Order
    issuer: Certificate
    now: int
    """Nanoseconds since 1970 by the dispatcher's clock."""


def hear(
    message: Message,
    me: NodeKey,
    directory: Directory | None,
    unbox: Callable[[bytes], bytes | None],
    knows: Callable[[bytes], bool],
    wall: int,
) -> Heard:
    """Check who sent and who signed a message of kind 9.

    Args:
        message: as it came.
        me: this node.
        directory: whom to believe; None in a home without keys.
        unbox: opens what is sealed to this node's key.
        knows: whether a nonce is that of one of this node's last beacons.
        wall: nanoseconds since 1970 by this node's clock, for the dispatcher's certificate only.

    Raises:
        Ignored: it is nothing for this node, with the reason.
        WireError: it is malformed; TrustError among these: it is by nobody who may.
    """
    command = decode_command(message.head)
    if command.node != me.node:
        raise Ignored(FOR_ANOTHER)
    if directory is None:
        raise Ignored(NO_KEYS)
    parcel = check_dispatcher(directory, me.zone, message, command.dispatcher, wall)
    if not knows(command.nonce):
        raise Ignored(UNKNOWN_NONCE)
    opened = unbox(parcel.sealed)
    if opened is None:
        raise Ignored(SEALED)
    order = decode_order(opened)
    if document_digest(order.document) != command.digest:
        raise Ignored(ANOTHER_DOCUMENT)
    document = decode_document(order.document)
    issuer = check_issuer(directory, me.zone, order, document, command.now)
    if (document.node, document.zone) != (me.node, me.zone):
        raise Ignored(FOR_ANOTHER)
    return Heard(document, order, issuer, command.now)
