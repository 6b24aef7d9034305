"""Certificates: an authority's word that a key bears a name in a zone, what it may do, and how long.

The key of a zone is the *authority* of that zone. It certifies what lies in its zone: hosts' keys of the zone itself and the
keys of the zones right below it, nothing else. The key of the root zone certifies itself; it is pinned, never looked up.

Each certificate carries the word of its own key too (the *holder's* word), so that an authority cannot give a key of
somebody else another name, and with it take that key's messages for its own zone's.
"""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

from tabard.brokers.trust import keys, reasons
from tabard.brokers.trust.keys import ID_BYTES, KEY_BYTES, SIGNATURE_BYTES, PrivateKey, PublicKey
from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.errors import TabardError, TrustError, WireError
from tabard.names import check_node, check_sink, check_zone, zone_within

CERTIFICATE_VERSION: Final = 1
MAX_CERTIFICATE: Final = 4_096
"""Bytes of one certificate with its signatures."""
MAX_SINKS: Final = 16

ZONE: Final = "zone"
NODE: Final = "node"
BROKER: Final = "broker"
RECORDER: Final = "recorder"
DISPATCHER: Final = "dispatcher"
OPERATOR: Final = "operator"
ROLES: Final = (ZONE, NODE, BROKER, RECORDER, DISPATCHER, OPERATOR)

_FIELDS: Final = 11
_LAST: Final = 2**63 - 1
"""The latest time, in nanoseconds: what 64 bits hold."""


class Certificate(NamedTuple):
    """What an authority says of a key."""

    role: str
    name: str
    """Of a host's key the name of its node, broker, ...; of a zone's the last name of its path."""
    zone: str
    """The zone it lies in; of a zone's key the zone itself."""
    key: PublicKey
    issuer: bytes
    """The id of the authority's key."""
    serial: int
    """Rises with every certificate of an authority; the newest of a name is the one with the highest."""
    since: int
    """Nanoseconds since 1970; before that it is not valid yet."""
    until: int
    """Nanoseconds since 1970; from then on it is not valid any more."""
    sinks: tuple[str, ...] = ()
    """Of a recorder the sink it works for, of a node those whose cursors it honours."""
    commands: bool = False
    """Whether it may give commands, or of a node: take them."""

    @property
    def key_id(self) -> bytes:
        """The id of its key."""
        return self.key.key_id

    @property
    def place(self) -> str:
        """The zone whose authority answers for it: its own, or of a zone's key the one above. Empty for a root."""
        return self.zone.rpartition("/")[0] if self.role == ZONE else self.zone

    @property
    def path(self) -> str:
        """How people name it: the path of a zone, the name of a node."""
        return self.zone if self.role == ZONE else self.name

    def __str__(self) -> str:
        return f"{self.role} {self.path}" if self.role == ZONE else f"{self.role} {self.name} of {self.zone}"


class Encoded(NamedTuple):
    """A certificate as it travels, taken apart: what was signed, and by whom it says it was."""

    certificate: Certificate
    signed: bytes
    signature: bytes
    """The authority's, over ``signed``."""
    holder: bytes
    """The certificate's own key's, over `holder_word`."""


def holder_word(role: str, name: str, zone: str, key: PublicKey) -> bytes:
    """What a key signs to say that it bears this name: the same for every certificate of it, so a renewal needs no key."""
    return pack((CERTIFICATE_VERSION, role, name, zone, key.raw))


def held(certificate: Certificate, key: PrivateKey) -> bytes:
    """The word of a certificate's own key."""
    return key.sign(keys.HOLDER, holder_word(*certificate[:4]))


def issue(certificate: Certificate, authority: PrivateKey, holder: PrivateKey | bytes | None = None) -> bytes:
    """The certificate, signed by ``authority``; ``holder`` is the certified key itself or its word (see `held`).

    It is left out where an authority certifies itself. Raises TrustError for what no reader would take.
    """
    word = (
        held(certificate, authority if holder is None else holder)
        if not isinstance(holder, bytes)
        else holder
    )
    signed = pack(_plain(certificate))
    encoded = pack((signed, authority.sign(keys.CERTIFICATE, signed), word))
    found = read(encoded)
    if certificate.issuer != authority.public.key_id or not found.certificate.key.verifies(
        keys.HOLDER, holder_word(*certificate[:4]), word
    ):
        raise TrustError(
            "not a certificate of this authority",
            reason=reasons.FORGED,
            expected="its id as issuer, and the word of the certified key",
            found=f"issuer {keys.shown_id(certificate.issuer)} for {certificate}",
        )
    return encoded


def read(encoded: bytes) -> Encoded:
    """Take a certificate apart and check its form; nothing is believed of it yet. Raises TrustError."""
    if type(encoded) is not bytes or len(encoded) > MAX_CERTIFICATE:
        raise _malformed("a certificate is too large", f"at most {MAX_CERTIFICATE} bytes", shown(encoded))
    outer = decoded(encoded, MAX_CERTIFICATE, 3, "a certificate")
    if len(outer) != 3 or not all(type(part) is bytes for part in outer):
        raise _malformed("not a certificate", "content and two signatures", shown(outer))
    signed, signature, holder = outer
    if len(signature) != SIGNATURE_BYTES or len(holder) != SIGNATURE_BYTES:
        raise _malformed(
            "a wrong signature", f"{SIGNATURE_BYTES} bytes", f"{len(signature)} and {len(holder)}"
        )
    return Encoded(
        _certificate(decoded(signed, MAX_CERTIFICATE, MAX_SINKS, "a certificate")), signed, signature, holder
    )


def verify(found: Encoded, authority: Certificate) -> None:
    """Check that ``authority`` certified it and may, by its place in the tree; times are another matter.

    Raises TrustError.
    """
    certificate = found.certificate
    if authority.role != ZONE:
        raise TrustError(
            "only a zone's key certifies",
            reason=reasons.EXCEEDS,
            expected="a certificate by a zone's key",
            found=f"{certificate} by {authority}",
        )
    if certificate.place != authority.zone:
        raise TrustError(
            "an authority exceeds its zone",
            reason=reasons.EXCEEDS,
            expected=f"what lies in {authority.zone}, or a zone right below it",
            found=f"{certificate} by {authority}",
        )
    _check_signatures(found, authority)


def verify_root(found: Encoded) -> None:
    """Check that it is the certificate of a zone that certifies itself. Raises TrustError."""
    if found.certificate.role != ZONE:
        raise TrustError(
            "not the certificate of a root",
            reason=reasons.EXCEEDS,
            expected="that of a zone's key",
            found=str(found.certificate),
        )
    _check_signatures(found, found.certificate)


def check_succession(found: Encoded, root: Certificate) -> None:
    """Check that a root named its successor: a new key for its own zone, which only it may certify. Raises TrustError."""
    if found.certificate.role != ZONE or found.certificate.zone != root.zone:
        raise TrustError(
            "not a succession of the root",
            reason=reasons.EXCEEDS,
            expected=f"a certificate of {root}",
            found=str(found.certificate),
        )
    _check_signatures(found, root)


def _check_signatures(found: Encoded, authority: Certificate) -> None:
    certificate = found.certificate
    if certificate.issuer != authority.key_id or not authority.key.verifies(
        keys.CERTIFICATE, found.signed, found.signature
    ):
        raise TrustError(
            "a certificate was not signed by its authority",
            reason=reasons.FORGED,
            expected=f"a signature by {authority}",
            found=str(certificate),
        )
    if not certificate.key.verifies(keys.HOLDER, holder_word(*certificate[:4]), found.holder):
        raise TrustError(
            "a certificate lacks the word of its own key",
            reason=reasons.FORGED,
            expected="a signature by the certified key",
            found=str(certificate),
        )


def check_time(certificate: Certificate, now: int) -> None:
    """Raises TrustError outside of its time; ``now`` in nanoseconds since 1970."""
    if now < certificate.since:
        raise TrustError(
            f"the certificate of {certificate} is not valid yet",
            reason=reasons.EARLY,
            expected=f"a time from {when(certificate.since)} on",
            found=when(now),
            hint="Set the clock of this host, if it is wrong",
        )
    if now >= certificate.until:
        raise TrustError(
            f"the certificate of {certificate} has expired",
            reason=reasons.EXPIRED,
            expected=f"a time before {when(certificate.until)}",
            found=when(now),
            hint="Make it a new key where its zone's authority is: tabard keys rotate",
        )


def honours(node: Certificate, recorder: Certificate) -> bool:
    """Whether a node may believe a recorder's cursors: of a sink that both were certified for, in its zone or above it."""
    return (
        (node.role, recorder.role) == (NODE, RECORDER)
        and zone_within(node.zone, recorder.zone)
        and not set(node.sinks).isdisjoint(recorder.sinks)
    )


def when(time: int) -> str:
    """A time for people, to the second, in UTC."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(time // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{time} ns"


def decoded(data: bytes, limit: int, items: int, what: str) -> tuple[Any, ...]:
    """An array of plain values without maps, at most ``limit`` bytes and ``items`` elements an array. Raises TrustError."""
    try:
        value = unpack(data, limit=limit, items=max(items, _FIELDS), maps=False)
    except WireError as error:
        raise _malformed(
            f"{what} cannot be decoded", error.expected or "plain values", error.found or str(error)
        ) from error
    if type(value) is not tuple:
        raise _malformed(f"not {what}", "an array", shown(value))
    return value


def is_time(value: Any) -> bool:
    """Whether it is a time or a number that rises, as 64 bits hold it."""
    return type(value) is int and 0 <= value <= _LAST


def _plain(certificate: Certificate) -> tuple[Any, ...]:
    role, name, zone, key, issuer, serial, since, until, sinks, commands = certificate
    return (
        CERTIFICATE_VERSION,
        role,
        name,
        zone,
        key.raw,
        issuer,
        serial,
        since,
        until,
        tuple(sinks),
        commands,
    )


def _certificate(value: tuple[Any, ...]) -> Certificate:
    if len(value) != _FIELDS or not is_version(value[0], CERTIFICATE_VERSION):
        raise _malformed(
            "not a certificate of this version",
            f"{_FIELDS} fields, version {CERTIFICATE_VERSION}",
            shown(value),
        )
    role, name, zone, raw, issuer, serial, since, until, sinks, commands = value[1:]
    if role not in ROLES or type(role) is not str:
        raise _malformed("an unknown role", "one of " + ", ".join(ROLES), shown(role))
    check_names(name, zone)
    if role == ZONE and zone.rpartition("/")[2] != name:
        raise _malformed(
            "a zone's certificate under another name", "the last name of its path", shown((name, zone))
        )
    if type(raw) is not bytes or len(raw) != KEY_BYTES or not keys.is_key(raw):
        raise _malformed("not a public key", "a point of the curve Ed25519", shown(raw))
    if type(issuer) is not bytes or len(issuer) != ID_BYTES:
        raise _malformed("not the id of a key", f"{ID_BYTES} bytes", shown(issuer))
    if not (is_time(serial) and is_time(since) and is_time(until) and since < until):
        raise _malformed("a wrong time", "serial, since and a later until", shown((serial, since, until)))
    if type(sinks) is not tuple or len(sinks) > MAX_SINKS or type(commands) is not bool:
        raise _malformed("wrong rights", f"at most {MAX_SINKS} sinks, and a truth", shown((sinks, commands)))
    for sink in sinks:
        _checked(check_sink, sink)
    if role == RECORDER and len(sinks) != 1:
        raise _malformed("a recorder of not one sink", "exactly one sink", shown(sinks))
    # Most are of few zones: a home that knows thousands of hosts keeps what they have in common once.
    return Certificate(
        _once(role),
        name,
        _once(zone),
        PublicKey(raw),
        _once(issuer),
        serial,
        since,
        until,
        _once(sinks),
        commands,
    )


@functools.lru_cache(maxsize=1_024)
def _once(value: Any) -> Any:
    """The one that was equal to it and came first."""
    return value


def check_names(name: Any, zone: Any) -> None:
    """Raises TrustError unless they are a name and the path of a zone."""
    _checked(check_node, name)
    _checked(check_zone, zone)


def _checked(check: Any, value: Any) -> None:
    try:
        check(value)
    except (TabardError, TypeError, AttributeError) as error:  # the latter for what is no text
        raise _malformed("not a name", "names of a-z 0-9 . _ -", shown(value)) from error


def _malformed(what: str, expected: str, found: str) -> TrustError:
    return TrustError(what, reason=reasons.MALFORMED, expected=expected, found=found)
