"""Opening a journal: from the files that are there to a catalog without holes.

Only heads are read, and the last segment whole. A hole that the heads or the note of the end show becomes a gap
here; one inside a segment becomes a gap when the segment is first read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.frames import PREFIX_BYTES, Found, walk
from tabard.agents.journal.gaps import DAMAGED, MISSING, GapMaker
from tabard.agents.journal.marks import decode, forget
from tabard.agents.journal.mend import Mended
from tabard.agents.journal.placing import Placing, segment_of
from tabard.agents.journal.reader import SegmentReader
from tabard.agents.journal.segment import (
    HEAD_WINDOW,
    Head,
    Prior,
    Segment,
    SegmentDamaged,
    read_head,
    segment_name,
    unfinished_start,
)
from tabard.agents.journal.shelf import Shelf, blameless
from tabard.agents.journal.tidemark import Note
from tabard.brokers.wire.batch import OPEN, Batch
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
    """The journal was closed in order, or is new, and nothing is missing."""
    power: bool = False
    """It was not closed, and the host was booted since."""
    lost: int | None = None
    """Records lost at the end beside those in gaps: at least so many; None when none are missed."""
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
        self._stream = stream
        self._placing = Placing(shelf, catalog, gaps, stream)
        self._set_aside: set[int] = set()
        """Numbers of the files that nothing could be read from."""
        self._begun = False
        """A file after the newest segment held nothing: its writer died in its first write."""

    def run(self, boot: str, note: Note | None) -> Recovered:
        """Do it, knowing what a `note` says of the end.

        Raises JournalError when the directory cannot be used, OSError when a file of it cannot be opened now.
        """
        numbers = self._shelf.numbers()
        found = Recovered(next_number=max(*numbers[-1:], note.number if note else 0, 0) + 1)
        for number in numbers:
            segment = self._read(number, newest=number == numbers[-1])
            if segment is not None:
                self._placing.place(segment)
        tail = self._read_tail(boot)
        newest = self._catalog.newest
        wrote = self._wrote(note)
        if tail is not None and newest is not None:
            found.closed = tail.closed and not self._begun and not self._after(newest)
            found.lost = self._lost(newest, tail, power=wrote != boot)
            found.marks = self._marks(tail)
        elif self._set_aside:
            found.closed, found.lost = False, 0
        if note is not None:
            self._hold_against(note, found)
        lost = self._placing.lost_with_copies()
        if lost is not None:
            found.closed, found.lost = False, max(lost, found.lost or 0)
        newest = self._catalog.newest
        if newest is not None:
            found.last, found.kept = newest.head, max(newest.newest, newest.head.kept)
            ended = note is not None and note.closed and note.number >= newest.number and not self._begun
            found.power = not found.closed and not ended and wrote != boot
            if not found.closed:
                found.unsynced = self._unsynced(boot)
        self._mend_suspects()
        return found

    def _mend_suspects(self) -> None:
        for segment in self._placing.suspects:
            if self._catalog.find(segment.epoch, segment.end) is segment:
                without = DAMAGED if segment.number in self._set_aside else MISSING
                self._reader.mend(segment, without, rewrite=True)

    # --- one file ------------------------------------------------------------------------------

    def _read(self, number: int, *, newest: bool) -> Segment | None:
        name = segment_name(number)
        try:
            head = read_head(self._shelf.read(name, HEAD_WINDOW))
        except SegmentDamaged as damage:
            return self._salvage(number, str(damage), newest=newest)
        except OSError as error:
            if blameless(error):
                raise
            self._give_up(number, f"it cannot be read: {error.strerror}")
            return None
        stat = self._shelf.stat(name)
        if head.stream != self._stream:
            self._give_up(number, f"it belongs to stream {head.stream}, not {self._stream}")
            return None
        return segment_of(number, head, stat.size if stat else 0)

    def _salvage(self, number: int, why: str, *, newest: bool) -> Segment | None:
        """A segment whose head is ruined, known by its first frame that is not."""
        name = segment_name(number)
        data = self._shelf.read(name)
        first = next((batch for batch in _batches(data) if batch.header.stream == self._stream), None)
        if first is None:
            if newest and unfinished_start(data):
                self._shelf.remove(name)  # made, and its head not yet written, when the process ended
                self._begun = True
            else:
                self._give_up(number, why)
            return None
        header = first.header
        head = Head(
            self._stream, header.epoch, header.first, header.previous, _prior_of(first), "", 0.0, 0, 0
        )
        segment = segment_of(number, head, len(data))
        self._placing.suspect(segment)
        return segment

    def _give_up(self, number: int, why: str) -> None:
        self._set_aside.add(number)
        self._shelf.set_aside(segment_name(number), why)

    def _after(self, newest: Segment) -> bool:
        """Whether a file after the newest segment had to be set aside."""
        return any(number > newest.number for number in self._set_aside)

    # --- the end -------------------------------------------------------------------------------

    def _read_tail(self, boot: str) -> Mended | None:
        while (newest := self._catalog.newest) is not None:
            tail = self._placing.scan(newest)
            if newest.end:
                return tail
            # Not even the OPEN of this epoch was kept: nobody has heard of it.
            self._catalog.remove(newest)
            if tail.torn is None or tail.unfinished or newest.head.boot != boot:
                self._shelf.remove(newest.name)
                self._begun = True
            else:
                self._give_up(newest.number, "nothing but its head can be read")
        return None

    def _wrote(self, note: Note | None) -> str:
        """In which boot the journal was written last, empty when nothing says so."""
        newest = self._catalog.newest
        if note is not None and (newest is None or note.number >= newest.number):
            return note.boot
        heads = (segment.head for segment in reversed(list(self._catalog)))
        return next((head.boot for head in heads if head.boot), "")

    def _lost(self, newest: Segment, tail: Mended, *, power: bool) -> int | None:
        """How many accepted records the end is known to lack, at least; None when it is as it was left.

        Within one boot an unfinished frame was never accepted. After a power cut nobody knows.
        """
        if self._after(newest):
            return 0
        if tail.torn is None:
            return None
        if power:
            return 0
        if tail.unfinished:
            return None
        self._placing.suspect(newest)
        return 1 if tail.torn.end - tail.torn.offset >= PREFIX_BYTES else 0

    def _hold_against(self, note: Note, found: Recovered) -> None:
        """Take what `note` knows of the end into account."""
        newest = self._catalog.newest
        whole = self._placing.complete(note, found.next_number)
        if whole and found.closed < note.closed and newest is not None and newest.number == note.number:
            self._placing.suspect(newest)  # only the marker of its end is gone, or what came behind it
            found.lost = None
        if not whole:
            found.closed = False
            found.lost = None if note.closed else 0
            what = "its end was cut off, or its last file is gone"
            self._shelf.faults.note("damaged", self._shelf.directory, what)
        newest = self._catalog.newest
        if newest is not None:
            found.next_number = max(found.next_number, newest.number + 1)

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
            layers.append(self._placing.look(segment, segment.end, segment.digest))
        marks: dict[str, Any] = {}
        for layer in reversed(layers):
            for encoded in (layer.snapshot or b"", *layer.marks):
                found = decode(encoded)
                if found is None:
                    what = "marks cannot be read: what their sources sent may be read again"
                    self._shelf.faults.note("forgotten", self._shelf.directory, what)
                for source, mark in (found or {}).items():
                    marks.pop(source, None)
                    marks[source] = mark
        forget(marks)
        return marks


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
