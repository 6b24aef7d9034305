"""The segment being written: appended to, rolled back after a failed write, synced by another thread."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress

from tabard import failpoints
from tabard.agents.journal.disk import File
from tabard.agents.journal.frames import CLOSE, encode_batch, encode_frame
from tabard.agents.journal.gaps import chain_digest
from tabard.agents.journal.reader import read_batch
from tabard.agents.journal.segment import Head, Index, Prior, Segment, encode_head, encode_marks, segment_name
from tabard.agents.journal.shelf import Shelf
from tabard.brokers.wire.batch import Batch

BEFORE_WRITE = failpoints.declare("journal.before_write", "about to write a frame")
AFTER_WRITE = failpoints.declare("journal.after_write", "past writing a frame that nobody was told of yet")
BEFORE_SYNC = failpoints.declare("journal.before_sync", "about to sync what was written")
AFTER_SYNC = failpoints.declare("journal.after_sync", "past a sync that nobody was told of yet")
BEFORE_ROLL = failpoints.declare("journal.before_roll", "about to begin a new segment")


class Writer:
    """One open segment file. `segment` grows with what is written."""

    def __init__(self, file: File, segment: Segment) -> None:
        self.file = file
        self.segment = segment
        self.index = Index()
        self.identity = file.stat().identity
        self.synced = 0
        """Bytes known to be durable."""
        self.broken = False
        """Something that nobody was told of may stand behind the last frame: nothing more is written here."""
        self.suspect = False
        """A sync failed: the kernel may have dropped what was not durable, so it has to be written again."""
        self.pins = 0
        """Syncs under way."""
        self.retired = False

    @property
    def unsynced(self) -> int:
        """Bytes not known to be durable."""
        return self.segment.size - self.synced

    def append(self, batch: Batch, kept: int, marks: bytes) -> None:
        """Write one frame. Raises OSError; nothing is kept of it then."""
        size = self.segment.size
        data = encode_batch(batch, kept, marks)
        try:
            failpoints.hit(BEFORE_WRITE)
            self.file.write_at(data, size)
            failpoints.hit(AFTER_WRITE)
        except OSError:
            try:
                self.file.truncate(size)
            except OSError:
                self.broken = True
            raise
        self.note(batch, size, len(data), kept)

    def note(self, batch: Batch, offset: int, length: int, kept: int) -> None:
        """Take a frame that was written at `offset` into account."""
        header = batch.header
        self.index.add(header.first, offset, length)
        self.segment.size = offset + length
        self.segment.end = header.last
        self.segment.digest = chain_digest(batch)
        self.segment.newest = kept

    def read(self, seq: int) -> Batch | None:
        """The batch that holds `seq`, None when it is ruined. Raises OSError."""
        return read_batch(self.file, self.index, bisect_right(self.index.firsts, seq) - 1)

    def mark_closed(self, kept: int) -> None:
        """Write the marker of an orderly end. Raises OSError."""
        data = encode_frame(CLOSE, kept)
        self.file.write_at(data, self.segment.size)
        self.segment.size += len(data)

    def rewrite(self) -> None:
        """After a failed sync: make what may have been dropped dirty again. Raises OSError."""
        if self.suspect:
            self.file.write_at(self.file.read_at(self.unsynced, self.synced), self.synced)
            self.suspect = False

    def retire(self) -> None:
        """Close the file as soon as no sync uses it."""
        self.retired = True
        if not self.pins:
            with suppress(OSError):  # nothing depends on it: what had to be durable was synced before
                self.file.close()


class SyncJob:
    """One sync of everything unsynced. `run` may be called in another thread, the rest belongs to the owner."""

    def __init__(
        self,
        shelf: Shelf,
        writers: list[Writer],
        tip: Prior | None,
        newest: int,
        *,
        names: int,
        sync_names: bool,
    ) -> None:
        self._shelf = shelf
        self.tip = tip
        """What is durable once it succeeds: everything up to here."""
        self.newest = newest
        """And every segment up to this number."""
        self.names = names
        """And so many changes of names."""
        self._sync_names = sync_names
        self._goals = [(writer, writer.segment.size) for writer in writers]
        self.error: OSError | None = None
        for writer in writers:
            writer.pins += 1

    def run(self) -> None:
        """fsync, which may take long; never raises, `error` says how it went."""
        try:
            failpoints.hit(BEFORE_SYNC)
            for writer, _ in self._goals:
                writer.file.sync()
            if self._sync_names:
                self._shelf.sync()
            failpoints.hit(AFTER_SYNC)
        except OSError as error:
            self.error = error

    def settle(self) -> None:
        """Take the outcome into account, once, after `run`."""
        for writer, size in self._goals:
            writer.pins -= 1
            if self.error is None:
                writer.synced = max(writer.synced, size)
            else:
                writer.suspect = True
            if writer.retired:
                writer.retire()


def start_segment(shelf: Shelf, number: int, head: Head, marks: bytes, opening: Batch | None) -> Writer:
    """Make a segment's file with its head, the encoded marks and the epoch's `opening` in one write. Raises OSError."""
    failpoints.hit(BEFORE_ROLL)
    front = encode_head(head) + encode_marks(marks, head.kept)
    frame = encode_batch(opening, head.kept) if opening else b""
    path = shelf.path(segment_name(number))
    file = shelf.disk.create(path)
    try:
        file.write_at(front + frame, 0)
        segment = Segment(number, head, head.base - 1, head.previous, len(front), head.before)
        writer = Writer(file, segment)
    except OSError:
        file.close()
        shelf.remove(segment_name(number))
        raise
    if opening:
        writer.note(opening, len(front), len(frame), head.kept)
    return writer


def reopen_segment(shelf: Shelf, segment: Segment) -> Writer | None:
    """The file of a segment that an earlier process may have left unsynced; None when there is none any more.

    A sync may have failed just before that process ended. Its bytes are seen, and another sync would succeed, yet
    they would not be on disk: so all of them are to be written again. Raises OSError.
    """
    try:
        file = shelf.disk.open(shelf.path(segment.name), write=True)
    except FileNotFoundError:
        return None
    try:
        writer = Writer(file, segment)
    except OSError:
        file.close()
        raise
    writer.suspect = True
    return writer
