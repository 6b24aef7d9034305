"""What a sink that is to begin with what is new leaves out.

It is decided once for each stream of a node: when the sink hears of it for the first time. What the node keeps by then
counts as not wanted, and stands in the store as skipped: its cursor covers it, so that the node may let go of it, and
nothing says that it is lost. What could make a sink skip what it is to have, and what stands against it:

* A node that was installed after the sink began has nothing from before: how long it keeps what it keeps is less than
  the age of the sink. Both are differences of one clock, so that clocks of two hosts are never compared.
* A sink whose store was restored or replaced does not know nodes that it knew: a node that ever heard of something
  stored there says so for ever, and is taken for one that is known.
* A node keeps more epochs than fit a beacon: those named later are skipped as well, and they are told from new ones by
  where they stand, which is before one of which the store says that it was skipped. A new epoch stands behind.
* The commit fails, or the recorder dies: the decision is in the transaction of the cursors, so it is there or it is
  made again.
"""

from __future__ import annotations

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.ports import Gap, Heard, NodeKey, SinkStore
from tabard.brokers.delivery.ranges import UNKNOWN, Range
from tabard.brokers.wire.batch import NO_DIGEST
from tabard.brokers.wire.messages import Beacon, BeaconStream

SKIPPED = "skipped"
GRACE = 0.5
"""Seconds by which a node may be older than the sink and still count as younger: they may be started together."""
AGE = "journal_age"
"""The fact of a beacon that says for how many seconds the node has kept what it keeps."""
MET = "met"
"""The fact that says whether the node ever heard of something stored by this sink."""


class Starting:
    """Decides for one sink; `began` is when its store was begun, nanoseconds, None when it begins with the oldest."""

    def __init__(self, store: SinkStore, epochs: Epochs, began: int | None) -> None:
        self._store = store
        self._epochs = epochs
        self.began = began

    def look(self, key: NodeKey, stream: StreamBook) -> None:
        """At the beginning of a session: note what is known of the stream. Raises StoreUnavailable."""
        if self.began is not None:
            stream.heard = self._store.heard(key, stream.stream)

    def skip(self, wall: int, key: NodeKey, stream: StreamBook, part: BeaconStream, beacon: Beacon) -> None:
        """Leave out what is not wanted of what the node keeps, before anything is asked for. Raises StoreUnavailable.

        Also by a beacon from before this session: what it names is then all the older.
        """
        heard = stream.heard
        if heard is None or not part.spans:
            return
        names = [span[0] for span in part.spans]
        if heard.ever:
            unwanted = max((place for place, name in enumerate(names) if name in heard.skipped), default=0)
        else:
            stream.begins = not beacon.facts.get(MET)
            unwanted = len(names) if stream.begins and self._is_older(wall, beacon) else 0
        gone = {
            name
            for name, _, last, digest in part.spans[:unwanted]
            if _skip(self._epochs.book(key, stream, name), last, digest, ends=name != names[-1])
        }
        stream.heard = Heard(ever=True, skipped={*heard.skipped, *gone})

    def _is_older(self, wall: int, beacon: Beacon) -> bool:
        """Whether the node keeps something from before the sink began; one that does not say, may."""
        age = beacon.facts.get(AGE)
        if self.began is None or not isinstance(age, (int, float)):
            return True
        return age - GRACE > (wall - self.began) / 1e9


def _skip(book: EpochBook, last: int, digest: bytes, *, ends: bool) -> bool:
    """Count all of an epoch as passed, unless something of it is known; it `ends` there when another one follows."""
    if book.cursor.version or len(book.seen) or last < 1:
        return False
    book.seen.add(Range(1, last, UNKNOWN, UNKNOWN if digest == NO_DIGEST else digest))
    book.gaps.append(Gap(book.stored_as, 1, last, last - 1, at_least=False, kind=SKIPPED, reason="start"))
    book.ended = last if ends else None
    book.changed = True
    return True
