"""What a key may do at the four ends of a broker: who may connect, what they may hand up, and what they may ask for.

Pure: certificates and topics in, a reason out, None where it may. The reasons are words for counters, so they name no
peer. A node speaks for itself alone, a broker below for its own zone, a recorder hears its own sink, and nobody hears
what belongs to a zone beside or above its own.

=============  ======================================================  ==================================================
end            who may connect                                         what they may do
=============  ======================================================  ==================================================
``up_in``      nodes and brokers of the zone or of one below it        a node hands up what is its own, under no hops; a
                                                                       broker what comes out of its zone
``up_out``     recorders and brokers of the zone or of one above it    a recorder asks for its sink and for heartbeats, a
                                                                       broker for any but the zone's own sinks, if it is
                                                                       of a zone above (`ownsinks`)
``down_in``    recorders, dispatchers and brokers of the zone or of    a recorder says hello for its sink alone, a
               one above it                                            dispatcher sends commands to nodes alone
``down_out``   nodes and brokers of the zone or of one below it        a node asks for its own topic, its sinks' hellos and
                                                                       heartbeats; a broker for what lies in its zone
=============  ======================================================  ==================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import BROKER, DISPATCHER, NODE, RECORDER, Certificate
from tabard.brokers.wire import topics
from tabard.brokers.wire.command import COMMAND_KIND
from tabard.brokers.wire.messages import kind_of
from tabard.brokers.wire.topics import UpTopic
from tabard.errors import WireError
from tabard.names import zone_within

BELOW: Final = frozenset({NODE, BROKER})
ABOVE: Final = frozenset({RECORDER, BROKER})
COMMANDING: Final = ABOVE | {DISPATCHER}
WHO: Final[Mapping[str, frozenset[str]]] = {
    "up_in": BELOW,
    "up_out": ABOVE,
    "down_in": COMMANDING,
    "down_out": BELOW,
}
"""The roles whose keys may connect to an end."""

UNKNOWN_KEY: Final = "a key of no roster"
ENDED: Final = {
    reasons.REVOKED: "a revoked key",
    reasons.EXPIRED: "an expired key",
    reasons.EARLY: "a key that is not valid yet",
    reasons.REMOVED: "a key of a removed name",
}
"""A key that does not hold, by the reason why."""
NO_COMMAND: Final = "a dispatcher with what is no command"
WRONG_ROLE: Final = "a key of another role"
WRONG_ZONE: Final = "a key of another zone"


def refusal(end: str, peer: Certificate, zone: str) -> str | None:
    """Why a key may not connect to an end of a broker of ``zone``."""
    if peer.role not in WHO[end]:
        return WRONG_ROLE
    if WHO[end] is BELOW:
        return None if zone_within(peer.zone, zone) else WRONG_ZONE
    return None if zone_within(zone, peer.zone) else WRONG_ZONE


def up_refusal(peer: Certificate, topic: UpTopic, hops: Sequence[str]) -> str | None:
    """Why what came over a key's connection must not go up."""
    if peer.role == NODE:
        if topic.node != peer.name or topic.zone != peer.zone:
            return "a node in another's name"
        return "a node that names hops" if hops else None
    if peer.role != BROKER:
        return WRONG_ROLE
    if not zone_within(topic.zone, peer.zone):
        return "a zone outside the link's"
    return None if hops and hops[-1] == peer.name else "a broker that does not name itself"


def down_refusal(peer: Certificate, topic: bytes, head: bytes) -> str | None:
    """Why what came over a key's connection must not go down: a recorder speaks for its sink alone, a dispatcher sends commands.

    Where the topic leads is another matter: no broker sends out of its zone, and a dispatcher connects in its own zone or below it.
    """
    if peer.role == BROKER:
        return None
    if peer.role == DISPATCHER:
        return None if topic.startswith(topics.DOWN_PREFIX) and _is_command(head) else NO_COMMAND
    if peer.role != RECORDER:
        return WRONG_ROLE
    if topic.startswith(topics.ALL_PREFIX) and topic not in map(topics.all_topic, peer.sinks):
        return "a recorder in another sink's name"
    return None


def _is_command(head: bytes) -> bool:
    try:
        return kind_of(head) == COMMAND_KIND
    except WireError:
        return False


def may_ask_up(peer: Certificate, topic: bytes) -> bool:
    """Whether a key may subscribe to this on the up lane; the form of the topic was looked at before."""
    if peer.role == BROKER or (peer.role == RECORDER and topic == topics.LINK_PREFIX):
        return True
    return peer.role == RECORDER and any(topic.startswith(b"u/%b/" % sink.encode()) for sink in peer.sinks)


def may_ask_down(peer: Certificate, topic: bytes) -> bool:
    """Whether a key may subscribe to this on the down lane; the form of the topic was looked at before."""
    if topic == topics.LINK_PREFIX:
        return True
    if peer.role == NODE:
        own = topics.down_topic(peer.zone, peer.name)
        return topic == own or topic in map(topics.all_topic, peer.sinks)
    if peer.role == BROKER:
        return topic.startswith((topics.zone_subscription(peer.zone), topics.ALL_PREFIX))
    return False
