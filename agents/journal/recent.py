"""The newest batches in memory, so that the live sender does not read what was just written."""

from __future__ import annotations

from collections import OrderedDict

from tabard.brokers.wire.batch import Batch


class Recent:
    """The batches appended last, up to a number of bytes.

    A sender that keeps up asks within a moment, and one that does not reads the files. So what has been here for a
    while is let go: a host that has fallen silent, or that no sink listens to, keeps nothing of its last burst.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: OrderedDict[tuple[bytes, int], Batch] = OrderedDict()
        self._bytes = 0
        self._young = 0
        """How many were added since `age` was called last, whether they are still here or not."""

    def add(self, batch: Batch) -> None:
        """Keep a batch; the oldest go when there are too many, but never the newest."""
        self._batches[batch.header.epoch, batch.header.first] = batch
        self._bytes += batch.size
        self._young += 1
        while self._bytes > self._limit and len(self._batches) > 1:
            self._drop()

    def age(self) -> None:
        """Let go what was here already when this was called last."""
        while len(self._batches) > self._young:
            self._drop()
        self._young = 0

    def get(self, epoch: bytes, first: int) -> Batch | None:
        """The batch of `epoch` that begins at `first`, None when it is not in memory."""
        return self._batches.get((epoch, first))

    def clear(self) -> None:
        """Forget all: what is kept of an epoch may have changed."""
        self._batches.clear()
        self._bytes = 0

    def _drop(self) -> None:
        _, oldest = self._batches.popitem(last=False)
        self._bytes -= oldest.size
