"""The journal of one stream: frames in segments, an epoch for every start, gaps where it had to drop.

A frame that `Journal.append` returned survives the death of the process; one that was synced after
survives a power cut. Nothing here waits for a sink, and nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tabard.agents.journal.aging import JournalTime
from tabard.agents.journal.author import Author, Opening
from tabard.agents.journal.behind import Stops
from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.disk import Disk
from tabard.agents.journal.faults import DiskRefused, Fault, Faults
from tabard.agents.journal.gaps import FULL, GapMaker
from tabard.agents.journal.limits import BLOCK, MAX_SEGMENTS, Limits, Stats
from tabard.agents.journal.pen import Pen
from tabard.agents.journal.placing import account_for
from tabard.agents.journal.quota import Quota
from tabard.agents.journal.reader import SegmentReader
from tabard.agents.journal.recent import Recent
from tabard.agents.journal.recover import Recovery
from tabard.agents.journal.segment import Prior, Segment
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.writer import SyncJob
from tabard.brokers.delivery.ports import EpochSpan
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.batch import NO_DIGEST, Batch

_AGE_SHARE = 8
"""A segment grows for at most this part of the journal's age limit, so that little goes at once."""
_GIVEN = 1 << 20
"""Bytes that a journal gives way by at a time, and at least a segment."""


class Journal:
    """One stream's journal (`ports.StreamJournal`). Owned by one thread; only `SyncJob.run` may run in another."""

    def __init__(self, shelf: Shelf, author: Author, limits: Limits) -> None:
        self.stream = author.stream
        self._shelf = shelf
        self._limits = limits
        self._author = author
        self._time = JournalTime(author.clock, author.owner.boot)
        self._gaps = GapMaker(author.stream)
        self._catalog = Catalog()
        self._recent = Recent(limits.recent)
        self._reader = SegmentReader(shelf, self._catalog, self._gaps, self._recent.clear)
        self._stops = Stops()
        self._pen = Pen(shelf, self._catalog, author, self._time, limits, self._stops)
        self._quota = Quota(shelf, self._catalog, self._reader, self._gaps, self._pen.unsynced, self._stops)
        self.when_full: Callable[[], bool] = lambda: False
        """Asks others to give way when the disk is full: whether there is more room."""
        self._replaced: Sequence[EpochSpan] = ()
        """What was kept before somebody replaced the files, until they are read anew and that is accounted for."""
        self._spans: tuple[tuple[int, Prior | None], tuple[EpochSpan, ...]] = ((-1, None), ())
        """The spans, and what they were made of."""

    @classmethod
    def open(
        cls,
        disk: Disk,
        directory: str,
        author: Author,
        limits: Limits,
    ) -> Journal:
        """Recover what `directory` holds and begin a new epoch.

        On a disk that takes no writes the journal opens all the same: what is there can be read, and
        every `append` tries again to begin the epoch.

        Args:
            disk: where the files are.
            directory: the journal's own directory; made if missing.
            author: makes the batches of its stream; its clock is also that of ages and stamps.
            limits: its bounds.

        Raises:
            JournalError: the directory cannot be used at all.
        """
        journal = cls(Shelf(disk, directory, Faults(author.clock)), author, limits)
        journal._recover(remembered=False)
        # What fails here is noted as a fault. Reading works, and append and sync try again.
        with suppress(DiskRefused):
            journal.sync()  # what a process that was killed left
        with suppress(DiskRefused):
            journal._pen.begin()
            journal.sync()
        return journal

    def _recover(self, *, remembered: bool) -> None:
        """Read the files; unless this process itself has `remembered` how far they went, by the note of it."""
        recovery = Recovery(self._shelf, self._catalog, self._reader, self._gaps, self.stream)
        boot = self._author.owner.boot
        pen = self._pen
        try:
            note = None if remembered else pen.tidemark.read()
            found = recovery.run(boot, note)
        except OSError as error:
            raise self._shelf.unreadable(error) from error
        if note is not None:
            self._stops.recall(note.stops)
        pen.marks = found.marks
        pen.next_number = max(pen.next_number, found.next_number)
        self._time.resume(found.last, found.kept)
        pen.unsynced.owe(found.unsynced)
        pen.next_opening = Opening("start", clean=found.closed, power=found.power, lost=found.lost)

    def _reload(self) -> None:
        """Read the files that were replaced; the next epoch follows what is there. Raises DiskRefused."""
        self._pen.drop()
        self._catalog.clear()
        self._reader.clear()
        self._recent.clear()
        self._quota.clear()
        marks = self._pen.marks
        self._recover(remembered=True)
        self._pen.marks = marks  # what was accepted is accounted for, so nothing is to be read again
        for missing in account_for(self._catalog, self._replaced, self._missing):
            self._reader.mend(missing)
        doubt = "the journal was replaced, cut or removed while it was written"
        self._pen.next_opening = Opening("doubt", clean=False, doubt=doubt)
        self._replaced = ()

    # --- writing -------------------------------------------------------------------------------

    @property
    def marks(self) -> Mapping[str, Any]:
        """Every intake source's mark as of the last frame kept; the source heard of last stands last."""
        return self._pen.marks

    def append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        """Cut a batch of `count` records and write it, with the marks of the sources in it.

        Raises:
            JournalError: the disk refused; nothing was accepted (`retry` is true: try again later).
        """
        if self._replaced:
            self._reload()
        try:
            batch = self._pen.append(body, count, marks)
        except DiskRefused as refused:
            batch = self._append_in_need(refused, body, count, marks)
        self._recent.add(batch)
        return batch

    def _append_in_need(
        self, refused: DiskRefused, body: bytes, count: int, marks: Mapping[str, Any]
    ) -> Batch:
        """Try again as long as there is more room each time. Raises DiskRefused."""
        while refused.full and (self._make_room() or self.when_full()):
            try:
                return self._pen.append(body, count, marks)
            except DiskRefused as again:
                refused = again
        raise refused

    def _make_room(self) -> bool:
        """On a full disk: remove all that is stored everywhere, the segment being written included."""
        before = self._catalog.bytes
        self._quota.drop_acked(0)
        segment = self._pen.segment
        if self._catalog.bytes < before or segment is None or segment.bare:
            return self._catalog.bytes < before
        if not self._quota.stores(segment) or not self._shelf.give_reserve():
            return False
        try:
            self._pen.roll()
            self.sync()
        except DiskRefused:
            return False
        self._quota.drop_stored(segment)
        self._shelf.take_reserve()
        return True

    def give_way(self) -> bool:
        """Free space for another stream; whether there is more.

        What every sink has goes first, then the oldest segments that take more than the gap they leave.
        """
        before = self._catalog.bytes
        self._quota.drop_acked(0)
        if self._catalog.bytes < before:
            return True
        self._shelf.give_reserve()  # a gap is written before what it stands for goes
        with suppress(DiskRefused):
            self._quota.shrink(before - _GIVEN, FULL)
            segment = self._pen.segment
            if self._catalog.bytes >= before and segment and segment.footprint > 2 * BLOCK:
                self._pen.roll()
                self._quota.shrink(before - _GIVEN, FULL)
        self._shelf.take_reserve()
        return self._catalog.bytes < before

    def renew(self, doubt: str, reason: str = "fork") -> None:
        """End the epoch being written and begin another, whose OPEN says `doubt`.

        Raises JournalError: the disk refused; the next call, or the next append, tries again.
        """
        if self._replaced:
            self._reload()
        self._pen.ready()
        self._pen.end_epoch(Opening(reason, doubt=doubt or None))
        self._pen.begin()
        self.sync()

    # --- syncing -------------------------------------------------------------------------------

    @property
    def unsynced(self) -> int:
        """Bytes that a power cut would take."""
        return self._pen.unsynced.size(self._pen.writer)

    def sync(self) -> None:
        """Make everything appended durable. Raises JournalError when the disk fails; try again later."""
        job = self.sync_job()
        if job is not None:
            job.run()
            self.finish_sync(job)

    def sync_job(self) -> SyncJob | None:
        """A sync of everything appended so far, None when all is durable.

        ``run()`` it in any thread, then hand it to `finish_sync` in the owner's thread. Appending may go on
        meanwhile. When somebody replaced the file that is written, a new epoch in doubt is begun first.

        Raises:
            JournalError: what a failed sync left cannot be written again, or the new epoch not begun.
        """
        if self._pen.replaced():
            self._replaced = self._catalog.spans()
            self._reload()
            self._pen.begin()
        return self._pen.sync_job()

    def _missing(self, span: EpochSpan, base: int) -> Segment:
        """A segment for what is gone of `span` from `base` on."""
        kept = self._catalog.epoch(span.epoch)
        previous, prior = (kept[-1].digest, None) if kept else (NO_DIGEST, self._catalog.tip)
        head = self._pen.head(span.epoch, base, previous, prior)
        head = head._replace(end=span.last, digest=span.digest, gap=True)
        return Segment(self._pen.number(), head, span.last, span.digest, 0, head.kept)

    def finish_sync(self, job: SyncJob) -> None:
        """Take the outcome of a sync into account. Raises JournalError when it failed; try again later."""
        self._pen.finish_sync(job)

    # --- reading -------------------------------------------------------------------------------

    def spans(self) -> Sequence[EpochSpan]:
        """The epochs kept, oldest first, as far as a power cut would leave them.

        The last one is the epoch being written, as of the last sync. It is missing as long as the disk
        lets none begin; on the first start of all there is none then.
        """
        tip = self._pen.unsynced.tip
        made_of = (self._catalog.version, tip)
        if self._spans[0] != made_of:
            self._spans = (made_of, self._catalog.spans_upto(tip))
        return self._spans[1]

    def read(self, epoch: bytes, seq: int) -> Batch | None:
        """The batch that holds `seq`; a gap where it is damaged; None when it is not kept."""
        segment = self._catalog.find(epoch, seq)
        if segment is None:
            return None
        recent = None if segment.head.gap else self._recent.get(epoch, seq)
        if recent is not None:
            return recent
        writer = self._pen.writer
        if writer is None or segment is not writer.segment:
            return self._reader.read(segment, seq)
        try:
            batch = writer.read(seq)
            if batch is None:
                # Damaged while it is written: close it, so that it can be mended like any other.
                self._pen.roll()
                batch = self._reader.read(segment, seq)
        except (OSError, DiskRefused):
            return None
        return batch

    def read_from(self, epoch: bytes, seq: int) -> Iterator[Batch]:
        """The batches of `epoch` from the one that holds `seq` on, up to what is not kept."""
        while (batch := self.read(epoch, seq)) is not None:
            yield batch
            seq = batch.header.last + 1

    # --- letting go ----------------------------------------------------------------------------

    def release(
        self, cursors: Mapping[bytes, Ranges], stops: Mapping[bytes, Collection[int]] | None = None
    ) -> None:
        """Every required sink has stored these ranges of the epochs named; lower ones take that back.

        `stops`: by epoch, the last sequence numbers of the ranges that any sink has stored.

        Segments stored everywhere are removed, oldest first, all but the newest `Limits.keep_acked` bytes.
        """
        self._quota.mark(cursors, stops or {})
        self._quota.drop_acked(self._limits.keep_acked)

    def lacking(self, cursors: Mapping[bytes, Ranges]) -> tuple[int, float | None]:
        """Bytes kept that these cursors do not cover, and the age in seconds of the oldest of them."""
        size, since = self._quota.lacking(cursors)
        return size, None if since is None else max(self._time.now() - since, 0) / 1000

    def enforce(self, now: float) -> None:
        """Keep within the limits of bytes and age, at monotonic time `now`.

        What cannot be removed is said by `faults`; the next call tries again. What is held in memory for a sender
        that keeps up is held from one call to the next but one.
        """
        self._recent.age()
        kept = self._time.at(now)
        share = self._limits.age * 1000 / _AGE_SHARE
        newest = self._pen.segment
        try:
            if newest and not newest.bare and newest.head.kept < kept - share:
                newest = self._pen.roll().segment
            self._quota.drop_old(kept - int(self._limits.age * 1000))
            self._quota.shrink(self._limits.bytes)
            self._quota.thin(MAX_SEGMENTS)
            if newest and not newest.bare and self._catalog.bytes > self._limits.bytes:
                self._pen.roll()
                self._quota.shrink(self._limits.bytes)
        except DiskRefused:
            return  # noted as a fault

    # --- the rest ------------------------------------------------------------------------------

    def close(self) -> None:
        """End in order: the next start knows that nothing was lost. Raises JournalError when the disk fails."""
        try:
            self._pen.mark_closed()
            self.sync()
            self._pen.note_closed()
        finally:
            self._pen.drop()

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the disk, in words."""
        return self._shelf.faults.list()

    def stats(self) -> Stats:
        """Where it stands."""
        oldest = self._catalog.oldest
        age = (self._time.now() - oldest.head.kept) / 1000 if oldest else 0.0
        return Stats(
            self._catalog.bytes,
            len(self._catalog),
            self.unsynced,
            max(age, 0.0),
            self._quota.dropped_records,
            self._reader.mended,
        )
