"""Nodes as the store knows them: state, lag, heartbeats, gaps, totals."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.delivery.ports import NodeKey, Presence, SinkStore
from tabard.brokers.wire.streams import CONTROL, SAMPLES
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import StreamStats
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.engine import Contract

MINUTE = 60 * SECOND


def beat(key: NodeKey = WEB, heard: int = NOON, **more: Any) -> Presence:
    """A beacon of a node that speaks every ten seconds."""
    given = {"wall": heard, "interval": 10.0, "state": {}, "facts": {}, **more}
    return Presence(key, heard, **given)


class NodeContract(Contract):
    """What every engine answers about nodes and about itself."""

    @pytest.mark.parametrize(
        ("age", "state"),
        [(-5, "up"), (0, "up"), (20, "up"), (21, "late"), (30, "late"), (31, "silent"), (90_000, "silent")],
    )
    def test_a_node_is_judged_by_its_last_beacon(
        self, store: SinkStore, reader: StoreReader, age: int, state: str
    ) -> None:
        """Against its own interval: late after two, silent after three."""
        store.presence([beat()])
        (node,) = reader.nodes(NOON + age * SECOND)
        assert (node.name, node.zone, node.state, node.last_beacon, node.interval) == (
            "web1",
            "hq/dmz",
            state,
            NOON,
            10.0,
        )

    def test_a_node_without_a_beacon_is_still_listed(self, store: SinkStore, reader: StoreReader) -> None:
        """Its records came, so it is known."""
        store.commit([Chain(MAIL).work(logs(1))], NOON)
        store.presence([beat()])
        assert [(node.zone, node.name, node.state) for node in reader.nodes(NOON)] == [
            ("hq", "mail1", "never"),
            ("hq/dmz", "web1", "up"),
        ]
        mail = reader.node("mail1", NOON)
        assert mail is not None
        assert (mail.last_beacon, mail.interval, mail.clock, mail.version, mail.facts) == (
            None,
            None,
            None,
            None,
            {},
        )

    def test_a_beacon_shows_lag_clock_and_facts(self, store: SinkStore, reader: StoreReader) -> None:
        """Lag per stream is what the node has beyond what is stored; a number that is missing is not guessed."""
        state = {
            "logs": {"behind": 20, "last": 120, "oldest": 1},
            "samples": {"behind": 0},
            "control": {"last": 5},
            "nonsense": 7,
        }
        facts = {"version": "1.2.3", "system": "Linux"}
        store.presence([beat(wall=NOON + 5 * SECOND, state=state, facts=facts)])
        node = reader.node("web1", NOON)
        assert node is not None
        assert node.lag == {"logs": 20, "samples": 0}
        assert (node.clock, node.version, node.facts) == (5 * SECOND, "1.2.3", facts)

    def test_of_two_nodes_of_one_name_the_one_heard_last_is_meant(
        self, store: SinkStore, reader: StoreReader
    ) -> None:
        """Unless the zone is given."""
        plant = NodeKey("web1", "plant")
        store.presence([beat(heard=NOON), beat(plant, NOON + 1)])
        found = [
            reader.node("web1", NOON),
            reader.node("web1", NOON, "hq/dmz"),
            reader.node("web1", NOON, "moon"),
        ]
        assert [node and node.zone for node in found] == ["plant", "hq/dmz", None]
        assert reader.node("nobody", NOON) is None

    def test_gaps_of_all_streams_are_counted(self, store: SinkStore, reader: StoreReader) -> None:
        """Those in the other file too."""
        store.presence([beat(), beat(MAIL)])
        store.commit([Chain().lose(3), Chain(stream=SAMPLES).lose(3), Chain(stream=CONTROL).lose(1)], NOON)
        assert [(node.name, node.gaps) for node in reader.nodes(NOON)] == [("mail1", 0), ("web1", 3)]

    def test_heartbeats_are_given_by_the_minute(self, store: SinkStore, reader: StoreReader) -> None:
        """A minute without one is not there."""
        store.presence([beat(heard=NOON + offset * SECOND) for offset in (0, 10, 20, 130)])
        store.presence([beat(heard=NOON + 30 * SECOND), beat(MAIL)])
        assert reader.heartbeats("web1", NOON, NOON + 3 * MINUTE) == [(NOON, 4), (NOON + 2 * MINUTE, 1)]
        assert reader.heartbeats("web1", NOON + 1, NOON + 2 * MINUTE) == []
        assert reader.heartbeats("nobody", NOON, NOON + MINUTE) == []

    def test_the_newest_beacon_is_that_of_any_node(self, store: SinkStore, reader: StoreReader) -> None:
        """With that node's own interval; records are no beacons."""
        store.commit([Chain(MAIL).work(logs(1))], NOON)
        assert reader.newest_beacon() is None
        store.presence([beat(heard=NOON + 9 * SECOND, wall=1, interval=2.5)])
        store.presence([beat(MAIL, heard=NOON + 3 * SECOND, wall=NOON + 3600 * SECOND)])
        assert reader.newest_beacon() == (NOON + 9 * SECOND, 2_500_000_000)

    def test_totals_of_the_store(self, store: SinkStore, reader: StoreReader) -> None:
        """Rows per stream with the arrival of the first and last, nodes, gaps, quarantine, size."""
        store.commit([Chain().work(logs(3)), Chain(MAIL).work(logs(2))], NOON)
        store.commit([Chain(name="b").work([log()]), Chain(MAIL, name="b").lose(5)], NOON + 9)
        store.commit(
            [Chain(stream=SAMPLES).work(["malformed"]), Chain(stream=CONTROL).work([(1, "answer", {})])], NOON
        )
        stats = reader.stats()
        assert stats.streams == {
            "logs": StreamStats(6, NOON, NOON + 9),
            "samples": StreamStats(0, None, None),
            "control": StreamStats(1, NOON, NOON),
        }
        assert (stats.nodes, stats.gaps, stats.quarantined) == (2, 1, 1)
        assert stats.bytes > 0
        assert stats.free >= 0
