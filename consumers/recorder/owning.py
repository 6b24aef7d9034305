"""Whose store a recorder works on: asked before anything is stored, and looked at again while it works."""

from __future__ import annotations

import logging
import os

from tabard.brokers.delivery.notes import BY_SINK, Retirement
from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.delivery.sink import Sink
from tabard.clock import wall
from tabard.consumers.store.ports import RecorderStore
from tabard.consumers.store.sink_results import Owned
from tabard.errors import StoreAway

_log = logging.getLogger(__name__)


def own(store: RecorderStore, sink: str, where: str) -> Owned:
    """Say whose store it is; what it says of its sink now.

    A store that is new counts as begun when this process was: an agent that was started with it, by `tabard up`, is
    no older. Raises ForeignStore when it is another sink's, StoreAway when it cannot be asked just now.
    """
    try:
        return store.own(sink, started_at(), where)
    except StoreUnavailable as error:
        raise StoreAway(
            "the store does not say whose it is",
            expected="one that can be written",
            found=str(error),
            where=where,
        ) from error


def started_at() -> int:
    """When this process was started, nanoseconds since 1970; now where the system does not say."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime", "rb") as file:
            up = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return wall()
    age = max(up - ticks / os.sysconf("SC_CLK_TCK"), 0.0)
    return wall() - round(age * 1e9)


class Watch:
    """Has the sink follow what its store says of it."""

    def __init__(self, store: RecorderStore, sink: Sink) -> None:
        self._store = store
        self._sink = sink

    def look(self) -> None:
        """Once a second. A store that is away says nothing new; raises CursorConflict when it is another one."""
        try:
            owned = self._store.owned()
        except StoreUnavailable:
            return
        if owned is None:
            return
        word = None if owned.retired is None else Retirement(BY_SINK, owned.retired_by or "", owned.retired)
        if word != self._sink.retiring.word:
            what = f"retired, as {word.who} said: its nodes are told" if word else "required again"
            _log.warning("sink %s is %s", self._sink.name, what)
            self._sink.retire(word)
