"""Which ends of batches a gap names, when it cannot name all of them.

A sink that is cut off has stored what it last said, and perhaps some of what was on its way then. So the ends that matter
are the few behind where some sink was last known to have stopped; a gap that a sink may have stored is such a place too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

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
