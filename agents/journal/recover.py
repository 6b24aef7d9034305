"""Opening a journal: from the files that are there to a catalog without holes.

Only heads are read, and the last segment whole. A hole that the heads show becomes a gap here; one
inside a segment becomes a gap when the segment is first read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.frames import PREFIX_BYTES, Found, walk
from tabard.agents.journal.gaps import DAMAGED, MISSING, GapMaker
from tabard.agents.journal.limits import MAX_MARKS
from tabard.agents.journal.mend import Expect, Mended, mend
from tabard.agents.journal.reader import SegmentReader
from tabard.agents.journal.segment import (
    HEAD_WINDOW,
    Head,
    Prior,
    Segment,
    SegmentDamaged,
    decode_marks,
    read_head,
    segment_name,
)
from tabard.agents.journal.shelf import Shelf, passing
from tabard.brokers.delivery.ports import EpochSpan
from tabard.brokers.wire.batch import NO_DIGEST, OPEN, Batch
from tabard.brokers.wire.codec import unpack
from tabard.errors import WireError


@dataclass(slots=True)
class Recovered:
    """What was found at the end of the journal, beside what is in the catalog."""

    marks: dict[str, Any] = field(default_factory=dict)
    last: Head | None = None
    """Head of the newest segment, None for a new journal."""
    kept: int = 0
    """Journal time of the newest frame, milliseconds."""
    closed: bool = True
    """The journal was closed in order, or is new."""
    lost: int | None = None
    """Records lost at the end: at least so many; None when none are missed."""
    unsynced: list[Segment] = field(default_factory=list)
    """Segments that may not be durable yet."""
    next_number: int = 1


class Recovery:
    """Fills an empty `catalog` from the files in `shelf`."""

    def __init__(
        self, shelf: Shelf, catalog: Catalog, reader: SegmentReader, gaps: GapMaker, stream: int
    ) -> None:
        self._shelf = shelf
        self._catalog = catalog
        self._reader = reader
        self._gaps = gaps
        self._stream = stream
        self._suspects: list[Segment] = []
        self._set_aside: set[int] = set()
        """Numbers of the files that nothing could be read from."""

    def run(self, boot: str) -> Recovered:
        """Do it. Raises JournalError when the directory cannot be used, OSError when it cannot be now."""
        numbers = self._shelf.numbers()
        found = Recovered(next_number=numbers[-1] + 1 if numbers else 1)
        for number in numbers:
            segment = self._read(number, newest=number == numbers[-1])
            if segment is not None:
                self._place(segment)
        tail = self._read_tail()
        if tail is not None:
            newest = self._catalog.newest
            assert newest is not None
            found.last, found.closed = newest.head, tail.closed and not self._after(newest)
            found.kept = max(newest.newest, newest.head.kept)
            found.lost = self._lost(newest, tail, boot)
            found.marks = self._marks(tail)
            if not found.closed:
                found.unsynced = self._unsynced(boot)
        elif self._set_aside:
            found.closed, found.lost = False, 0
        for segment in self._suspects:
            if self._catalog.find(segment.epoch, segment.end) is segment:
                without = DAMAGED if segment.number in self._set_aside else MISSING
                self._reader.mend(segment, without, rewrite=True)
        return found

    # --- one file ------------------------------------------------------------------------------

    def _read(self, number: int, *, newest: bool) -> Segment | None:
        name = segment_name(number)
        try:
            head = read_head(self._shelf.read(name, HEAD_WINDOW))
        except SegmentDamaged as damage:
            return self._salvage(number, str(damage), newest=newest)
        except OSError as error:
            if passing(error):
                raise
            self._give_up(number, f"it cannot be read: {error.strerror}")
            return None
        stat = self._shelf.stat(name)
        if head.stream != self._stream:
            self._give_up(number, f"it belongs to stream {head.stream}, not {self._stream}")
            return None
        return _segment(number, head, stat.size if stat else 0)

    def _salvage(self, number: int, why: str, *, newest: bool) -> Segment | None:
        """A segment whose head is ruined, known by its first frame that is not."""
        name = segment_name(number)
        data = self._shelf.read(name)
        first = next((batch for batch in _batches(data) if batch.header.stream == self._stream), None)
        if first is None:
            if not data and newest:
                self._shelf.remove(name)  # made, and not yet written to, when the process ended
            else:
                self._give_up(number, why)
            return None
        header = first.header
        head = Head(
            self._stream, header.epoch, header.first, header.previous, _prior_of(first), "", 0.0, 0, 0
        )
        segment = _segment(number, head, len(data))
        self._suspects.append(segment)
        return segment

    def _give_up(self, number: int, why: str) -> None:
        self._set_aside.add(number)
        self._shelf.set_aside(segment_name(number), why)

    def _after(self, newest: Segment) -> bool:
        """Whether a file after the newest segment had to be set aside."""
        return any(number > newest.number for number in self._set_aside)

    # --- its place -----------------------------------------------------------------------------

    def _place(self, segment: Segment) -> None:
        catalog, head = self._catalog, segment.head
        newest = catalog.newest
        while newest and newest.epoch == head.epoch and head.gap and head.base <= newest.base <= head.end:
            catalog.remove(newest)  # this gap took its place; only its name was still there
            self._shelf.remove(newest.name)
            newest = catalog.newest
        if newest and newest.epoch == head.epoch:
            if head.base <= max(newest.base, newest.head.end):
                self._shelf.set_aside(segment.name, "it is a second copy of a segment")
                return
            self._end_segment(newest, segment)
        elif catalog.epoch(head.epoch):
            self._shelf.set_aside(segment.name, "it is a second copy of an older segment")
            return
        elif newest:
            self._end_epoch(newest, segment)
            if head.base > 1:
                segment.head = head._replace(base=1, previous=NO_DIGEST)
                self._suspects.append(segment)
        catalog.add(segment)

    def _end_segment(self, newest: Segment, following: Segment) -> None:
        """Say where a segment ended, as the next one of its epoch knows; what lies between is missing."""
        head = following.head
        newest.newest = head.before
        end = newest.head.stated_end
        if end is None and newest.number + 1 < following.number:
            end = self._scan(newest).last  # a file may be missing between them
        if end is None or end >= head.base - 1:
            newest.end, newest.digest = head.base - 1, head.previous
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
        missing = _segment(newest.number + 1, head, 0)
        if missing.number >= following.number:
            # No name is free between them: the segment before takes the gap in.
            if newest.epoch == epoch:
                newest.end, newest.digest = last, digest
                self._suspects.append(newest)
            return
        self._suspects.append(missing)
        self._catalog.add(missing)

    def _end_epoch(self, newest: Segment, following: Segment) -> None:
        """Say where the epoch of `newest` ended, as the head of the epoch after it knows."""
        newest.newest = following.head.before
        prior = following.head.prior
        if (
            prior is not None
            and prior.epoch == newest.epoch
            and prior.last >= max(newest.base - 1, newest.head.end)
        ):
            newest.end, newest.digest = prior.last, prior.digest
            return
        self._scan(newest)
        if prior is not None and not self._catalog.epoch(prior.epoch):
            self._miss(newest, following, prior.epoch, 1, prior.last, prior.digest)  # a whole epoch

    # --- the end -------------------------------------------------------------------------------

    def _read_tail(self) -> Mended | None:
        while (newest := self._catalog.newest) is not None:
            tail = self._scan(newest)
            if newest.end:
                return tail
            # Not even the OPEN of this epoch was kept: nobody has heard of it.
            self._catalog.remove(newest)
            self._set_aside.add(newest.number)
            self._shelf.remove(newest.name)
        return None

    def _scan(self, segment: Segment) -> Mended:
        """Read a segment whole to learn where it ends."""
        try:
            data = self._shelf.read(segment.name)
        except OSError as error:
            if passing(error):
                raise
            data = b""
        head = segment.head
        expect = Expect(head.epoch, head.base, head.previous, head.stated_end, head.digest)
        mended = mend(data, expect, self._gaps)
        segment.end, segment.digest = mended.last, mended.digest
        segment.newest = max(segment.newest, mended.kept)
        self._catalog.changed()
        if mended.damaged and segment not in self._suspects:
            self._suspects.append(segment)
        return mended

    def _lost(self, newest: Segment, tail: Mended, boot: str) -> int | None:
        """How many accepted records the end is known to lack, at least; None when it is as it was left.

        Within one boot an unfinished frame was never accepted. After a power cut nobody knows.
        """
        if self._after(newest):
            return 0
        if tail.torn is None:
            return None
        if newest.head.boot != boot:
            return 0
        torn = tail.torn
        return 1 if torn.prefix is None and torn.end - torn.offset >= PREFIX_BYTES else None

    def _unsynced(self, boot: str) -> list[Segment]:
        """The segments that a process of this boot may have left unsynced; of an earlier one, nothing waits."""
        heads = [segment.head for segment in self._catalog if segment.head.boot]  # ruined heads know none
        if heads and heads[-1].boot != boot:
            return []
        start = heads[-1].unsynced if heads else 0
        return [segment for segment in self._catalog if segment.number >= start]

    def _marks(self, tail: Mended) -> dict[str, Any]:
        """The marks of the newest frames on top of the newest snapshot that can be read."""
        layers = [tail]
        for segment in reversed(list(self._catalog)[:-1]):
            if layers[-1].snapshot is not None:
                break
            layers.append(self._scan_again(segment))
        marks: dict[str, Any] = {}
        for layer in reversed(layers):
            for encoded in (layer.snapshot or b"", *layer.marks):
                for source, mark in decode_marks(encoded).items():
                    marks.pop(source, None)
                    marks[source] = mark
        return dict(list(marks.items())[-MAX_MARKS:])

    def _scan_again(self, segment: Segment) -> Mended:
        try:
            data = self._shelf.read(segment.name)
        except OSError:
            data = b""
        head = segment.head
        return mend(
            data, Expect(head.epoch, head.base, head.previous, segment.end, segment.digest), self._gaps
        )


def _segment(number: int, head: Head, size: int) -> Segment:
    if head.stated_end is not None:
        return Segment(number, head, head.end, head.digest, size, head.kept)
    return Segment(number, head, head.base - 1, head.previous, size, head.kept)


def _batches(data: bytes) -> list[Batch]:
    return [piece.batch for piece in walk(data, 0) if isinstance(piece, Found) and piece.batch]


def _prior_of(batch: Batch) -> Prior | None:
    """The epoch before it, as an OPEN batch says."""
    if batch.header.kind != OPEN:
        return None
    try:
        facts = unpack(batch.body)
    except WireError:
        return None
    if not facts["previous"]:
        return None
    return Prior(facts["previous"], facts["previous_last"], facts["previous_digest"])


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
