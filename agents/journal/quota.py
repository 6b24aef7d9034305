"""Letting go of segments: those that every sink has stored, then the oldest, which leave a gap behind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tabard import failpoints
from tabard.agents.journal.behind import Stops, nearest
from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.frames import encode_batch
from tabard.agents.journal.gaps import (
    AGE,
    FULL,
    QUOTA,
    Dropped,
    GapMaker,
    gap_digest,
    gap_points,
    gap_reason,
    joined_reasons,
    opening_of,
)
from tabard.agents.journal.limits import BLOCK
from tabard.agents.journal.reader import SegmentReader
from tabard.agents.journal.segment import Head, Index, Segment, encode_head
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.unsynced import Unsynced
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.batch import NO_DIGEST, Batch
from tabard.brokers.wire.points import MAX_POINTS, POINT_BYTES, Point, mark_of

GAP_WRITTEN = failpoints.declare(
    "journal.gap_written", "past putting a gap in place of records, before what it merged with is removed"
)
BEFORE_UNLINK = failpoints.declare(
    "journal.before_unlink", "about to remove a segment that is not needed any more"
)

_AROUND = 16
"""Bytes that the name and the length of points take in a gap's body."""


class Quota:
    """Decides which closed segments go, and takes them away."""

    def __init__(
        self,
        shelf: Shelf,
        catalog: Catalog,
        reader: SegmentReader,
        gaps: GapMaker,
        unsynced: Unsynced,
        stops: Stops,
    ) -> None:
        self._shelf = shelf
        self._catalog = catalog
        self._reader = reader
        self._gaps = gaps
        self._unsynced = unsynced
        self._newest_stored = (0, 0)
        """Number of the segment being written, and the last sequence number of it stored everywhere."""
        self._stops = stops
        self._unplaced: dict[int, tuple[Point, ...]] = {}
        """By segment, the points of a gap that the disk refused: its file may be in place all the same, and be the only copy."""
        self.dropped_records = 0
        """Records that gave way to gaps since the journal was opened."""
        self.forgotten_records = 0
        """Records whose gaps were let go since then."""

    def mark(self, cursors: Mapping[bytes, Ranges], stops: Mapping[bytes, Collection[int]]) -> None:
        """Note which segments every required sink has stored; a lower cursor takes that back.

        `stops`: by epoch, the last sequence numbers of what any of them has stored.
        """
        self._stops.mark(cursors, stops, self._catalog)
        for epoch, ranges in cursors.items():
            for segment in self._catalog.epoch(epoch):
                held = ranges.covering(segment.base)
                acked = held is not None and held.hi >= segment.end >= segment.base
                if segment is self._catalog.newest:
                    self._newest_stored = (segment.number, held.hi if held else 0)
                else:
                    self._catalog.set_acked(segment, acked=acked)

    def lacking(self, cursors: Mapping[bytes, Ranges]) -> tuple[int, int | None]:
        """Bytes of the segments that are not stored to their end by these cursors; when the oldest was begun."""
        size, since = 0, None
        for segment in self._catalog:
            ranges = cursors.get(segment.epoch)
            held = ranges.covering(segment.base) if ranges else None
            if segment.end < segment.base or (held is not None and held.hi >= segment.end):
                continue
            size += segment.footprint
            since = segment.head.kept if since is None else min(since, segment.head.kept)
        return size, since

    def drop_acked(self, keep: int) -> None:
        """Remove the oldest segments that are stored everywhere, until `keep` bytes of such are left."""
        self._drop_empty()
        while self._catalog.acked_bytes > keep:
            oldest = self._catalog.oldest
            if oldest is None or not oldest.acked or not self._drop(oldest):
                return
            self._drop_empty()

    def _drop_empty(self) -> None:
        """Remove what stands first and holds nothing: the end of an epoch whose records went elsewhere."""
        while (
            (oldest := self._catalog.oldest)
            and oldest.end < oldest.base
            and oldest is not self._catalog.newest
        ):
            if not self._drop(oldest):
                return

    def drop_stored(self, segment: Segment) -> None:
        """Remove a segment that was just closed and of which `stores` was true."""
        self._catalog.set_acked(segment, acked=True)
        self.drop_acked(0)

    def stores(self, segment: Segment) -> bool:
        """Whether all of the segment being written is stored everywhere, as far as is known."""
        number, last = self._newest_stored
        return number == segment.number and last >= segment.end

    def clear(self) -> None:
        """Forget what is stored: the segments are read anew."""
        self._newest_stored = (0, 0)
        self._stops.clear()
        self._unplaced.clear()

    def drop_old(self, kept: int) -> None:
        """Let go of segments whose newest frame is older than journal time `kept`, in milliseconds."""
        for segment in list(self._catalog)[:-1]:
            if segment.newest > kept:
                return
            if segment.acked and segment is self._catalog.oldest:
                done = self._drop(segment)
            else:
                done = segment.bare or self._give_way(segment, AGE)
            if not done:
                return

    def shrink(self, limit: int, reason: str = QUOTA) -> None:
        """Let go of segments until at most `limit` bytes are left, or nothing more can go.

        For the `reason` that the disk is full only those whose gap takes less than they do.
        """
        while self._catalog.bytes > limit:
            oldest = self._catalog.oldest
            if oldest is not None and oldest.acked:
                done = self._drop(oldest)
            else:
                victim = self._victim(spacious=reason == FULL)
                done = victim is not None and self._give_way(victim, reason)
            if not done:
                return

    def thin(self, limit: int) -> None:
        """Keep at most `limit` segments where the oldest hold no record.

        An agent that is started every minute and never meets a sink leaves an epoch each time. How many records
        the gaps among them stood for is said as a fault; a sink learns from the first epoch kept that something
        is missing before it.
        """
        excess = len(self._catalog) - limit
        while excess > 0 and (oldest := self._catalog.oldest) and oldest.bare:
            records = oldest.end - max(oldest.base, 2) + 1 if oldest.head.gap else 0
            if oldest is self._catalog.newest or not self._drop(oldest):
                return
            excess -= 1
            self._forget_gap(records)

    def _forget_gap(self, records: int) -> None:
        self.forgotten_records += records
        if records:
            what = f"gaps of {self.forgotten_records} records were let go before a sink heard of them"
            self._shelf.faults.note("forgotten", self._shelf.directory, what)

    def _victim(self, *, spacious: bool) -> Segment | None:
        closed = [
            segment
            for segment in self._catalog
            if not segment.bare
            and segment is not self._catalog.newest
            and (not spacious or segment.footprint > BLOCK or self._merges(segment))
        ]
        return next((segment for segment in closed if segment.acked), closed[0] if closed else None)

    def _merges(self, segment: Segment) -> bool:
        """Whether there is a gap next to it that its own would become one with."""
        row = self._catalog.epoch(segment.epoch)
        place = row.index(segment)
        return any(other.head.gap for other in row[max(place - 1, 0) : place + 2])

    def _drop(self, segment: Segment) -> bool:
        """Remove a segment; only once a later one is durable, or a power cut could take all trace of the epoch."""
        if segment.number >= self._unsynced.newest:
            return False
        failpoints.hit(BEFORE_UNLINK)
        if not self._shelf.remove(segment.name):
            return False
        self._unsynced.note_name()  # with the next sync it is gone for good, in this order
        self._forget(segment)
        return True

    def _forget(self, segment: Segment) -> None:
        self._reader.forget(segment)
        self._catalog.remove(segment)
        self._unsynced.discard(segment.number)
        self._unplaced.pop(segment.number, None)

    def _give_way(self, segment: Segment, reason: str) -> bool:
        """Put a gap in place of a segment, merged with the gaps next to it."""
        merged, reasons = self._neighbours(segment, reason)
        first, last = merged[0], merged[-1]
        head = last.head._replace(
            base=first.base,
            previous=first.head.previous,
            prior=first.head.prior,
            kept=first.head.kept,
            before=first.head.before,
            end=last.end,
            digest=last.digest,
            gap=True,
        )
        try:
            gap = self._gap(merged, head, reasons)
        except OSError:
            return False  # noted by the reader; what a sink may have stored is not to be forgotten for a moment's need
        image = [encode_head(head), encode_batch(gap, head.kept)]
        try:
            self._unplaced[last.number] = gap_points(gap)
            size = self._shelf.replace(last.number, image)
        except OSError as error:
            self._shelf.faults.refused("a gap cannot be written", self._shelf.path(last.name), error)
            return False
        del self._unplaced[last.number]
        failpoints.hit(GAP_WRITTEN)
        self.dropped_records += segment.end - segment.base + 1 - (segment.base == 1)
        for other in merged[:-1]:
            self._shelf.remove(other.name)
            self._forget(other)
        self._catalog.set_acked(last, acked=False)
        self._reader.forget(last)
        self._unsynced.discard(last.number)
        last.head = head
        self._catalog.resize(last, size)
        self._catalog.changed()
        return True

    def _gap(self, merged: Sequence[Segment], head: Head, reasons: str) -> Batch:
        """The gap in the place of segments, with as many points as leave it smaller than those were, by a block.

        Raises OSError when what the points are made of can be read again soon.
        """
        first = merged[0]
        dropped = Dropped(head.epoch, head.base, head.end, head.previous, head.digest)
        begins = self._reader.read(first, 1) if first.base == 1 else None
        opening = opening_of(begins) if begins else b""
        gap = self._gaps.make(dropped, reasons, opening)
        room = max(sum(segment.footprint for segment in merged) - BLOCK, BLOCK) - _AROUND
        bare = len(encode_head(head)) + len(encode_batch(gap, head.kept))
        most = min((room - bare) // POINT_BYTES, MAX_POINTS)
        points = self._points(merged, most) if most > 0 else []
        return self._gaps.make(dropped, reasons, opening, points) if points else gap

    def _points(self, merged: Sequence[Segment], most: int) -> list[Point]:
        """The ends of batches within segments that a sink may have stored up to, without that of the last one."""
        held, stops = self._stops.of(merged[0].epoch)
        gaps: set[int] = set()
        known: dict[int, bytes] = {}
        batches: dict[int, tuple[Segment, Index]] = {}
        for segment in merged:
            known.update(self._unplaced.get(segment.number, ()))
            within = (stop for stop in stops if segment.base <= stop <= segment.end)
            index, ends = self._reader.frames(segment, max(within, default=0), most)
            for end in ends:
                gap = self._reader.read(segment, end) if segment.head.gap else None
                if gap is None:
                    batches[end] = segment, index
                    continue
                gaps.add(end)
                known.update(gap_points(gap))
                if (digest := gap_digest(gap)) != NO_DIGEST:
                    known[end] = mark_of(digest)
        inside = (known.keys() | batches.keys()) - {merged[-1].end}
        ends = nearest(sorted(inside), held, stops, gaps, most)
        wanted: dict[int, list[int]] = {}
        for end in ends:
            if end not in known:
                wanted.setdefault(batches[end][0].number, []).append(end)
        for seqs in wanted.values():
            read = self._reader.digests(*batches[seqs[0]], seqs)
            known.update((end, mark_of(digest)) for end, digest in read.items())
        return [Point(end, known[end]) for end in ends if end in known]

    def _neighbours(self, segment: Segment, reason: str) -> tuple[list[Segment], str]:
        """The segment with the gap segments of its epoch on both sides, and the reason for all of them."""
        row = self._catalog.epoch(segment.epoch)
        start = place = row.index(segment)
        end = place + 1
        while start > 0 and row[start - 1].head.gap:
            start -= 1
        while end < len(row) and row[end].head.gap:
            end += 1
        merged = row[start:end]
        reasons = [reason]
        for other in merged:
            if other.head.gap:
                gap = self._reader.read(other, other.base)
                reasons.append(gap_reason(gap) if gap else reason)
        return list(merged), joined_reasons(reasons)
