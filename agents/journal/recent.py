"""The newest batches in memory, so that the live sender does not read what was just written."""

from __future__ import annotations

from collections import OrderedDict

from tabard.brokers.wire.batch import Batch


class Recent:
    """Batches of the epoch being written, by first sequence number, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: OrderedDict[int, Batch] = OrderedDict()
        self._bytes = 0

    def add(self, batch: Batch) -> None:
        """Keep a batch; the oldest go when there are too many, but never the newest."""
        self._batches[batch.header.first] = batch
        self._bytes += batch.size
        while self._bytes > self._limit and len(self._batches) > 1:
            _, old = self._batches.popitem(last=False)
            self._bytes -= old.size

    def get(self, first: int) -> Batch | None:
        """The batch that begins at `first`, None when it is not in memory."""
        return self._batches.get(first)

    def clear(self) -> None:
        """Forget all: another epoch begins."""
        self._batches.clear()
        self._bytes = 0
