"""Identities: Ed25519 keys, the id by which a key is named, and the CURVE pair that is derived from each.

One key serves for signing and for connections, so a role has one secret to keep. What is signed begins with its context,
so that a signature of one kind of thing is none of another. A private key never shows itself: not in ``repr``, not in an
error, and it cannot be copied into another process by accident.
"""

from __future__ import annotations

import base64
import functools
import os
from typing import Final, NamedTuple, NoReturn

from nacl.bindings.crypto_box import crypto_box_seal, crypto_box_seal_open
from nacl.bindings.crypto_sign import (
    crypto_sign,
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.bindings.sodium_core import sodium_init
from nacl.exceptions import CryptoError

from tabard.brokers.trust import reasons
from tabard.digests import blake2b
from tabard.errors import TrustError

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
ID_BYTES: Final = 16
CURVE_CHARACTERS: Final = 40
"""Characters of a CURVE key in Z85, as ZeroMQ takes it."""

CERTIFICATE: Final = b"certificate"
HOLDER: Final = b"holder"
"""The word of a certificate's own key that it bears this name: nobody is certified with somebody else's key."""
ROSTER: Final = b"roster"
WIRE: Final = b"wire"
"""Heads of batches, beacons, cursors, hellos and words that a sink is retired."""
ROTATION: Final = b"rotation"
POLICY: Final = b"policy"
ATTESTATION: Final = b"attestation"
"""The word of a broker that it changed a body as a policy of its zone says."""
COMMAND: Final = b"command"
"""An operator's word on a document that says what one node is to do, for life."""
CONTEXTS: Final = frozenset({CERTIFICATE, HOLDER, ROSTER, WIRE, ROTATION, POLICY, ATTESTATION, COMMAND})

# Z85 is base 85 like that of RFC 1924, in another alphabet.
_RFC1924: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_TO_Z85: Final = bytes.maketrans(_RFC1924, _Z85)

sodium_init()  # The package nacl.bindings does that, which roles defer (`tabard.deferred`). Once more does no harm.


class PublicKey(NamedTuple):
    """The half of a key that everybody may know."""

    raw: bytes
    """32 bytes."""

    @property
    def key_id(self) -> bytes:
        """16 bytes that name the key: its BLAKE2b digest."""
        return _key_id(self.raw)

    @property
    def curve(self) -> bytes:
        """The same key for connections: Z85, 40 characters. Raises TrustError when the bytes are no key."""
        return _curve(self.raw)

    def box(self, data: bytes) -> bytes:
        """``data`` in a box that only the other half of this key opens. Raises TrustError when the bytes are no key.

        It does not say who made it: what is in it has to.
        """
        return crypto_box_seal(data, _montgomery(self.raw))

    def verifies(self, context: bytes, data: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's over ``data``, made for ``context``."""
        if len(self.raw) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
            return False
        try:
            crypto_sign_open(signature + _framed(context, data), self.raw)
        except CryptoError:
            return False
        return True


class PrivateKey:
    """The half of a key that its owner alone has."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if type(seed) is not bytes or len(seed) != KEY_BYTES:
            raise TrustError(  # without the bytes: they may be most of a key
                "not the seed of a key",
                reason=reasons.MALFORMED,
                expected=f"{KEY_BYTES} bytes",
                found="something else",
            )
        raw, self._secret = crypto_sign_seed_keypair(seed)
        self.public: Final = PublicKey(raw)

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new key of the system's randomness."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> PrivateKey:
        """The key of a seed of 32 bytes. Raises TrustError for anything else."""
        return cls(seed)

    @property
    def seed(self) -> bytes:
        """The 32 bytes that are the secret, for a file that only its owner can read."""
        return bytes(self._secret[:KEY_BYTES])

    def curve_pair(self) -> tuple[bytes, bytes]:
        """Public and secret key of this identity for connections, in Z85."""
        secret = crypto_sign_ed25519_sk_to_curve25519(self._secret)
        return self.public.curve, z85(secret)

    def unbox(self, box: bytes) -> bytes | None:
        """What is in a box that was made for this key; None where it is for another one, or altered."""
        try:
            return crypto_box_seal_open(
                box, _montgomery(self.public.raw), crypto_sign_ed25519_sk_to_curve25519(self._secret)
            )
        except CryptoError:
            return None

    def sign(self, context: bytes, data: bytes) -> bytes:
        """The signature of ``data`` for ``context``, 64 bytes."""
        return bytes(crypto_sign(_framed(context, data), self._secret)[:SIGNATURE_BYTES])

    def __repr__(self) -> str:
        return f"PrivateKey({shown_id(self.public.key_id)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not copied out of its process")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)


def z85(data: bytes) -> bytes:
    """``data``, a multiple of four bytes, as ZeroMQ writes keys."""
    return base64.b85encode(data).translate(_TO_Z85)


def shown_id(key_id: bytes) -> str:
    """A key's id as people see and type it: 32 hexadecimal digits."""
    return key_id.hex()


def is_key(raw: bytes) -> bool:
    """Whether the bytes are a public key that can sign and connect: a point of the curve, and not of a small order."""
    try:
        _curve(raw)
    except TrustError:
        return False
    return True


def _framed(context: bytes, data: bytes) -> bytes:
    if context not in CONTEXTS:
        raise ValueError(f"not a context of signatures: {context!r}")
    return b"tabard " + context + b"\0" + data


@functools.lru_cache(maxsize=4_096)
def _key_id(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=ID_BYTES).digest()


@functools.lru_cache(maxsize=4_096)
def _curve(raw: bytes) -> bytes:
    return z85(_montgomery(raw))


def _montgomery(raw: bytes) -> bytes:
    """The key in the form in which it is agreed upon with others."""
    try:
        return crypto_sign_ed25519_pk_to_curve25519(raw)
    except CryptoError as error:
        raise TrustError(
            "not a public key",
            reason=reasons.MALFORMED,
            expected="a point of the curve Ed25519",
            found=f"{len(raw)} bytes",
        ) from error
