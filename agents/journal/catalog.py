"""The segments of one journal in order, by epoch, without their frames."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter

from tabard.agents.journal.segment import Prior, Segment
from tabard.brokers.delivery.ports import EpochSpan

_base = attrgetter("base")


class Catalog:
    """Segments, oldest first; those of one epoch stand together."""

    def __init__(self) -> None:
        self._epochs: dict[bytes, list[Segment]] = {}
        self._closed: tuple[EpochSpan, ...] | None = None
        """Spans of all epochs but the newest, which grows with every batch."""
        self.bytes = 0
        """Bytes on disk, in whole blocks."""
        self.acked_bytes = 0
        """Those of segments that every required sink has stored."""
        self.version = 0
        """Changes whenever the spans of closed epochs may have."""

    def clear(self) -> None:
        """Forget all."""
        self._epochs.clear()
        self.bytes = self.acked_bytes = 0
        self.changed()

    def __iter__(self) -> Iterator[Segment]:
        for segments in self._epochs.values():
            yield from segments

    def __len__(self) -> int:
        return sum(map(len, self._epochs.values()))

    @property
    def oldest(self) -> Segment | None:
        """The first segment."""
        return next(iter(self), None)

    @property
    def newest(self) -> Segment | None:
        """The last segment."""
        return next(reversed(self._epochs.values()))[-1] if self._epochs else None

    @property
    def tip(self) -> Prior | None:
        """Where the newest epoch ends now."""
        newest = self.newest
        return Prior(newest.epoch, newest.end, newest.digest) if newest else None

    def epoch(self, epoch: bytes) -> list[Segment]:
        """The segments of one epoch; not to be changed."""
        return self._epochs.get(epoch, [])

    def add(self, segment: Segment) -> None:
        """Put a segment at the end: of its epoch, which is the newest or a new one."""
        self._epochs.setdefault(segment.epoch, []).append(segment)
        self.bytes += segment.footprint
        self.changed()

    def remove(self, segment: Segment) -> None:
        """Forget a segment."""
        self.set_acked(segment, acked=False)
        segments = self._epochs[segment.epoch]
        segments.remove(segment)
        if not segments:
            del self._epochs[segment.epoch]
        self.bytes -= segment.footprint
        self.changed()

    def resize(self, segment: Segment, size: int) -> None:
        """Note the new size of a segment's file."""
        before = segment.footprint
        segment.size = size
        self.bytes += segment.footprint - before
        self.acked_bytes += segment.acked * (segment.footprint - before)

    def set_acked(self, segment: Segment, *, acked: bool) -> None:
        """Note whether every required sink has stored all of a segment."""
        if segment.acked != acked:
            self.acked_bytes += segment.footprint if acked else -segment.footprint
        segment.acked = acked

    def changed(self) -> None:
        """An edge of an epoch other than the newest one's end moved."""
        self._closed = None
        self.version += 1

    def find(self, epoch: bytes, seq: int) -> Segment | None:
        """The segment that holds `seq`."""
        segments = self._epochs.get(epoch)
        if not segments:
            return None
        place = bisect_right(segments, seq, key=_base) - 1
        return segments[place] if place >= 0 and seq <= segments[place].end else None

    def spans(self) -> tuple[EpochSpan, ...]:
        """What is kept of each epoch, oldest first; an epoch of which nothing is kept is left out."""
        if not self._epochs:
            return ()
        if self._closed is None:
            closed = map(_span, list(self._epochs.values())[:-1])
            self._closed = tuple(span for span in closed if span.oldest <= span.last)
        return (*self._closed, _span(next(reversed(self._epochs.values()))))

    def spans_upto(self, tip: Prior | None) -> tuple[EpochSpan, ...]:
        """What of the spans is at or before `tip`; nothing when that is None."""
        if tip is None:
            return ()
        spans = self.spans()
        for place, span in enumerate(spans):
            if span.epoch == tip.epoch:
                return (*spans[:place], span._replace(last=tip.last, digest=tip.digest))
        return spans[:-1]  # it was let go; what is written now is younger than it


def _span(segments: list[Segment]) -> EpochSpan:
    first, last = segments[0], segments[-1]
    return EpochSpan(first.epoch, first.base, last.end, last.digest)
