"""What is written and not yet durable."""

from __future__ import annotations

from collections.abc import Iterable

from tabard.agents.journal.segment import Prior
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.writer import SyncJob, Writer


class Unsynced:
    """The segments of a journal that are not known to be durable."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._closed: dict[int, Writer] = {}
        """Files that are written no more, by segment number."""
        self.names_dirty = False
        self.tip: Prior | None = None
        """Everything up to here would survive a power cut."""

    def add(self, writer: Writer) -> None:
        """A file that is written no more; it is closed as soon as it is durable."""
        if writer.unsynced:
            self._closed[writer.segment.number] = writer
        else:
            writer.retire()

    def discard(self, number: int) -> None:
        """A segment's file is not needed any more."""
        writer = self._closed.pop(number, None)
        if writer is not None:
            writer.retire()

    def clear(self) -> None:
        """No file is needed any more."""
        for number in list(self._closed):
            self.discard(number)

    def size(self, current: Writer | None) -> int:
        """Bytes that a power cut would take."""
        return sum(writer.unsynced for writer in self._all(current))

    def oldest(self, number: int) -> int:
        """The number of the first segment that is not known to be durable, `number` when there is none."""
        return min(self._closed, default=number)

    def job(self, current: Writer | None, tip: Prior | None) -> SyncJob | None:
        """A sync of everything, up to `tip`; None when it is all durable. Raises OSError."""
        writers = [writer for writer in self._all(current) if writer.unsynced]
        if not writers and not self.names_dirty:
            self.tip = tip
            return None
        for writer in writers:
            writer.rewrite()
        job = SyncJob(self._shelf, writers, tip, names=self.names_dirty)
        self.names_dirty = False
        return job

    def finish(self, job: SyncJob) -> None:
        """Take the outcome of a sync into account. Raises OSError when it failed."""
        job.settle()
        if job.error is not None:
            self.names_dirty |= job.names
            raise job.error
        for number, writer in list(self._closed.items()):
            if not writer.unsynced:
                self.discard(number)
        self.tip = job.tip

    def _all(self, current: Writer | None) -> Iterable[Writer]:
        return (*self._closed.values(), current) if current else self._closed.values()
