"""Reading frames back, by sequence number; what turns out to be damaged is mended on the spot."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.disk import File
from tabard.agents.journal.frames import PREFIX_BYTES, Found, Prefix, head_digest, read_frame, read_prefix
from tabard.agents.journal.gaps import DAMAGED, MISSING, GapMaker, chain_digest
from tabard.agents.journal.mend import Mended, expected, mend, mended_head, mended_image
from tabard.agents.journal.segment import FIRST_FRAME, Index, Segment
from tabard.agents.journal.shelf import Shelf, blameless, passing
from tabard.brokers.wire.batch import GAP, KINDS, NO_DIGEST, Batch

CACHED: Final = 8
"""Segments whose index is kept."""
_WINDOW: Final = 8_192


class SegmentReader:
    """Reads frames of closed segments through indexes made on demand."""

    def __init__(self, shelf: Shelf, catalog: Catalog, gaps: GapMaker, lost: Callable[[], None]) -> None:
        self._shelf = shelf
        self._catalog = catalog
        self._gaps = gaps
        self._lost = lost
        """Told whenever gaps were put in: what was read before may not be there any more."""
        self._indexes: OrderedDict[int, Index] = OrderedDict()
        self._pinned: dict[int, Index] = {}
        """Indexes of segments that hold gaps which could not be written."""
        self.mended = 0
        """Segments that were found damaged."""

    def forget(self, segment: Segment) -> None:
        """The segment's file was replaced or removed."""
        self._indexes.pop(segment.number, None)
        self._pinned.pop(segment.number, None)

    def clear(self) -> None:
        """All files may have changed."""
        self._indexes.clear()
        self._pinned.clear()

    def read(self, segment: Segment, seq: int) -> Batch | None:
        """The batch of a closed segment that holds `seq`; a gap where it is damaged.

        None when it cannot be read now, for a reason that is not the file's.
        """
        try:
            for _ in range(2):
                index = self._index(segment)
                place = bisect_right(index.firsts, seq) - 1
                if place < 0:
                    return None
                batch = self._read_place(segment, index, place)
                if batch is not None:
                    return batch
                self.mend(segment)
        except OSError as error:
            if not blameless(error):
                raise
            self._refused(segment, error)
        return None

    def frames(self, segment: Segment, beyond: int, most: int) -> tuple[Index, list[int]]:
        """An index of the frames up to the one that holds `beyond` and `most` more, and where each ends.

        Of a closed segment that cannot be read: nothing. Raises OSError when it can be read again soon.
        """
        try:
            index = self._pinned.get(segment.number) or self._indexes.get(segment.number)
            known = index and (index, _ends(index, segment.end))
            found = known or self._first_frames(segment, beyond, most)
            if found is None:
                index = self._index(segment)
                found = index, _ends(index, segment.end)
        except OSError as error:
            self._refused(segment, error)
            if passing(error):
                raise
            return Index(), []
        return found

    def _first_frames(self, segment: Segment, beyond: int, most: int) -> tuple[Index, list[int]] | None:
        """None when they cannot be told by their prefixes alone. Raises OSError."""
        index, ends = Index(), []
        file = self._shelf.disk.open(self._shelf.path(segment.name))
        try:
            for offset, prefix in _steps(file, segment):
                index.add(prefix.first, offset, prefix.length)
                ends.append(prefix.last)
                if prefix.last > beyond:
                    most -= 1
                if most <= 0 or prefix.last == segment.end:
                    return index, ends
        finally:
            file.close()
        return None

    def digests(self, segment: Segment, index: Index, seqs: Sequence[int]) -> dict[int, bytes]:
        """The digests of those of the batches in `index` that end at `seqs`, as far as they can be read.

        Only heads are read, but for gap frames: a body may be a megabyte, and is not needed. Raises OSError when it can be
        read again soon.
        """
        found: dict[int, bytes] = {}
        try:
            file = self._shelf.disk.open(self._shelf.path(segment.name))
            try:
                for seq in seqs:
                    digest = _digest_at(file, index, bisect_right(index.firsts, seq) - 1)
                    if digest != NO_DIGEST:
                        found[seq] = digest
            finally:
                file.close()
        except OSError as error:
            self._refused(segment, error)
            if passing(error):
                raise
        return found

    def _refused(self, segment: Segment, error: OSError) -> None:
        self._shelf.faults.refused("a segment cannot be read now", self._shelf.path(segment.name), error)

    def _read_place(self, segment: Segment, index: Index, place: int) -> Batch | None:
        if index.offsets[place] < 0:
            return index.gaps[index.firsts[place]]
        try:
            file = self._shelf.disk.open(self._shelf.path(segment.name))
        except OSError as error:
            if blameless(error):
                raise
            return None
        try:
            return read_batch(file, index, place)
        finally:
            file.close()

    def _index(self, segment: Segment) -> Index:
        pinned = self._pinned.get(segment.number)
        if pinned is not None:
            return pinned
        index = self._indexes.get(segment.number) or self._scan(segment)
        if index is None:
            return self.mend(segment)
        self._keep(segment, index)
        return index

    def _keep(self, segment: Segment, index: Index) -> None:
        self._indexes[segment.number] = index
        self._indexes.move_to_end(segment.number)
        while len(self._indexes) > CACHED:
            self._indexes.popitem(last=False)

    def _scan(self, segment: Segment) -> Index | None:
        """An index by stepping from prefix to prefix; None when the steps do not lead to the segment's end."""
        try:
            file = self._shelf.disk.open(self._shelf.path(segment.name))
        except OSError as error:
            if blameless(error):
                raise
            return None
        try:
            return step_through(file, segment)
        except OSError:
            return None
        finally:
            file.close()

    def mend(self, segment: Segment, without: str = MISSING, *, rewrite: bool = False) -> Index:
        """Read a segment whole, put gaps where frames are lost, and replace the file if the disk lets us.

        `without` is the reason to give where there is no file. `rewrite` also replaces a file that lacks no frame.
        """
        self.forget(segment)
        try:
            data = self._shelf.read(segment.name, patient=not rewrite)
            reason = DAMAGED
        except FileNotFoundError:
            data, reason = b"", without
        except OSError as error:
            if blameless(error):
                raise
            data, reason = b"", DAMAGED
        mended = mend(data, expected(segment.head, segment.end, segment.digest), self._gaps, reason)
        if not mended.damaged and not rewrite:
            self._keep(segment, mended.index)
            return mended.index
        self.mended += 1
        self._lost()
        return self._settle(segment, mended, data)

    def _settle(self, segment: Segment, mended: Mended, data: bytes) -> Index:
        """Put what was mended in the damaged file's place; keep the gaps in memory where that fails."""
        name = segment.name
        path = self._shelf.path(name)
        try:
            head = mended_head(segment.head, mended)
            size = self._shelf.write_whole(name, mended_image(head, mended, data))
            self._shelf.keep_copy(name, f"{len(mended.index.gaps)} gaps were put where it is damaged")
            self._shelf.publish(name)
        except OSError as error:
            self._shelf.faults.note("damaged", path, f"it cannot be replaced: {error.strerror}")
            self._pinned[segment.number] = mended.index
            return mended.index
        segment.head = head
        self._catalog.resize(segment, size)
        index = self._scan(segment)
        if index is None:
            self._pinned[segment.number] = mended.index
            return mended.index
        self._keep(segment, index)
        return index


def read_batch(file: File, index: Index, place: int) -> Batch | None:
    """The batch at a place of an index; None when its bytes are ruined or gone."""
    try:
        data = file.read_at(index.lengths[place], index.offsets[place])
    except OSError as error:
        if passing(error):
            raise
        return None
    prefix = read_prefix(data)
    piece = read_frame(data, 0, prefix) if prefix else None
    if not isinstance(piece, Found) or piece.batch is None or piece.batch.header.first != index.firsts[place]:
        return None
    return piece.batch


def _digest_at(file: File, index: Index, place: int) -> bytes:
    """What the header after a frame names as its predecessor, `NO_DIGEST` where that is ruined. Raises OSError."""
    offset = index.offsets[place]
    if offset < 0:
        return chain_digest(index.gaps[index.firsts[place]])
    prefix = read_prefix(file.read_at(PREFIX_BYTES, offset))
    if prefix is None or prefix.first != index.firsts[place]:
        return NO_DIGEST
    if prefix.kind == GAP:
        gap = read_batch(file, index, place)
        return chain_digest(gap) if gap else NO_DIGEST
    return head_digest(
        file.read_at(prefix.length - prefix.body - PREFIX_BYTES, offset + PREFIX_BYTES), prefix
    )


def step_through(file: File, segment: Segment) -> Index | None:
    """An index of `segment` by its prefixes alone; None when they do not lead from its base to its end."""
    index, last = Index(), segment.base - 1
    for offset, prefix in _steps(file, segment):
        index.add(prefix.first, offset, prefix.length)
        last = prefix.last
    return index if last == segment.end else None


def _steps(file: File, segment: Segment) -> Iterator[tuple[int, Prefix]]:
    """Offset and prefix of each frame from its base to its end, as far as each leads to the next. Raises OSError."""
    offset, expected = FIRST_FRAME, segment.base
    window, start = b"", 0
    while expected <= segment.end:
        if offset + PREFIX_BYTES > start + len(window) or offset < start:
            window, start = file.read_at(_WINDOW, offset), offset
        prefix = read_prefix(window, offset - start)
        if prefix is None:
            return
        if prefix.kind in KINDS:
            if prefix.first != expected or not prefix.width:
                return
            yield offset, prefix
            expected = prefix.last + 1
        offset += prefix.length


def _ends(index: Index, last: int) -> list[int]:
    """Where the frames of a segment end that ends at `last`."""
    return [first - 1 for first in index.firsts[1:]] + [last] if index.firsts else []
