"""The newest batches in memory, so that the live sender does not read what was just written."""

from __future__ import annotations

from collections import OrderedDict

from tabard.brokers.wire.batch import Batch


class Recent:
    """The batches appended last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: OrderedDict[tuple[bytes, int], Batch] = OrderedDict()
        self._bytes = 0

    def add(self, batch: Batch) -> None:
        """Keep a batch; the oldest go when there are too many, but never the newest."""
        self._batches[batch.header.epoch, batch.header.first] = batch
        self._bytes += batch.size
        while self._bytes > self._limit and len(self._batches) > 1:
            _, old = self._batches.popitem(last=False)
            self._bytes -= old.size

    def get(self, epoch: bytes, first: int) -> Batch | None:
        """The batch of `epoch` that begins at `first`, None when it is not in memory."""
        return self._batches.get((epoch, first))

    def clear(self) -> None:
        """Forget all: what is kept of an epoch may have changed."""
        self._batches.clear()
        self._bytes = 0
