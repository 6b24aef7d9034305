"""Rosters on a link: which versions a role has, asking a neighbour for one, and a part of one.

All of it goes one hop, on ``l/NAME/`` of who says it. The versions are the envelope of a broker's heartbeat, and of the
*notice* of a role that sends none; earlier editions do not look there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.brokers.wire.messages import MESSAGE_VERSION
from tabard.brokers.wire.topics import link_topic
from tabard.errors import TabardError, WireError
from tabard.names import check_node, check_zone, zone_within

NOTICE_KIND: Final = 6
ASK_KIND: Final = 7
PART_KIND: Final = 8
KINDS: Final = frozenset({NOTICE_KIND, ASK_KIND, PART_KIND})
VERSIONS_VERSION: Final = 1
MOST_VERSIONS: Final = 64
"""Rows of one statement; where there are more of them they take turns."""
MARK_BYTES: Final = 16
PART: Final = 262_144
"""Bytes of a part; the last one has what is left."""
MOST_BYTES: Final = 8 << 20
"""Bytes of a roster."""
MOST_PARTS: Final = MOST_BYTES // PART
BROKER: Final = "broker"
NODE: Final = "node"
SPEAKERS: Final = (BROKER, NODE, "recorder")
_LAST: Final = 2**63 - 1


class Version(NamedTuple):
    """A roster that somebody has."""

    zone: str
    number: int
    mark: bytes
    """The first 16 bytes of the digest of the roster."""


class Speaker(NamedTuple):
    """A role at one end of a link."""

    role: str
    zone: str
    name: str


class Ask(NamedTuple):
    """A part of a roster is asked for, of one neighbour."""

    whom: Speaker
    wanted: Version
    part: int
    """From 0 on."""


class Part(NamedTuple):
    """A part of a roster."""

    of: Version
    size: int
    """Bytes of the whole roster."""
    part: int
    data: bytes

    @property
    def parts(self) -> int:
        """How many there are."""
        return -(-self.size // PART)


Said = Speaker | Ask | Part


def concerns(who: Speaker, zone: str) -> bool:
    """Whether somebody needs the roster of a zone.

    Everybody needs those of the zones that it lies in, since they say whom to believe there. Whoever hears of nodes below,
    which is a broker or a recorder, needs those of all zones below as well. What lies beside is nobody's business.
    """
    return zone_within(who.zone, zone) or (who.role != NODE and zone_within(zone, who.zone))


def encode_versions(versions: Sequence[Version]) -> bytes:
    """For the envelope of a heartbeat or a notice."""
    return pack((VERSIONS_VERSION, tuple(versions)))


def decode_versions(envelope: bytes) -> tuple[Version, ...]:
    """Decode and check; none of an empty envelope. Raises WireError. What a later edition adds at the end is passed over."""
    if not envelope:
        return ()
    value = unpack(envelope, maps=False)
    if not isinstance(value, tuple) or len(value) < 2 or not is_version(value[0], VERSIONS_VERSION):
        raise _malformed("not versions of rosters", f"version {VERSIONS_VERSION} and rows", value)
    rows = value[1]
    if not isinstance(rows, tuple) or len(rows) > MOST_VERSIONS:
        raise _malformed("malformed versions of rosters", f"at most {MOST_VERSIONS} rows", rows)
    return tuple(_version(row) for row in rows)


def encode_notice(me: Speaker, versions: Sequence[Version]) -> list[bytes]:
    """The six frames of a statement by a role that sends no heartbeat."""
    return _frames(me, (NOTICE_KIND, *me), envelope=encode_versions(versions))


def encode_ask(me: Speaker, ask: Ask) -> list[bytes]:
    """The six frames of a question."""
    return _frames(me, (ASK_KIND, *ask.whom, *ask.wanted, ask.part))


def encode_part(me: Speaker, part: Part) -> list[bytes]:
    """The six frames of a part."""
    return _frames(me, (PART_KIND, *part.of, part.size, part.part), body=part.data)


def decode_said(frames: Sequence[bytes]) -> Said | None:
    """What a message on a link says of rosters; None of a heartbeat, or whatever else has no such kind.

    Raises WireError for what has the kind and not the form. A notice is the `Speaker`; its versions are the envelope.
    """
    value = _news(frames)
    if value is None:
        return None
    kind, *fields = value[1:]
    if kind == NOTICE_KIND and len(fields) == 3:
        return _speaker(fields)
    if kind == ASK_KIND and len(fields) == 7:
        return Ask(_speaker(fields[:3]), _version(tuple(fields[3:6])), _number(fields[6], MOST_PARTS - 1))
    if kind == PART_KIND and len(fields) == 5:
        return _part(fields, frames[4])
    raise _malformed("a malformed message about rosters", "the fields of its kind", value)


def is_news(frames: Sequence[bytes]) -> bool:
    """Whether a message on a link is about rosters and nothing else, by its kind."""
    try:
        return _news(frames) is not None
    except WireError:
        return False


def _news(frames: Sequence[bytes]) -> tuple[Any, ...] | None:
    if len(frames) != 6:
        return None
    value = unpack(frames[2], maps=False)
    if not isinstance(value, tuple) or len(value) < 2 or not is_version(value[0], MESSAGE_VERSION):
        return None
    return value if type(value[1]) is int and value[1] in KINDS else None


def _part(fields: Sequence[Any], data: bytes) -> Part:
    size = _number(fields[3], MOST_BYTES)
    found = Part(_version(tuple(fields[:3])), size, _number(fields[4], MOST_PARTS - 1), data)
    expected = PART if found.part + 1 < found.parts else size - (found.parts - 1) * PART
    if not size or found.part >= found.parts or len(data) != expected:
        raise _malformed("not a part of a roster", f"{expected} bytes", (size, found.part, len(data)))
    return found


def _frames(me: Speaker, said: tuple[Any, ...], envelope: bytes = b"", body: bytes = b"") -> list[bytes]:
    return [link_topic(me.name), envelope, pack((MESSAGE_VERSION, *said)), b"", body, b""]


def _version(row: Any) -> Version:
    if not isinstance(row, tuple) or len(row) != 3 or not isinstance(row[2], bytes):
        raise _malformed("not the version of a roster", "a zone, a number and a mark", row)
    if len(row[2]) != MARK_BYTES:
        raise _malformed("a wrong mark of a roster", f"{MARK_BYTES} bytes", row[2])
    return Version(_zone(row[0]), _number(row[1], _LAST), row[2])


def _speaker(fields: Sequence[Any]) -> Speaker:
    role, zone, name = fields
    if type(role) is not str or role not in SPEAKERS:
        raise _malformed("nobody who has rosters", "one of " + ", ".join(SPEAKERS), role)
    try:
        check_node(name)
    except (TabardError, TypeError, AttributeError) as error:  # the latter for what is no text
        raise _malformed("not a name", "the name of a broker, node or recorder", name) from error
    return Speaker(role, _zone(zone), name)


def _zone(value: Any) -> str:
    try:
        return check_zone(value)
    except (TabardError, TypeError, AttributeError) as error:  # the latter for what is no text
        raise _malformed("not a zone", "the path of a zone", value) from error


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise _malformed("a wrong number", f"0 to {most}", value)
    return value


def _malformed(what: str, expected: str, found: Any) -> WireError:
    return WireError(what, expected=expected, found=shown(found))
