"""The batch: cut once on the node, signed once, replayed byte for byte.

Its header is the signed unit; the body is bound to it by a digest. Every header names the digest of
the one before it in its epoch and stream, so that only an equal digest is a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.digests import DIGEST_BYTES, digest
from tabard.errors import WireError
from tabard.records import MAX_BODY

BATCH_VERSION: Final = 1
EPOCH_BYTES: Final = 16
NO_DIGEST: Final = b"\0" * DIGEST_BYTES
"""What an epoch's first header names as its predecessor."""

OPEN: Final = 1
DATA: Final = 2
GAP: Final = 3
KINDS: Final = frozenset({OPEN, DATA, GAP})

ATTESTED: Final = b"\x93\x01"
"""What a body begins with that was changed at a boundary, see `attested`; any other is a map or an array of arrays."""

MAX_SEQ: Final = 2**62
_FIELDS: Final = 9
_RANDOM: Final = 8
"""Bytes of a signed epoch's name that are random; the others say which key signs it."""


class Header(NamedTuple):
    """What a batch says of itself. `first` to `last` are its sequence numbers."""

    stream: int
    kind: int
    epoch: bytes
    key_id: bytes
    first: int
    count: int  # type: ignore[assignment]  # the field, not tuple.count
    body_digest: bytes
    previous: bytes

    @property
    def last(self) -> int:
        """The sequence number of the last record."""
        return self.first + self.count - 1


class Batch(NamedTuple):
    """A frame of the journal as it travels: header bytes, signature, body, and the header decoded."""

    header: Header
    head: bytes
    signature: bytes
    body: bytes

    @property
    def digest(self) -> bytes:
        """The identity of the batch: equal digests are the same batch."""
        return digest(self.head)

    @property
    def size(self) -> int:
        """Bytes that count against byte credit and quotas."""
        return len(self.head) + len(self.signature) + len(self.body)


def random_epoch(entropy: Callable[[int], bytes]) -> bytes:
    """A new name of an epoch that is not signed."""
    return entropy(EPOCH_BYTES)


def epoch_of(key_id: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """A new name of an epoch that the key `key_id` signs."""
    random = entropy(_RANDOM)
    return random + _mark_of(key_id, random)


def is_epoch_of(epoch: bytes, key_id: bytes) -> bool:
    """Whether the key `key_id` opened an epoch: its name says so, and no other key can have it."""
    return epoch[_RANDOM:] == _mark_of(key_id, epoch[:_RANDOM])


def _mark_of(key_id: bytes, random: bytes) -> bytes:
    return digest(b"epoch" + random + key_id)[: EPOCH_BYTES - _RANDOM]


def encode_header(header: Header) -> bytes:
    """The signed bytes of `header`."""
    return pack((BATCH_VERSION, *header))


def decode_header(head: bytes) -> Header:
    """Check and decode a header.

    Raises:
        WireError: unknown version, wrong width, types or ranges.
    """
    value = unpack(head, limit=512, items=16, maps=False)
    if not isinstance(value, tuple) or not value:
        raise WireError("a batch header is not a list", expected="a list", found=type(value).__name__)
    if not is_version(value[0], BATCH_VERSION):
        raise WireError(
            "a batch header of an unknown version",
            expected=f"version {BATCH_VERSION}",
            found=shown(value[0]),
        )
    if len(value) != _FIELDS:
        raise WireError(
            "a batch header of a wrong width", expected=f"{_FIELDS} fields", found=f"{len(value)} fields"
        )
    header = Header(*value[1:])
    _check(header)
    return header


def _check(header: Header) -> None:
    stream, kind, epoch, key_id, first, count, body_digest, previous = header
    numbers: tuple[Any, ...] = (stream, kind, first, count)
    if not all(type(number) is int for number in numbers):
        raise WireError("a batch header with a wrong type", expected="integers", found=shown(numbers))
    if stream not in STREAM_NAMES or kind not in KINDS:
        raise WireError("a batch of an unknown stream or kind", expected="1 to 3", found=f"{stream}, {kind}")
    if not (first >= 1 and count >= 1 and first + count - 1 <= MAX_SEQ):
        raise WireError(
            "a batch with a range out of bounds", expected=f"1 to {MAX_SEQ}", found=f"{first} + {count}"
        )
    blobs = ((epoch, EPOCH_BYTES), (body_digest, DIGEST_BYTES), (previous, DIGEST_BYTES))
    if not all(isinstance(blob, bytes) and len(blob) == size for blob, size in blobs):
        raise WireError(
            "a batch header with a digest or epoch of a wrong size",
            expected="16, 32, 32 bytes",
            found="other",
        )
    if not isinstance(key_id, bytes) or len(key_id) > DIGEST_BYTES:
        raise WireError("a batch header with a wrong key id", expected="up to 32 bytes", found=shown(key_id))


def seal_batch(header: Header, body: bytes, sign: Any) -> Batch:
    """Put a batch together; `header.body_digest` must be that of `body` (see `body_digest`)."""
    head = encode_header(header)
    return Batch(header, head, sign(head), body)


def body_digest(body: bytes) -> bytes:
    """The digest of a body, as its header names it."""
    return digest(body)


def check_batch(head: bytes, signature: bytes, body: bytes) -> Batch:
    """Decode a received batch and check the body against its header (not the signature).

    Raises:
        WireError: a header that is none, a body too large, or one that its header does not name.
    """
    header = decode_header(head)
    if len(body) > MAX_BODY:
        raise WireError(
            "a batch body is too large", expected=f"at most {MAX_BODY} bytes", found=f"{len(body)} bytes"
        )
    if digest(body) != header.body_digest:
        raise WireError(
            "a batch body that its header does not name", expected="the digest in the header", found="another"
        )
    return Batch(header, head, signature, body)
