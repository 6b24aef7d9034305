"""The bytes of one frame in a segment, and how to find frames among damage.

A frame is a fixed prefix, then header, signature, marks and body::

    magic 4 | kind 1 | signature length 1 | header length 2 | marks length 4 | body length 4 |
    first 8 | width 8 | kept 8 (journal time, ms) | crc32 of header, signature, marks 4 |
    crc32 of the 44 bytes before 4                                     (all big-endian)

The body needs no checksum of its own: the header names its digest, and the header is under the crc.
The prefix says the length and the range even of a frame whose content is ruined.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from tabard.brokers.wire.batch import KINDS, NO_DIGEST, Batch, check_batch, decode_header
from tabard.digests import digest
from tabard.errors import WireError

MAGIC: Final = b"\x9eTbF"
_FRONT: Final = Struct(">4sBBHIIQQQI")
_CRC_BYTES: Final = 4
PREFIX_BYTES: Final = _FRONT.size + _CRC_BYTES

HEAD: Final = 0x40
"""Kind of the frame that begins a segment: what the segment holds (see `segment`)."""
MARKS: Final = 0x41
"""Kind of the frame after it: every intake source's mark at that moment."""
CLOSE: Final = 0x42
"""Kind of the frame that ends a journal which was closed in order."""


class Prefix(NamedTuple):
    """The fixed part of a frame: kind, the lengths of its parts, and what it covers."""

    kind: int
    signature: int
    head: int
    marks: int
    body: int
    first: int
    width: int
    """Sequence numbers it covers."""
    kept: int
    """Journal time at which it was written, milliseconds."""
    crc: int

    @property
    def length(self) -> int:
        """Bytes of the whole frame."""
        return PREFIX_BYTES + self.signature + self.head + self.marks + self.body

    @property
    def last(self) -> int:
        """The last sequence number it covers."""
        return self.first + self.width - 1


class Found(NamedTuple):
    """A frame that can be trusted."""

    offset: int
    prefix: Prefix
    head: bytes
    marks: bytes
    batch: Batch | None
    """None for the kinds that are not batches."""


class Damage(NamedTuple):
    """Bytes from `offset` to `end` that are no frame (any more)."""

    offset: int
    end: int
    prefix: Prefix | None
    """What its prefix says, when that is readable."""
    digest: bytes
    """Digest of the batch it was, `NO_DIGEST` when that is unreadable too."""
    whole: bool
    """Whether all of its bytes are there: it was written to its end, and ruined later."""


def encode_frame(
    kind: int,
    kept: int,
    *,
    first: int = 0,
    width: int = 0,
    head: bytes = b"",
    signature: bytes = b"",
    marks: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """The bytes of a frame."""
    small = head + signature + marks
    front = _FRONT.pack(
        MAGIC, kind, len(signature), len(head), len(marks), len(body), first, width, kept, crc32(small)
    )
    return b"".join((front, crc32(front).to_bytes(_CRC_BYTES, "big"), small, body))


def encode_batch(batch: Batch, kept: int, marks: bytes = b"") -> bytes:
    """The bytes of a frame that keeps `batch`, with the encoded `marks` of the sources in it."""
    header = batch.header
    return encode_frame(
        header.kind,
        kept,
        first=header.first,
        width=header.count,
        head=batch.head,
        signature=batch.signature,
        marks=marks,
        body=batch.body,
    )


def read_prefix(data: bytes, offset: int = 0) -> Prefix | None:
    """The prefix at `offset`, None when there is no valid one."""
    end = offset + _FRONT.size
    if len(data) < end + _CRC_BYTES or data[offset : offset + 4] != MAGIC:
        return None
    front = data[offset:end]
    if crc32(front) != int.from_bytes(data[end : end + _CRC_BYTES], "big"):
        return None
    _, kind, signature, head, marks, body, first, width, kept, crc = _FRONT.unpack(front)
    return Prefix(kind, signature, head, marks, body, first, width, kept, crc)


def read_frame(data: bytes, offset: int, prefix: Prefix) -> Found | Damage:
    """The frame whose `prefix` was read at `offset`, checked to the last byte."""
    end = offset + prefix.length
    at = offset + PREFIX_BYTES
    body_at = at + prefix.head + prefix.signature + prefix.marks
    if end > len(data) or crc32(data[at:body_at]) != prefix.crc:
        return Damage(offset, end, prefix, NO_DIGEST, whole=end <= len(data))
    head = data[at : at + prefix.head]
    marks = data[body_at - prefix.marks : body_at]
    if prefix.kind not in KINDS:
        return Found(offset, prefix, head, marks, None)
    try:
        batch = check_batch(head, data[at + prefix.head : body_at - prefix.marks], data[body_at:end])
    except WireError:
        return Damage(offset, end, prefix, _digest_of(head), whole=True)
    header = batch.header
    if (header.kind, header.first, header.count) != (prefix.kind, prefix.first, prefix.width):
        return Damage(offset, end, None, NO_DIGEST, whole=True)
    return Found(offset, prefix, head, marks, batch)


def head_digest(small: bytes, prefix: Prefix) -> bytes:
    """The digest of a batch by what stands between its prefix and its body; `NO_DIGEST` when that is ruined."""
    return _digest_of(small[: prefix.head]) if crc32(small) == prefix.crc else NO_DIGEST


def _digest_of(head: bytes) -> bytes:
    try:
        decode_header(head)
    except WireError:
        return NO_DIGEST
    return digest(head)


def walk(data: bytes, offset: int) -> Iterator[Found | Damage]:
    """Every frame of a segment's bytes from `offset` on, and what lies between them, in order.

    A ruined frame whose prefix is readable is stepped over by its length, never searched through: what
    looks like a frame inside a body is a record's text.
    """
    while offset < len(data):
        prefix = read_prefix(data, offset)
        piece = read_frame(data, offset, prefix) if prefix else None
        if isinstance(piece, Found):
            yield piece
            offset += piece.prefix.length
        elif piece is not None and piece.whole:
            yield piece
            offset = piece.end
        else:
            found = _next_prefix(data, offset + 1)
            yield Damage(offset, found, prefix, NO_DIGEST, whole=False)
            offset = found


def _next_prefix(data: bytes, offset: int) -> int:
    while (offset := data.find(MAGIC, offset)) >= 0:
        if read_prefix(data, offset) is not None:
            return offset
        offset += 1
    return len(data)
