"""What is written and not yet durable."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from tabard.agents.journal.segment import Prior, Segment
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.writer import SyncJob, Writer, reopen_segment


class Unsynced:
    """The segments of a journal that are not known to be durable."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._closed: dict[int, Writer] = {}
        """Files that are written no more, by segment number."""
        self._owed: list[Segment] = []
        """What an earlier process may have left, not opened yet."""
        self._names = 0
        self._names_synced = 0
        """Changes of names in the directory, and how many of them are durable."""
        self.tip: Prior | None = None
        """Everything up to here would survive a power cut."""
        self.newest = 0
        """Number of the newest segment that would; until it moves on, nothing may be removed from here on."""

    def owe(self, segments: list[Segment]) -> None:
        """An earlier process may have left these unsynced."""
        self._owed = segments

    def note_name(self) -> None:
        """A file was made or removed: its directory has to be synced."""
        self._names += 1

    def add(self, writer: Writer) -> None:
        """A file that is written no more; it is closed as soon as it is durable."""
        if writer.unsynced:
            self._closed[writer.segment.number] = writer
        else:
            writer.retire()

    def discard(self, number: int) -> None:
        """A segment's file is not needed any more."""
        self._owed = [segment for segment in self._owed if segment.number != number]
        writer = self._closed.pop(number, None)
        if writer is not None:
            writer.retire()

    def clear(self) -> None:
        """No file is needed any more, and nothing is known of those that are there."""
        self.newest = 0
        self._owed = []
        for number in list(self._closed):
            self.discard(number)

    def size(self, current: Writer | None) -> int:
        """Bytes that a power cut would take."""
        return sum(writer.unsynced for writer in self._all(current)) + sum(part.size for part in self._owed)

    def oldest(self, number: int) -> int:
        """The number of the first segment that is not known to be durable, `number` when there is none."""
        return min((*self._closed, *(segment.number for segment in self._owed)), default=number)

    def job(self, current: Writer | None, tip: Prior | None, newest: int) -> SyncJob | None:
        """A sync of everything, up to `tip` in the segment `newest`; None when it is all durable. Raises OSError."""
        try:
            self._open_owed()
        except OSError as error:
            if current is not None or error.errno != errno.EROFS:
                raise
            self.tip = tip  # a disk that takes no writes at all is read for the sinks as long as it can be
            return None
        writers = [writer for writer in self._all(current) if writer.unsynced]
        dirty = self._names > self._names_synced
        if not writers and not dirty:
            self.tip, self.newest = tip, newest
            return None
        for writer in writers:
            writer.rewrite()
        return SyncJob(self._shelf, writers, tip, newest, names=self._names, sync_names=dirty)

    def _open_owed(self) -> None:
        """Raises OSError; the next call goes on."""
        while self._owed:
            writer = reopen_segment(self._shelf, self._owed[0])
            if writer is not None:
                self.add(writer)
            del self._owed[0]

    def finish(self, job: SyncJob) -> None:
        """Take the outcome of a sync into account. Raises OSError when it failed."""
        job.settle()
        if job.error is not None:
            raise job.error
        for number, writer in list(self._closed.items()):
            if not writer.unsynced:
                self.discard(number)
        self._names_synced = max(self._names_synced, job.names)
        if _place(job.newest, job.tip) >= _place(self.newest, self.tip):  # syncs may end in another order
            self.tip, self.newest = job.tip, job.newest

    def _all(self, current: Writer | None) -> Iterable[Writer]:
        return (*self._closed.values(), current) if current else self._closed.values()


def _place(number: int, tip: Prior | None) -> tuple[int, int]:
    """Where in a journal: the number of a segment, and a sequence number in it."""
    return number, tip.last if tip else 0
