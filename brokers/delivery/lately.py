"""What a node sent lately, by digest: so that it can tell its own records from others of the same numbers when it has let go of them.

A sink whose store was put back names how far it has what it has. Where the node has let go of records behind that, its journal can not be
compared with it any more. It says in its beacons which of the digests that a cursor named it sent itself: what ends with one of
those is of its history from the first on, since digests form a chain. Of the others nobody can know.

It lies in memory: where that goes back, as a machine is put back, what was sent since is not in it.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping
from typing import Any, Final

OWN: Final = "own"
"""The fact of a beacon that lists those digests; a sink of an earlier edition does not look at it."""
MOST: Final = 8_192
"""Batches of one stream, to one sink, that are remembered: 64 KiB."""
MOST_SAID: Final = 64
_BYTES: Final = 8
"""Of a digest: enough to tell the node's own from others, none of which anybody chose."""


class Lately:
    """Of one stream, to one sink."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._marks = array("Q")
        self._oldest = 0

    def note(self, digest: bytes) -> None:
        """A batch was sent; the oldest of too many is forgotten."""
        mark = _mark(digest)
        if len(self._marks) < self._most:
            self._marks.append(mark)
        else:
            self._marks[self._oldest] = mark
            self._oldest = (self._oldest + 1) % self._most

    def __contains__(self, digest: bytes) -> bool:
        return _mark(digest) in self._marks


def _mark(digest: bytes) -> int:
    return int.from_bytes(digest[:_BYTES], "big")


def own_of(facts: Mapping[str, Any]) -> Collection[bytes]:
    """The digests that a node says are its own."""
    said = facts.get(OWN)
    if not isinstance(said, tuple):
        return ()
    return frozenset(item for item in said if isinstance(item, bytes) and item)
