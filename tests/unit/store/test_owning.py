"""A recorder asks whose store it is before it stores anything."""

from __future__ import annotations

import pytest

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.consumers.recorder.owning import own
from tabard.consumers.store.sink_results import Owned
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import ForeignStore, StoreAway


class Away(SqliteStore):
    """A store whose server goes away just after it was opened."""

    def own(self, sink: str, began: int, where: str) -> Owned:
        """Nobody answers."""
        raise StoreUnavailable(f"{where}: the server closed the connection ({sink}, {began})")


def test_a_store_that_goes_away_at_once_is_waited_for() -> None:
    """As one that is away when it is opened: the recorder tries again, and does not end."""
    store = Away.memory()
    try:
        with pytest.raises(StoreAway, match="the store does not say whose it is"):
            own(store, "main", "the store")
    finally:
        store.close()


def test_a_store_of_another_sink_is_refused() -> None:
    """For good: waiting does not help."""
    with SqliteStore.memory() as store:
        assert own(store, "main", "the store").name == "main"
        with pytest.raises(ForeignStore, match="a store of sink main"):
            own(store, "plant", "the store")
