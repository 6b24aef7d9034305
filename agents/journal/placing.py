"""Putting segments in their order: where each ends, and gaps for what is missing between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.gaps import GapMaker
from tabard.agents.journal.mend import Mended, expected, mend
from tabard.agents.journal.segment import Head, Prior, Segment
from tabard.agents.journal.shelf import Shelf, blameless
from tabard.agents.journal.tidemark import Note
from tabard.brokers.delivery.ports import EpochSpan
from tabard.brokers.wire.batch import NO_DIGEST


class Placing:
    """Fills a catalog with segments in the order of their numbers."""

    def __init__(self, shelf: Shelf, catalog: Catalog, gaps: GapMaker, stream: int) -> None:
        self._shelf = shelf
        self._catalog = catalog
        self._gaps = gaps
        self._stream = stream
        self.suspects: list[Segment] = []
        """Segments that lack something, or whose files have to be written anew."""
        self._copies: list[tuple[bytes, int]] = []
        """Epoch and last sequence number of what was set aside as a copy."""

    def suspect(self, segment: Segment) -> None:
        """Have it mended."""
        if segment not in self.suspects:
            self.suspects.append(segment)

    def place(self, segment: Segment) -> None:
        """Put the segment with the next number where it belongs."""
        catalog, head = self._catalog, segment.head
        newest = catalog.newest
        while newest and head.replaces(newest.head):
            catalog.remove(newest)  # this gap took its place; only its name was still there
            self._shelf.remove(newest.name)
            newest = catalog.newest
        row = catalog.epoch(head.epoch)
        if row:
            if head.base <= max(row[-1].base, row[-1].head.end):
                self._set_copy_aside(segment)
                return
            self._end_segment(row[-1], segment)
        elif newest:
            self._end_epoch(newest, segment)
            if head.base > 1:
                prior = Prior(newest.epoch, newest.end, newest.digest)
                segment.head = head._replace(base=1, previous=NO_DIGEST, prior=head.prior or prior)
                self.suspect(segment)
        catalog.add(segment)
        if segment is not catalog.newest:
            self.scan(segment)  # of an epoch that somebody wrote while a later one was written, too

    def _set_copy_aside(self, segment: Segment) -> None:
        end = segment.head.stated_end or self.scan(segment).last
        self._copies.append((segment.epoch, end))
        self._shelf.set_aside(segment.name, "it is a second copy of a segment")

    def lost_with_copies(self) -> int | None:
        """Records that were in what was set aside as a copy and in no segment, at least; None when there are none."""
        beyond = [end - row[-1].end for epoch, end in self._copies if (row := self._catalog.epoch(epoch))]
        return max((lost for lost in beyond if lost > 0), default=None)

    def _end_segment(self, newest: Segment, following: Segment) -> None:
        """Say where a segment ended, as the next one of its epoch knows; what lies between is missing."""
        head = following.head
        newest.newest = head.before
        end = newest.head.stated_end
        if end is None and newest.number + 1 < following.number:
            end = self.scan(newest).last  # a file may be missing between them
        if end is None or end >= head.base - 1:
            newest.end, newest.digest = head.base - 1, head.previous
            self._catalog.changed()
        else:
            self._miss(newest, following, newest.head.epoch, newest.end + 1, head.base - 1, head.previous)

    def _miss(
        self, newest: Segment, following: Segment, epoch: bytes, base: int, last: int, digest: bytes
    ) -> None:
        """Put a gap between two segments for what must have been between them."""
        tip = Prior(newest.epoch, newest.end, newest.digest)
        head = following.head._replace(
            epoch=epoch,
            base=base,
            previous=NO_DIGEST if base == 1 else newest.digest,
            prior=tip if base == 1 else None,
            kept=following.head.before,
            end=last,
            digest=digest,
            gap=True,
        )
        missing = segment_of(newest.number + 1, head, 0)
        if missing.number >= following.number or newest is not self._catalog.newest:
            # No name is free between them: the segment before takes the gap in.
            if newest.epoch == epoch:
                newest.end, newest.digest = last, digest
                self.suspect(newest)
            return
        self.suspect(missing)
        self._catalog.add(missing)

    def _end_epoch(self, newest: Segment, following: Segment) -> None:
        """Say where the epoch of `newest` ended, as the head of the epoch after it knows."""
        newest.newest = following.head.before
        prior, tip = following.head.prior, newest.head.ended_by(following.head)
        if tip is not None and tip.last >= max(newest.base - 1, newest.head.end):
            newest.end, newest.digest = tip
            return
        self.scan(newest)
        if prior is not None and not self._catalog.epoch(prior.epoch):
            self._miss(newest, following, prior.epoch, 1, prior.last, prior.digest)  # a whole epoch

    def scan(self, segment: Segment) -> Mended:
        """Read a segment whole to learn where it ends. Raises OSError when it cannot be opened now."""
        mended = self.look(segment, segment.head.stated_end, segment.head.digest)
        segment.end, segment.digest = mended.last, mended.digest
        segment.newest = max(segment.newest, mended.kept)
        self._catalog.changed()
        if mended.damaged:
            self.suspect(segment)
        return mended

    def look(self, segment: Segment, end: int | None, digest: bytes) -> Mended:
        """What a segment holds up to `end`. Raises OSError when it cannot be opened now."""
        try:
            data = self._shelf.read(segment.name)
        except OSError as error:
            if blameless(error):
                raise
            data = b""
        return mend(data, expected(segment.head, end, digest), self._gaps)

    # --- what the note of the end knows ----------------------------------------------------------

    def complete(self, note: Note, number: int) -> bool:
        """Hold the end of the journal against the note of it; whether nothing is missing that the note knows.

        What is missing is made a gap, in the segment `number` when its file is gone and its name is taken.
        """
        top = max((segment.number for segment in self._catalog), default=0)
        if top > note.number:
            return True  # the heads of later segments say how it went on
        row = self._catalog.epoch(note.epoch)
        if row and row[-1].number == note.number:
            segment = row[-1]
            if segment.end >= note.last:
                return True
            segment.end, segment.digest = note.last, note.digest
            self._catalog.changed()
            self.suspect(segment)
            return False
        base = row[-1].end + 1 if row else 1
        if base <= note.last:
            tip = self._catalog.tip
            newest = self._catalog.newest
            head = newest.head if newest else Head(self._stream, b"", 1, NO_DIGEST, None, "", 0.0, 0, 0)
            head = head._replace(
                epoch=note.epoch,
                base=base,
                previous=row[-1].digest if row else NO_DIGEST,
                prior=None if row else tip,
                end=note.last,
                digest=note.digest,
                gap=True,
            )
            missing = segment_of(note.number if top < note.number else number, head, 0)
            self.suspect(missing)
            self._catalog.add(missing)
        return False


def segment_of(number: int, head: Head, size: int) -> Segment:
    """A segment as its head alone knows it."""
    if head.stated_end is not None:
        return Segment(number, head, head.end, head.digest, size, head.kept)
    return Segment(number, head, head.base - 1, head.previous, size, head.kept)


def account_for(
    catalog: Catalog, before: Sequence[EpochSpan], missing: Callable[[EpochSpan, int], Segment]
) -> list[Segment]:
    """Put segments at the end of the catalog for what it lacks of the spans `before`, and return them.

    `missing` makes the segment for the rest of a span, from a sequence number on.
    """
    newest = catalog.newest
    known = [span.epoch for span in before]
    start = known.index(newest.epoch) if newest and newest.epoch in known else 0
    added = []
    for span in before[start:]:
        kept = catalog.epoch(span.epoch)
        base = kept[-1].end + 1 if kept else span.oldest
        if base <= span.last:
            segment = missing(span, base)
            catalog.add(segment)
            added.append(segment)
    return added
