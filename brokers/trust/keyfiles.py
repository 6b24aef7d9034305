"""The file of one key: the secret, its certificates, and the key before it while what that signed is on its way. Pure.

Secret and certificates are in one file, so that a power cut cannot leave one without the other.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import (
    MAX_CERTIFICATE,
    ROLES,
    ZONE,
    Certificate,
    check_names,
    decoded,
    is_time,
    read,
)
from tabard.brokers.trust.directory import MAX_CHAIN
from tabard.brokers.trust.keys import KEY_BYTES, PrivateKey
from tabard.brokers.wire.codec import is_version, pack
from tabard.errors import TrustError

MAGIC: Final = b"tabard key\n"
KEY_FILE_VERSION: Final = 1
MAX_KEY_FILE: Final = len(MAGIC) + 2 * (MAX_CHAIN * (MAX_CERTIFICATE + 8) + KEY_BYTES) + 2_048
_FIELDS: Final = 7


class KeyFile(NamedTuple):
    """A key of this home."""

    role: str
    path: str
    """The name of its owner; of a zone its path."""
    made: int
    """When it came to this home, in nanoseconds since 1970."""
    key: PrivateKey
    chain: tuple[bytes, ...]
    """Encoded certificates from below the root down to its own; empty for a root."""
    former: PrivateKey | None = None
    """The key before the last rotation."""

    @property
    def certificate(self) -> Certificate | None:
        """Its own certificate; None for a root, which is pinned."""
        return read(self.chain[-1]).certificate if self.chain else None


def encode_key(file: KeyFile) -> bytes:
    """The bytes of the file: a secret."""
    return MAGIC + pack(plain(file))


def plain(file: KeyFile) -> tuple[Any, ...]:
    """The file as plain values: a secret."""
    former = file.former.seed if file.former else b""
    return (KEY_FILE_VERSION, file.role, file.path, file.made, file.key.seed, tuple(file.chain), former)


def decode_key(data: bytes, where: str) -> KeyFile:
    """Read the bytes of a file. Raises TrustError, which never shows what was found: it may be a secret."""
    if not data.startswith(MAGIC) or len(data) > MAX_KEY_FILE:
        raise _malformed(where, "a key as tabard init and tabard join write it")
    return of_plain(decoded_secret(data[len(MAGIC) :], MAX_KEY_FILE, _FIELDS, where), where)


def of_plain(value: Any, where: str) -> KeyFile:
    """Check the plain values of a key. Raises TrustError."""
    if type(value) is not tuple or len(value) != _FIELDS or not is_version(value[0], KEY_FILE_VERSION):
        raise _malformed(where, f"{_FIELDS} fields, version {KEY_FILE_VERSION}")
    _version, role, path, made, seed, chain, former = value
    if type(role) is not str or role not in ROLES or not is_time(made):
        raise _malformed(where, "a role that there is, and a time")
    check_names(*(("zone", path) if role == ZONE else (path, "zone")))
    if type(chain) is not tuple or len(chain) > MAX_CHAIN or not all(type(part) is bytes for part in chain):
        raise _malformed(where, f"at most {MAX_CHAIN} certificates")
    if type(seed) is not bytes or len(seed) != KEY_BYTES or type(former) is not bytes:
        raise _malformed(where, f"a key of {KEY_BYTES} bytes")
    key = PrivateKey.from_seed(seed)
    found = KeyFile(role, path, made, key, chain, PrivateKey.from_seed(former) if former else None)
    own = found.certificate
    if own is not None and (own.role, own.path, own.key) != (role, path, key.public):
        raise TrustError(
            "a key with the certificate of another one",
            reason=reasons.FORGED,
            expected=f"a certificate of {role} {path}",
            found=str(own),
            where=where,
        )
    return found


def decoded_secret(data: bytes, limit: int, items: int, where: str) -> tuple[Any, ...]:
    """The same as `certificates.decoded`, without a word of what was found."""
    try:
        return decoded(data, limit, items, "a file of keys")
    except TrustError:
        raise _malformed(where, "a file that is whole") from None


def _malformed(where: str, expected: str) -> TrustError:
    return TrustError(
        "not a file of keys, or damaged",
        reason=reasons.MALFORMED,
        expected=expected,
        found="something else",
        where=where,
        hint="Put it back from a backup, or have a new key made: tabard keys rotate",
    )
