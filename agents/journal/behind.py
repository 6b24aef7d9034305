"""Which ends of batches a gap names, when it cannot name all of them.

A sink that is cut off has stored what it last said, and perhaps some of what was on its way then. So the ends that matter
are the few behind where some sink was last known to have stopped; a gap that a sink may have stored is such a place too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.tidemark import MAX_STOPS, Stop
from tabard.brokers.delivery.ranges import Ranges

IN_FLIGHT: Final = 256
"""Batches that a sink may have received of a stream behind what it last said to have stored: two windows of credit."""


def nearest(
    ends: Iterable[int], held: Ranges, stops: Collection[int], gaps: Collection[int], most: int
) -> list[int]:
    """At most `most` of the rising `ends`: those that have the fewest others between them and the stop before them.

    `held`: what every sink has stored; none of them stops inside of it, but at its ends. `stops` are the last sequence
    numbers of what any sink has stored. `gaps` are those of gaps, which a sink may have stored: what follows them comes
    after what may be in flight behind a stop.
    """
    ranked = []
    rank = 0
    for end in ends:
        run = held.covering(end)
        if run is not None and end < run.hi:
            continue
        rank = 0 if end in stops else rank + 1
        if end in gaps:
            rank = min(rank, IN_FLIGHT)
            ranked.append((0, end))
        else:
            ranked.append((rank, end))
    return sorted(end for _, end in sorted(ranked)[:most])


class Stops:
    """Where sinks have stopped, as far as is known: by what they said, or by the note of a process before this one."""

    def __init__(self) -> None:
        self._held: Mapping[bytes, Ranges] = {}
        self._said: Mapping[bytes, Collection[int]] = {}
        self._noted: tuple[Stop, ...] = ()
        self.notable: tuple[Stop, ...] = ()
        """What is to be noted for the next process: the oldest that matter."""

    def clear(self) -> None:
        """The files are read anew: what sinks said may have been of others."""
        self._held, self._said = {}, {}

    def recall(self, noted: tuple[Stop, ...]) -> None:
        """Take over what the process before this one knew; no sink has said anything yet."""
        self._noted = self.notable = noted

    def mark(
        self, held: Mapping[bytes, Ranges], said: Mapping[bytes, Collection[int]], kept: Catalog
    ) -> None:
        """Take over what every sink has stored, and where any of them stopped, of what the journal keeps."""
        self._held, self._said = dict(held), dict(said)
        newest = kept.newest
        found = []
        for epoch in held:
            segments = kept.epoch(epoch)
            last = segments[-1].end if segments else 0
            within, stops = self.of(epoch)
            for stop in sorted(stops):
                run = within.covering(stop)
                ended = stop >= last and newest is not None and epoch != newest.epoch
                if not ended and (run is None or stop == run.hi):
                    found.append(Stop(epoch, stop))
        self.notable = tuple(found[:MAX_STOPS])

    def of(self, epoch: bytes) -> tuple[Ranges, set[int]]:
        """What every sink has stored of an epoch; the last sequence numbers of what any has."""
        held = self._held.get(epoch, Ranges())
        stops = {run.hi for run in held}.union(self._said.get(epoch, ()))
        return held, stops.union(stop.seq for stop in self._noted if stop.epoch == epoch)
