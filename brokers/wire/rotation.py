"""The word of a node's old key for the new one: it stands in the opening of the first epoch that the new key signs.

So both keys sign that record, and each epoch of a journal leads to the one before it also where another key opened it. It
says what the old key was told to continue: the new key, the new epoch, and where its own last epoch ended.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tabard.brokers.wire.batch import EPOCH_BYTES
from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.digests import DIGEST_BYTES
from tabard.errors import WireError

ROTATION_VERSION: Final = 1
MAX_PROOF: Final = 512
"""Bytes of a proof as a store keeps it."""
_ID: Final = 16
_SIGNATURE: Final = 64
_FIELDS: Final = 7


class Rotation(NamedTuple):
    """What the old key signed, as an opening has it."""

    former: bytes
    """The id of the old key."""
    key_id: bytes
    """The id of the new one."""
    signature: bytes
    """The old key's, over `rotation_words`."""


class Proof(NamedTuple):
    """What is kept with the first batch of an epoch that another key opened than the one before it."""

    rotation: Rotation | None
    """None: the old key had no say, since it was lost, or there was none."""
    previous: bytes
    """The epoch before it."""
    previous_last: int
    previous_digest: bytes


def rotation_words(
    key_id: bytes, epoch: bytes, previous: bytes, previous_last: int, previous_digest: bytes
) -> bytes:
    """What the old key signs: that `key_id` goes on in `epoch`, after `previous`, which ended so."""
    return pack((ROTATION_VERSION, key_id, epoch, previous, previous_last, previous_digest))


def rotation_of(value: Any) -> Rotation | None:
    """The field ``rotation`` of an opening; None where there is none. Raises WireError."""
    if value is None:
        return None
    sizes = (_ID, _ID, _SIGNATURE)
    if not (
        isinstance(value, (tuple, list))
        and len(value) == len(sizes)
        and all(
            isinstance(each, bytes) and len(each) == size for each, size in zip(value, sizes, strict=True)
        )
    ):
        raise WireError("a wrong rotation", expected="two ids of keys and a signature", found=shown(value))
    return Rotation(*value)


def encode_proof(proof: Proof) -> bytes:
    """The bytes that a store keeps."""
    former, key_id, signature = proof.rotation or (b"", b"", b"")
    return pack((ROTATION_VERSION, former, key_id, signature, *proof[1:]))


def decode_proof(data: bytes) -> Proof:
    """What a store kept. Raises WireError."""
    value = unpack(data, limit=MAX_PROOF, items=_FIELDS, maps=False)
    if not isinstance(value, tuple) or len(value) != _FIELDS or not is_version(value[0], ROTATION_VERSION):
        raise WireError(
            "a proof of a rotation of an unknown version", expected=f"{_FIELDS} fields", found=shown(value)
        )
    rotation = rotation_of(value[1:4]) if value[1] else None
    previous, last, digest = value[4:]
    fits = (
        isinstance(previous, bytes)
        and len(previous) == EPOCH_BYTES
        and type(last) is int
        and isinstance(digest, bytes)
        and len(digest) == DIGEST_BYTES
    )
    if not fits:
        raise WireError("a damaged proof of a rotation", expected="epoch, number, digest", found=shown(value))
    return Proof(rotation, previous, last, digest)
