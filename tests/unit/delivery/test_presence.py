"""What a beacon says of its node, from the publisher to whoever asks the store."""

from __future__ import annotations

from pathlib import Path

from tabard.consumers.store.read import Reader
from tabard.consumers.store.sqlite import SqliteStore
from tests.unit.delivery.rig import NODE, Ends, MemoryJournal


def test_the_lag_is_what_the_node_keeps_and_the_store_has_not(tmp_path: Path) -> None:
    """Records, over all epochs; an epoch's opening is none. What came in since the beacon counts as stored."""
    journal = MemoryJournal()
    journal.add(3)
    with SqliteStore.open(tmp_path) as store:
        ends = Ends(journal, store=store)
        ends.up()
        store.presence(ends.sink.presence())
        assert _lag(tmp_path, ends.wall) == {"logs": 3}
        ends.settle()
        store.presence(ends.sink.presence())
        assert _lag(tmp_path, ends.wall) == {"logs": 0}
        journal.begin(b"b" * 16)
        journal.add(2)
        ends.settle()
        journal.add(4)
        ends.up()
        ends.down()
        store.presence(ends.sink.presence())
        assert _lag(tmp_path, ends.wall) == {"logs": 0}


def _lag(directory: Path, now: int) -> dict[str, int]:
    with Reader(directory) as reader:
        row = reader.node(NODE.node, now)
    assert row is not None
    return dict(row.lag)
