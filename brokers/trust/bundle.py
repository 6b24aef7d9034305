"""The file that is carried from an authority to another home: the root, the rosters, and the keys made for that home. Pure.

Without keys it is no secret and brings newer rosters; with keys it is one, until `tabard join` has taken it in.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import MAX_CERTIFICATE
from tabard.brokers.trust.keyfiles import KeyFile, decoded_secret, of_plain, plain
from tabard.brokers.trust.rosters import MAX_ROSTER
from tabard.brokers.wire.codec import is_version, pack
from tabard.errors import TrustError

MAGIC: Final = b"tabard bundle\n"
BUNDLE_VERSION: Final = 1
MAX_KEYS: Final = 64
MAX_ROSTERS: Final = 1_000
MAX_BUNDLE: Final = 8 * MAX_ROSTER
"""Bytes of the file."""
_FIELDS: Final = 4


class Bundle(NamedTuple):
    """What a home is given."""

    root: bytes
    rosters: tuple[bytes, ...]
    """Those of outer zones after those above them."""
    keys: tuple[KeyFile, ...] = ()


def encode_bundle(bundle: Bundle) -> bytes:
    """The bytes of the file; a secret if there are keys in it."""
    return MAGIC + pack(
        (BUNDLE_VERSION, bundle.root, bundle.rosters, tuple(plain(key) for key in bundle.keys))
    )


def decode_bundle(data: bytes, where: str) -> Bundle:
    """Take the file apart and check its form; nothing is believed of it yet. Raises TrustError, without what was found."""
    if not data.startswith(MAGIC) or len(data) > MAX_BUNDLE:
        raise _malformed(where, "a file as tabard node add or tabard keys roster write it")
    value = decoded_secret(data[len(MAGIC) :], MAX_BUNDLE, MAX_ROSTERS, where)
    if len(value) != _FIELDS or not is_version(value[0], BUNDLE_VERSION):
        raise _malformed(where, f"{_FIELDS} fields, version {BUNDLE_VERSION}")
    _version, root, rosters, keys = value
    if type(root) is not bytes or len(root) > MAX_CERTIFICATE:
        raise _malformed(where, "the certificate of a root")
    if type(rosters) is not tuple or not all(
        type(each) is bytes and len(each) <= MAX_ROSTER for each in rosters
    ):
        raise _malformed(where, "rosters")
    if type(keys) is not tuple or len(keys) > MAX_KEYS:
        raise _malformed(where, f"at most {MAX_KEYS} keys")
    return Bundle(root, rosters, tuple(of_plain(each, where) for each in keys))


def _malformed(where: str, expected: str) -> TrustError:
    return TrustError(
        "not a bundle of keys and rosters, or damaged",
        reason=reasons.MALFORMED,
        expected=expected,
        found="something else",
        where=where,
        hint="Carry it over again",
    )
