"""What a broker says of itself to whoever is connected to it: the heartbeat of a link, on `l/BROKER/`.

It goes to everybody below, and to the broker above. Its body is a tally of what was sent on its links, its envelope says
which rosters the broker has.

It goes one hop and is never handed on. It is not signed: what is forged by it moves a node to the other broker of its
zone and back, and delivers nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.brokers.wire.messages import MESSAGE_VERSION
from tabard.brokers.wire.topics import link_topic
from tabard.errors import TabardError, WireError
from tabard.names import check_node, check_zone

HEARTBEAT_KIND: Final = 5
MOST_SECONDS: Final = 3_600.0
_FIELDS: Final = 7


class Heartbeat(NamedTuple):
    """A broker's sign of life."""

    broker: str
    zone: str
    interval: float
    """Seconds until the next one."""
    number: int
    """Counts from 1 since the broker started."""
    above: bool
    """Whether it hears the broker above it, and that one the next, up to the last that it knows of."""


def encode_heartbeat(beat: Heartbeat, body: bytes = b"", envelope: bytes = b"") -> list[bytes]:
    """The six frames of `beat`; `body` is a tally, `envelope` the versions of the rosters that the broker has."""
    head = pack((MESSAGE_VERSION, HEARTBEAT_KIND, *beat))
    return [link_topic(beat.broker), envelope, head, b"", body, b""]


def decode_heartbeat(head: bytes) -> Heartbeat:
    """Decode and check. Raises WireError."""
    value = unpack(head)
    if not isinstance(value, tuple) or len(value) != _FIELDS or not is_version(value[0], MESSAGE_VERSION):
        raise WireError(
            "not a heartbeat of this version",
            expected=f"{_FIELDS} fields, version {MESSAGE_VERSION}",
            found=shown(value),
        )
    kind, broker, zone, interval, number, above = value[1:]
    if not is_version(kind, HEARTBEAT_KIND):
        raise WireError("not a heartbeat", expected=f"kind {HEARTBEAT_KIND}", found=shown(kind))
    try:
        check_node(broker)
        check_zone(zone)
    except (TabardError, TypeError, AttributeError) as error:  # the latter for what is no text
        raise WireError(
            "a heartbeat of nobody", expected="a broker and a zone", found=shown(value)
        ) from error
    if type(interval) not in (int, float) or not 0 < interval <= MOST_SECONDS:
        raise WireError(
            "a wrong interval", expected=f"above 0, at most {MOST_SECONDS:.0f} s", found=shown(interval)
        )
    if type(number) is not int or number < 1 or type(above) is not bool:
        raise WireError("a malformed heartbeat", expected="a number and a truth", found=shown(value))
    return Heartbeat(broker, zone, float(interval), number, above)
