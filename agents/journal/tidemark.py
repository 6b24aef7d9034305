"""How far a journal was durable, noted beside it: what must still be there at the next start.

A note is written after every sync and is itself not synced, so that nothing waits for it. It survives the death of
the process; after a power cut it may be an older one, or none. It is always a lower bound: a journal may hold more
than its note says, and one that holds less was cut or lost a file, whatever its remaining bytes look like. Beside that it
says where sinks had stopped, which is a hint.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, NamedTuple
from zlib import crc32

from tabard.agents.journal.disk import Disk, File
from tabard.brokers.wire.batch import EPOCH_BYTES
from tabard.brokers.wire.codec import pack, unpack
from tabard.digests import DIGEST_BYTES
from tabard.errors import WireError

FILE: Final = "tidemark"
SLOT: Final = 256
"""Bytes of each of the two places that notes are written to in turn: a torn one leaves the one before it."""
_FRONT: Final = 6
"""Bytes of CRC-32 and length before a note."""
_BOOT: Final = 64
MAX_STOPS: Final = 3
"""As many as there is room for beside the rest."""


class Stop(NamedTuple):
    """Where a sink had stopped, as far as the journal knew: a hint, on which nothing rests."""

    epoch: bytes
    seq: int
    """The last sequence number that it had stored."""


class Note(NamedTuple):
    """Where a journal ended when it was last known to be durable."""

    number: int
    """Of the segment, or of the epoch, that ends there: rising in the life of a journal."""
    epoch: bytes
    last: int
    digest: bytes
    """Digest after `last`."""
    boot: str
    """The boot of the host."""
    closed: bool = False
    """It was closed in order: nothing was written after `last`."""
    stops: tuple[Stop, ...] = ()
    """At most `MAX_STOPS`. A note of an earlier version has none."""


class Tidemark:
    """The file of notes. A disk that does not take one keeps the one before it."""

    def __init__(self, disk: Disk, path: str, *, durable: bool = False) -> None:
        self._disk = disk
        self._path = path
        self._durable = durable
        """Whether each note is synced: for a journal that is written rarely."""
        self._file: File | None = None
        self._slot = 0

    def read(self) -> Note | None:
        """The newest note, None when there is none or none is readable. Raises OSError when it cannot be opened."""
        try:
            file = self._disk.open(self._path)
        except FileNotFoundError:
            return None
        try:
            notes = _notes(file)
        finally:
            file.close()
        return max(filter(None, notes), key=_order, default=None)

    def write(self, note: Note) -> None:
        """Note where the journal ends; nothing happens when the disk does not take it."""
        try:
            file = self._file or self._open()
            file.write_at(_encode(note), self._slot * SLOT)
            if self._durable:
                file.sync()
            self._slot = 1 - self._slot
        except OSError:
            self.close()

    def _open(self) -> File:
        try:
            self._file = file = self._disk.open(self._path, write=True)
        except FileNotFoundError:
            self._file = file = self._disk.create(self._path)
        first, second = _notes(file)
        self._slot = int(first is not None and (second is None or _order(first) > _order(second)))
        return file

    def close(self) -> None:
        """Give the file back; the next note opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


def _order(note: Note) -> tuple[int, int, bool]:
    return note.number, note.last, note.closed


def _encode(note: Note) -> bytes:
    body = pack(tuple(note._replace(boot=note.boot[:_BOOT])))
    front = len(body).to_bytes(2, "big")
    return (crc32(front + body).to_bytes(4, "big") + front + body).ljust(SLOT, b"\0")


def _notes(file: File) -> tuple[Note | None, Note | None]:
    try:
        data = file.read_at(2 * SLOT, 0)
    except OSError:
        data = b""
    return _decode(data[:SLOT]), _decode(data[SLOT:])


def _decode(slot: bytes) -> Note | None:
    body = slot[_FRONT : _FRONT + int.from_bytes(slot[4:_FRONT], "big")]
    if not body or crc32(slot[4:_FRONT] + body) != int.from_bytes(slot[:4], "big"):
        return None
    try:
        value: Any = unpack(body)
        note = Note(*value)
        note = note._replace(stops=tuple(Stop(*stop) for stop in note.stops))
    except (WireError, TypeError):
        return None
    fits = (
        all(type(number) is int for number in (note.number, note.last))
        and [len(blob) if isinstance(blob, bytes) else -1 for blob in (note.epoch, note.digest)]
        == [EPOCH_BYTES, DIGEST_BYTES]
        and isinstance(note.boot, str)
        and type(note.closed) is bool
        and all(isinstance(stop.epoch, bytes) and type(stop.seq) is int for stop in note.stops)
    )
    return note if fits else None
