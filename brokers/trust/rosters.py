"""Rosters: what the authority of a zone says of all its members, in numbered versions of which the newest holds.

A roster lists the certificates of a zone's hosts and of the zones right below it, the keys that were revoked, the
names that were taken out (*tombstones*), and the policies of the zone, which are signed on their own as well: they travel
on without it. It is signed as a whole by the zone's authority. What a policy says is not looked at here: a host that cannot read
one must still hear whose key was revoked.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tabard.brokers.trust import keys, reasons
from tabard.brokers.trust.certificates import MAX_CERTIFICATE, ROLES, check_names, decoded, is_time
from tabard.brokers.trust.keys import ID_BYTES, SIGNATURE_BYTES, PrivateKey
from tabard.brokers.wire.codec import is_version, pack, shown
from tabard.errors import TrustError

ROSTER_VERSION: Final = 1
MAX_ROSTER: Final = 8 << 20
"""Bytes of a roster."""
MAX_MEMBERS: Final = 10_000
"""Certificates in one roster; as many revocations, and as many tombstones."""
AHEAD: Final = 7 * 86_400
"""Seconds by which the number of a roster may be ahead of the clock: nobody shuts an authority out by the highest number there is."""
MAX_REASON: Final = 200
"""Characters of a reason."""
MAX_POLICIES: Final = 256
MAX_POLICY: Final = 16_384
"""Bytes of one."""
_FIELDS: Final = 8
"""Without policies: a roster that has none is what an older edition reads."""


class Revocation(NamedTuple):
    """A key that is not to be believed any more."""

    key_id: bytes
    time: int
    """When its authority revoked it, in nanoseconds since 1970."""
    reason: str


class Tombstone(NamedTuple):
    """A name that was taken out of its zone: every certificate of it with a serial up to this time is dead."""

    role: str
    name: str
    time: int
    successor: str
    """The name it goes by now; empty when it is gone."""


class Roster(NamedTuple):
    """What an authority says of its zone."""

    zone: str
    version: int
    issuer: bytes
    """The id of the authority's key."""
    time: int
    """When it was made, in nanoseconds since 1970: for people."""
    members: tuple[bytes, ...] = ()
    """Encoded certificates."""
    revoked: tuple[Revocation, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    policies: tuple[bytes, ...] = ()
    """Encoded policies, of each id the one that holds."""


class EncodedRoster(NamedTuple):
    """A roster as it travels, taken apart."""

    roster: Roster
    signed: bytes
    signature: bytes


def sign(roster: Roster, authority: PrivateKey) -> bytes:
    """The roster, signed. Raises TrustError for what no reader would take."""
    signed = pack((ROSTER_VERSION, *(roster if roster.policies else roster[:-1])))
    encoded = pack((signed, authority.sign(keys.ROSTER, signed)))
    read_roster(encoded)
    return encoded


def taken_apart(encoded: bytes) -> tuple[bytes, bytes]:
    """What a roster says, packed, and its signature; nothing of it is decoded. Raises TrustError."""
    if type(encoded) is not bytes:
        raise _malformed("not a roster", "bytes", shown(encoded))
    outer = decoded(encoded, MAX_ROSTER, 2, "a roster")
    if len(outer) != 2 or not all(type(part) is bytes for part in outer) or len(outer[1]) != SIGNATURE_BYTES:
        raise _malformed("not a roster", "content and a signature", shown(outer))
    return outer[0], outer[1]


def read_roster(encoded: bytes) -> EncodedRoster:
    """Take a roster apart and check its form; nothing is believed of it yet, nor of its members. Raises TrustError."""
    signed, signature = taken_apart(encoded)
    value = decoded(signed, MAX_ROSTER, MAX_MEMBERS, "a roster")
    if len(value) not in (_FIELDS, _FIELDS + 1) or not is_version(value[0], ROSTER_VERSION):
        raise _malformed(
            "not a roster of this version", f"{_FIELDS} fields, version {ROSTER_VERSION}", shown(value)
        )
    zone, version, issuer, time, members, revoked, tombstones = value[1:_FIELDS]
    policies = value[_FIELDS] if len(value) > _FIELDS else ()
    check_names("roster", zone)
    if not (is_time(version) and version and is_time(time)):
        raise _malformed("a wrong version", "a number from 1 on, and a time", shown((version, time)))
    _check_id(issuer)
    if type(members) is not tuple or not all(
        type(item) is bytes and len(item) <= MAX_CERTIFICATE for item in members
    ):
        raise _malformed("wrong members", f"certificates of at most {MAX_CERTIFICATE} bytes", shown(members))
    if type(revoked) is not tuple or type(tombstones) is not tuple:
        raise _malformed("a malformed roster", "lists of revoked keys and of tombstones", shown(value))
    if (
        type(policies) is not tuple
        or len(policies) > MAX_POLICIES
        or not all(type(item) is bytes and len(item) <= MAX_POLICY for item in policies)
    ):
        expected = f"at most {MAX_POLICIES} policies of at most {MAX_POLICY} bytes"
        raise _malformed("wrong policies", expected, shown(policies))
    return EncodedRoster(
        Roster(
            zone,
            version,
            issuer,
            time,
            members,
            tuple(_revocation(item) for item in revoked),
            tuple(_tombstone(item) for item in tombstones),
            policies,
        ),
        signed,
        signature,
    )


def check_number(roster: Roster, now: int) -> None:
    """Raises TrustError for a roster that is numbered as one of the future."""
    most = now // 1_000_000_000 + AHEAD
    if roster.version > most:
        raise TrustError(
            f"the roster of {roster.zone} is numbered as one of the future",
            reason=reasons.EARLY,
            expected=f"a number up to {most}: seconds since 1970, and a week",
            found=str(roster.version),
            hint="Set the clock of this host, if it is wrong",
        )


def _revocation(value: Any) -> Revocation:
    if type(value) is not tuple or len(value) != 3 or not is_time(value[1]) or not _is_reason(value[2]):
        raise _malformed("a malformed revocation", "the id of a key, a time and a reason", shown(value))
    _check_id(value[0])
    return Revocation(*value)


def _tombstone(value: Any) -> Tombstone:
    if type(value) is not tuple or len(value) != 4 or not is_time(value[2]):
        raise _malformed(
            "a malformed tombstone", "a role, a name, a time and a name or nothing", shown(value)
        )
    role, name, _time, successor = value
    if type(role) is not str or role not in ROLES or type(successor) is not str:
        raise _malformed("a malformed tombstone", "a role that there is", shown(value))
    check_names(name, "any")
    if successor:
        check_names(successor, "any")
    return Tombstone(*value)


def _is_reason(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_REASON


def _check_id(value: Any) -> None:
    if type(value) is not bytes or len(value) != ID_BYTES:
        raise _malformed("not the id of a key", f"{ID_BYTES} bytes", shown(value))


def _malformed(what: str, expected: str, found: str) -> TrustError:
    return TrustError(what, reason=reasons.MALFORMED, expected=expected, found=found)
