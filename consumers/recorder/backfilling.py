"""What a recorder does about what was asked for again: it opens the next ranges once those before them are closed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.delivery.sink import Sink
from tabard.consumers.store.backfills import Backfill
from tabard.consumers.store.ports import RecorderStore

AT_ONCE: Final = 8
"""Streams that are backfilled at the same time: each begins with a new session of its node."""

_log = logging.getLogger(__name__)


class Backfilling:
    """Driven once a second. Nothing is kept in here: another recorder, or the next process, goes on from the store."""

    def __init__(self, store: RecorderStore, sink: Sink, wall: Callable[[], int]) -> None:
        self._store = store
        self._sink = sink
        self._wall = wall

    def step(self, now: float) -> None:
        """Go on with those whose nodes are here; what cannot be done now is tried again.

        Raises CursorConflict: the store is another one, or somebody else changed a cursor in it.
        """
        try:
            here = [each for each in self._store.backfills() if self._sink.attached(each.key)]
            for backfill in here[:AT_ONCE]:
                self._go_on(now, backfill)
        except StoreUnavailable as error:
            _log.warning("what was asked for again is put off: %s", error)

    def _go_on(self, now: float, backfill: Backfill) -> None:
        if self._store.opened(backfill):
            self._store.settle_backfill(backfill, None)
        elif (count := self._store.reopen(backfill)) is None:
            self._store.settle_backfill(backfill, self._wall())
        elif count:
            self._sink.anew(now, backfill.key)
