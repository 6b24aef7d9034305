"""Batches in quarantine, read: in the log where their records would stand, in lists, and counted by node."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.delivery.ports import Entry, EpochWork, NodeKey, SinkStore
from tabard.brokers.wire.streams import CONTROL, SAMPLES
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import GapRow, LogQuery
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.engine import Contract
from tests.contract.reading_logs import said, walk

SPOILT = b"\xc1"


def spoilt(chain: Chain, reason: str, count: int = 3) -> EpochWork:
    """A batch that nobody can read."""
    batch, _groups = chain.cut(count=count, body=SPOILT)
    chain.take(batch)
    return EpochWork(chain.key, chain.stream, chain.cursor, [Entry(batch, poison=reason)])


def joined(*work: EpochWork) -> EpochWork:
    """Several batches of one epoch as the work of one commit."""
    first = work[0]
    entries = [entry for item in work for entry in item.entries]
    return EpochWork(first.key, first.stream, first.cursor, entries)


class QuarantineContract(Contract):
    """What every engine answers about what it could not take."""

    @pytest.mark.parametrize("together", [True, False])
    def test_a_batch_stands_where_its_records_would(
        self, store: SinkStore, reader: StoreReader, together: bool
    ) -> None:
        """Just after the record before it in its epoch, whether that came in the same commit or before."""
        chain = Chain()
        work = [chain.work(logs(2)), spoilt(chain, "unreadable"), chain.work(logs(2, 2))]
        if together:
            store.commit([joined(*work)], NOON)
        else:
            for number, item in enumerate(work):
                store.commit([item], NOON + number)
        store.commit([Chain(MAIL).work([log("of mail", time=NOON + 1)])], NOON)
        page = reader.logs(LogQuery(order="old"))
        order = ["record 0", "of mail", "record 1", "unreadable", "record 2", "record 3"]
        assert said(page.rows) == order
        row = page.rows[3]
        assert isinstance(row, GapRow)
        assert (row.node, row.zone, row.stream, row.epoch) == ("web1", "hq/dmz", "logs", chain.epoch.hex())
        assert (row.first, row.last, row.count, row.at_least, row.kind) == (3, 5, 3, False, "quarantine")
        for older in (True, False):
            found = walk(reader, LogQuery(limit=1, order="new"), older=older)
            assert said(found) == (order[::-1] if older else order[-1:])

    def test_a_place_once_said_stays(self, store: SinkStore, reader: StoreReader) -> None:
        """One without a neighbour stands at its arrival, also when the record before it comes later: pages stay as they are."""
        chain = Chain()
        before = chain.work([log("before", time=NOON - 50 * SECOND)])
        store.commit([spoilt(chain, "unreadable")], NOON)
        (row,) = reader.logs(LogQuery()).rows
        assert row.time == NOON
        again = EpochWork(chain.key, chain.stream, chain.cursor, before.entries)
        store.commit([again], NOON + SECOND)
        after = reader.logs(LogQuery()).rows
        assert said(after) == ["unreadable", "before"]
        assert after[0].key == row.key

    def test_filters_of_place_choose_batches_and_others_do_not(
        self, store: SinkStore, reader: StoreReader
    ) -> None:
        """By node, zone and time, as gaps; nobody knows what level or text their records have."""
        for key, reason in ((WEB, "of web"), (MAIL, "of mail")):
            chain = Chain(key)
            store.commit([chain.work(logs(1))], NOON)
            store.commit([spoilt(chain, reason)], NOON)

        def held(**given: Any) -> list[str]:
            return sorted(said(row for row in reader.logs(LogQuery(**given)).rows if row.is_gap))

        assert held() == held(text="nothing") == held(min_severity=21) == ["of mail", "of web"]
        assert held(node="web1") == held(zone="hq/dmz") == ["of web"]
        assert held(zone="hq") == ["of mail", "of web"]
        assert held(node="nobody") == held(since=NOON + 1) == held(until=NOON) == []

    def test_batches_are_listed_by_node_zone_and_stream(self, store: SinkStore, reader: StoreReader) -> None:
        """Those that arrived last first, of all streams; event times do not count."""
        given = ((WEB, 2, "a", 9), (MAIL, SAMPLES, "b", 5), (WEB, CONTROL, "c", 7))
        for key, stream, reason, second in given:
            store.commit([spoilt(Chain(key, stream), reason)], NOON + second * SECOND)
        assert said(reader.quarantine()) == ["a", "c", "b"]
        assert said(reader.quarantine(limit=2)) == ["a", "c"]
        assert said(reader.quarantine("web1")) == ["a", "c"]
        assert said(reader.quarantine(zone="hq")) == ["a", "c", "b"]
        assert said(reader.quarantine(zone="hq/dmz", stream="logs")) == ["a"]
        assert said(reader.quarantine(stream="samples")) == ["b"]
        assert [row.stream for row in reader.quarantine("web1")] == ["logs", "control"]
        assert (
            reader.quarantine(stream="nonsense")
            == reader.quarantine("nobody")
            == reader.quarantine(zone="h")
            == []
        )

    def test_batches_are_counted_by_node(self, store: SinkStore, reader: StoreReader) -> None:
        """Of all streams; a node of the same name in another zone is another one; those without any are left out."""
        assert reader.quarantined() == {}
        other = NodeKey(WEB.node, "elsewhere")
        for key, stream in ((WEB, 2), (WEB, SAMPLES), (WEB, CONTROL), (other, 2)):
            store.commit([spoilt(Chain(key, stream), "no")], NOON)
        store.commit([Chain(MAIL).work(logs(1))], NOON)
        assert reader.quarantined() == {("hq/dmz", "web1"): 3, ("elsewhere", "web1"): 1}
        assert reader.stats().quarantined == 4
