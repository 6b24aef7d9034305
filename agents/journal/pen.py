"""The writing end of a journal: which file is written, when another begins, and what is durable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabard.agents.journal.aging import JournalTime
from tabard.agents.journal.author import Author, Opening
from tabard.agents.journal.behind import Stops
from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.marks import encode, fits, forget, newest
from tabard.agents.journal.segment import Head, Prior, Segment
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.tidemark import FILE as TIDEMARK
from tabard.agents.journal.tidemark import Note, Tidemark
from tabard.agents.journal.unsynced import Unsynced
from tabard.agents.journal.writer import SyncJob, Writer, start_segment
from tabard.brokers.wire.batch import NO_DIGEST, Batch


class Pen:
    """Writes frames into the newest segment of a catalog."""

    def __init__(
        self, shelf: Shelf, catalog: Catalog, author: Author, time: JournalTime, limits: Limits, stops: Stops
    ) -> None:
        self._stops = stops
        self._shelf = shelf
        self._catalog = catalog
        self._author = author
        self._time = time
        self._roll_at = limits.roll_at
        self._stall = limits.stall
        self.writer: Writer | None = None
        """The segment being written, None until an epoch could be begun."""
        self.unsynced = Unsynced(shelf)
        self.tidemark = Tidemark(shelf.disk, shelf.path(TIDEMARK))
        self.marks: dict[str, Any] = {}
        self.next_number = 1
        self.next_opening = Opening("start")
        """What the next epoch's OPEN has to say."""
        self._failing: float | None = None
        """When the first of the syncs failed since which none succeeded, monotonic."""

    @property
    def segment(self) -> Segment | None:
        """The segment being written."""
        return self.writer.segment if self.writer else None

    # --- frames --------------------------------------------------------------------------------

    def append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        """Write a batch, in a new segment or epoch where that is due. Raises DiskRefused; nothing is kept then."""
        if self._failing is not None:
            self._refuse_to_pile_up(self._author.clock.monotonic() - self._failing)
        writer = self.ready()
        segment = writer.segment
        before = segment.footprint
        batch = self._author.data(Prior(segment.epoch, segment.end, segment.digest), body, count)
        try:
            writer.append(batch, self._time.now(), self._encoded(marks) if marks else b"")
        except OSError as error:
            raise self._shelf.refused("a batch cannot be written", error) from error
        self._catalog.bytes += segment.footprint - before
        for source, mark in marks.items():
            self.marks.pop(source, None)
            self.marks[source] = mark
        forget(self.marks)
        return batch

    def _refuse_to_pile_up(self, waited: float) -> None:
        """What was accepted waits for its first sync: take a little more, in case it was only a moment."""
        if waited > self._stall:
            raise DiskRefused(
                "nothing more is accepted until a sync succeeds",
                expected=f"one within {self._stall:g} s",
                found=f"none for {waited:.0f} s",
                where=self._shelf.directory,
                hint="Look at the kernel's log: the disk or its driver reports an error.",
            )

    def ready(self) -> Writer:
        """The writer of a segment with room. Raises DiskRefused."""
        if self.writer is not None and self.writer.broken:
            self.end_epoch(Opening("error"))
        if self.writer is None:
            return self.begin()
        if self.writer.segment.size >= self._roll_at:
            return self.roll()
        return self.writer

    # --- segments ------------------------------------------------------------------------------

    def begin(self) -> Writer:
        """Begin the next epoch. Raises DiskRefused; the next call tries again."""
        tip = self._catalog.tip
        opening = self._author.opening(self.next_opening, tip)
        writer = self._start(self.head(opening.header.epoch, 1, NO_DIGEST, tip), opening)
        self.next_opening = Opening("start")
        self._shelf.take_reserve()
        return writer

    def roll(self) -> Writer:
        """Go on in a new segment. Raises DiskRefused; the next call tries again."""
        assert self.writer is not None
        segment = self.writer.segment
        return self._start(self.head(segment.epoch, segment.end + 1, segment.digest, None), None)

    def end_epoch(self, opening: Opening) -> None:
        """Write no more in this epoch; `opening` is what the next one has to say."""
        self._put_away()
        self.next_opening = opening

    def head(self, epoch: bytes, base: int, previous: bytes, prior: Prior | None) -> Head:
        """The head of a segment that begins now."""
        newest = self._catalog.newest
        clock = self._author.clock
        return Head(
            self._author.stream,
            epoch,
            base,
            previous,
            prior,
            self._author.owner.boot,
            clock.monotonic(),
            clock.wall(),
            self._time.now(),
            before=newest.newest if newest else 0,
            unsynced=self.unsynced.oldest(self.writer.segment.number if self.writer else self.next_number),
        )

    def number(self) -> int:
        """A number for a new segment."""
        self.next_number += 1
        return self.next_number - 1

    def _start(self, head: Head, opening: Batch | None) -> Writer:
        try:
            writer = start_segment(self._shelf, self.number(), head, self._snapshot(), opening)
        except OSError as error:
            raise self._shelf.refused("a segment cannot be begun", error) from error
        self._put_away()
        self.writer = writer
        self._catalog.add(writer.segment)
        self.unsynced.note_name()
        return writer

    def _encoded(self, marks: Mapping[str, Any]) -> bytes:
        encoded = encode(marks)
        return encoded if fits(encoded, marks) else encode(self._fewer(marks))

    def _snapshot(self) -> bytes:
        """All marks, for the beginning of a segment; what is too much is forgotten in memory as well."""
        encoded = encode(self.marks)
        if not fits(encoded, self.marks):
            self.marks = self._fewer(self.marks)
            encoded = encode(self.marks)
        return encoded

    def _fewer(self, marks: Mapping[str, Any]) -> dict[str, Any]:
        kept = newest(marks)
        what = (
            f"the marks of {len(marks) - len(kept)} sources are too large: what they sent may be read again"
        )
        self._shelf.faults.note("forgotten", self._shelf.directory, what)
        return kept

    def _put_away(self) -> None:
        """The segment written until now is closed; its file stays open until it is durable."""
        writer, self.writer = self.writer, None
        if writer is not None:
            self.unsynced.add(writer)

    # --- durability ----------------------------------------------------------------------------

    def sync_job(self) -> SyncJob | None:
        """A sync of everything written so far, None when all is durable. Raises DiskRefused."""
        try:
            newest = self._catalog.newest
            job = self.unsynced.job(self.writer, self._catalog.tip, newest.number if newest else 0)
        except OSError as error:
            self._note_failure()
            raise self._shelf.refused("a segment cannot be written again", error) from error
        if job is None:
            self._failing = None
        return job

    def _note_failure(self) -> None:
        if self._failing is None:
            self._failing = self._author.clock.monotonic()

    def finish_sync(self, job: SyncJob) -> None:
        """Take the outcome of a sync into account. Raises DiskRefused when it failed."""
        try:
            self.unsynced.finish(job)
        except OSError as error:
            self._note_failure()
            raise self._shelf.refused("a sync failed", error) from error
        self._failing = None
        self._shelf.faults.clear("full", "read-only", "failing")
        self._note_tide()

    def _note_tide(self, *, closed: bool = False) -> None:
        """Leave word of how far all is durable; before anybody is shown it."""
        tip = self.unsynced.tip
        if tip is not None and self.unsynced.newest:
            boot = self._author.owner.boot
            stops = self._stops.notable
            number = self.unsynced.newest
            self.tidemark.write(Note(number, tip.epoch, tip.last, tip.digest, boot, closed, stops))

    def replaced(self) -> bool:
        """Whether somebody replaced, cut or removed the file that is being written."""
        if self.writer is None:
            return False
        name = self.writer.segment.name
        stat = self._shelf.stat(name)
        if stat and stat.identity == self.writer.identity and stat.size >= self.writer.segment.size:
            return False
        self._shelf.faults.note("replaced", self._shelf.path(name), "somebody replaced, cut or removed it")
        return True

    def mark_closed(self) -> None:
        """Write the marker of an orderly end. Raises DiskRefused."""
        if self.writer is None or self.writer.broken:
            return
        try:
            self.writer.mark_closed(self._time.now())
        except OSError as error:
            raise self._shelf.refused("the journal cannot be closed", error) from error

    def note_closed(self) -> None:
        """Leave word that the end written by `mark_closed` is durable."""
        if self.writer is not None and not self.writer.broken:
            self._note_tide(closed=True)

    def drop(self) -> None:
        """Close all files as they are."""
        self.tidemark.close()
        self.unsynced.clear()
        if self.writer is not None:
            self.writer.retire()
            self.writer = None
