"""The sinks that a home knows of: those its agent sends to, and the one whose store is here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tabard import audit
from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.wire.messages import MAX_WHO
from tabard.consumers.store import engines
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.place import Place
from tabard.consumers.store.ports import RecorderStore
from tabard.consumers.store.sink_results import Owned
from tabard.errors import StoreError
from tabard.home import Home
from tabard.settings import Settings


def somebody() -> str:
    """Who runs this command, as short as a store and a node keep it."""
    return audit.somebody()[:MAX_WHO]


@contextmanager
def written_store(home: Home, settings: Settings) -> Iterator[RecorderStore | None]:
    """The store of a home, to be changed by a command beside its recorder; None when there is none.

    Raises StoreError when it is there and cannot be used.
    """
    place = Place.of(settings, home)
    if not engines.versions(place):
        engines.reach(place)  # one that is away is not one without a store
        yield None
        return
    store = engines.open_store(place, settings.str("store.synchronous"), RetentionLimits.of(settings)).store
    try:
        yield store
    except StoreUnavailable as error:
        raise StoreError("the store cannot be written now", found=str(error), where=str(place)) from error
    finally:
        store.close()


def owned_store(home: Home, settings: Settings) -> Owned | None:
    """What the store of a home says of its sink; None when there is no store. Raises StoreError."""
    with written_store(home, settings) as store:
        return None if store is None else store.owned()


def wait_gone(path: os.PathLike[str], seconds: float) -> bool:
    """Whether a file is gone within so many seconds: somebody has taken it for what it is."""
    end = time.monotonic() + seconds
    while os.path.exists(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)  # another process's work: there is no event to wait for
    return True


def noted(home: Home) -> Mapping[str, Mapping[str, Any]]:
    """By sink, what the agent of a home takes for retired, also by orders that it has yet to find; empty without an agent."""
    from tabard.agents import orders
    from tabard.agents.notes import Notes
    from tabard.brokers.delivery.notes import BY_NODE, Retirement

    try:
        retired = dict(Notes.open(home.journal).retired())
    except OSError:
        retired = {}
    for _, order in orders.waiting(home):
        if order is not None and order.what == orders.RETIRE:
            retired.setdefault(order.sink, Retirement(BY_NODE, order.who, order.since))
        elif order is not None:
            retired.pop(order.sink, None)
    return {name: word._asdict() for name, word in retired.items()}
