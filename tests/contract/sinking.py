"""What every engine must do about its sink: say whose it is, skip, ask again, fill, and be retired."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tabard.brokers.delivery.ports import CursorConflict, Entry, EpochWork, SinkStore
from tabard.brokers.delivery.ranges import Range
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.sink_results import StreamKey
from tabard.errors import ForeignStore
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, logs
from tests.contract.engine import Contract

ARRIVED: Final = NOON + 3600 * SECOND
KEY: Final = StreamKey(WEB.zone, WEB.node, "logs")


def _passed(chain: Chain, parts: int, count: int) -> list[tuple[Any, Any]]:
    """Batches that are cut and not stored: what a sink skips, or a node dropped."""
    return [chain.cut(logs(count, number * count)) for number in range(parts)]


def _late(chain: Chain, batch: Any, groups: Any) -> EpochWork:
    """What stores one of them after all."""
    header = batch.header
    chain.cursor.ranges.add(Range(header.first, header.last, header.previous, batch.digest))
    return EpochWork(chain.key, chain.stream, chain.cursor, [Entry(batch, groups)], fills=True)


class SinkContract(Contract):
    """Inherit, and give an `engine`."""

    def test_the_first_recorder_says_whose_it_is(self, store: Any) -> None:
        """Once; the same sink may come again, another one is refused and told whose it is."""
        assert store.owned() is None
        assert store.own("plant", 5, "here") == store.own("plant", 9, "here") == store.owned()
        assert store.owned()[:3] == ("plant", 5, None)
        with pytest.raises(ForeignStore) as refused:
            store.own("hq", 9, "here")
        assert refused.value.expected == "a store of sink hq, which recorder.sink names"
        assert (refused.value.found, refused.value.where) == ("a store of sink plant", "here")

    def test_a_retirement_stays_until_it_is_taken_back(self, store: Any) -> None:
        """The first word stays; one who says it again changes nothing."""
        store.own("plant", 5, "here")
        store.retire("ada@hub", 7)
        store.retire("bob@hub", 8)
        assert store.owned()[2:] == (7, "ada@hub")
        store.retire(None, None)
        assert store.owned()[2:] == (None, None)

    def test_what_is_heard_and_skipped(self, store: Any, reader: StoreReader) -> None:
        """A stream is heard of once anything of it is committed; what was skipped is no gap, on no page."""
        chain = Chain()
        assert store.heard(WEB, LOGS).ever is False
        store.commit([chain.lose(8, "start", "skipped")], ARRIVED)
        heard = store.heard(WEB, LOGS)
        assert (heard.ever, set(heard.skipped)) == (True, {chain.epoch})
        assert store.heard(MAIL, LOGS).ever is False
        assert store.said(WEB, LOGS, chain.epoch) == [(1, 8)]
        assert reader.gaps() == []
        assert reader.sink().skipped == {KEY: 8}

    @pytest.mark.parametrize("kind", ["skipped", "gap"])
    def test_what_is_asked_for_again_takes_its_place(
        self, store: Any, reader: StoreReader, kind: str
    ) -> None:
        """Its range is taken out of the cursor; each batch shrinks what is said of it, and the last one ends it."""
        chain = Chain()
        start = [Entry(*chain.cut(logs(4, 90)))]
        chain.take(start[0].batch)
        store.commit([EpochWork(WEB, LOGS, chain.cursor, start)], ARRIVED)
        missing = _passed(chain, 3, 4)
        chain.next = 5
        store.commit([chain.lose(12, "quota", kind)], ARRIVED)
        store.commit([chain.work(logs(4, 50))], ARRIVED)
        assert [each[1:] for each in store.ask_again("web1", None, "ada", ARRIVED)] == [("logs", 12, True)]
        assert [each[1:] for each in store.ask_again(None, "hq", "bob", ARRIVED)] == [("logs", 12, False)]
        assert (
            store.ask_again(None, "other", "bob", ARRIVED)
            == store.ask_again("mail1", None, "bob", ARRIVED)
            == []
        )
        (asked,) = store.backfills()
        assert store.reopen(asked) == 1
        cursor = store.load(WEB, LOGS, [chain.epoch])[chain.epoch]
        assert [(item.lo, item.hi) for item in cursor.ranges] == [(1, 4), (17, 20)]
        (asked,) = store.backfills()
        assert [hole[1:] for hole in store.opened(asked)] == [(5, 16)]
        chain.cursor = cursor
        for number, (said, skipped) in ((1, ([(5, 8), (13, 16)], 8)), (0, ([(13, 16)], 4)), (2, ([], 0))):
            store.commit([_late(chain, *missing[number])], ARRIVED + 9)
            assert store.said(WEB, LOGS, chain.epoch) == said
            assert sum(gap.count for gap in reader.gaps()) == (skipped if kind == "gap" else 0)
            assert sum(reader.sink().skipped.values()) == (skipped if kind == "skipped" else 0)
        assert store.reopen(asked) is None
        store.settle_backfill(asked, ARRIVED + 10)
        assert store.backfills() == []
        row = reader.sink().asked[KEY]
        assert (row.asked, row.came, row.asked_by, row.ended) == (12, 12, "ada", ARRIVED + 10)
        found = reader.context(1, 50)
        assert [record.seq for record in found] == list(range(1, 21))
        assert store.ask_again(None, None, "ada", ARRIVED) == []

    def test_a_cursor_has_room_for_few_holes(self, store: Any) -> None:
        """The rest is opened when those before it are closed, and one that fails in between is asked for anew."""
        chain = Chain()
        for number in range(12):
            store.commit([chain.work(logs(2, number * 4))], ARRIVED)
            store.commit([chain.lose(2)], ARRIVED)
        store.ask_again(None, None, "ada", ARRIVED)
        (asked,) = store.backfills()
        assert store.reopen(asked) == 6
        (asked,) = store.backfills()
        assert store.reopen(asked) == 0
        cursor = store.load(WEB, LOGS, [chain.epoch])[chain.epoch]
        for hole in store.opened(asked):
            cursor.ranges.add(Range(hole.first, hole.last, b"", b""))
        store.commit([EpochWork(WEB, LOGS, cursor)], ARRIVED)
        (asked,) = store.backfills()
        assert store.opened(asked) == []
        assert store.reopen(asked) == 6
        assert len(store.said(WEB, LOGS, chain.epoch)) == 12

    def test_what_is_not_exact_or_has_two_histories_is_left_alone(self, store: SinkStore) -> None:
        """Nobody could say where what comes belongs."""
        from tabard.brokers.delivery.book import forked_id
        from tabard.brokers.delivery.ports import Gap

        anystore: Any = store
        chain = Chain()
        work = chain.work(logs(3))
        work.gaps = [
            Gap(chain.epoch, 2, 3, 1, True, "gap", "quota"),
            Gap(chain.epoch, 3, None, 0, True, "doubt", "power"),
        ]
        anystore.commit([work], ARRIVED)
        assert anystore.ask_again(None, None, "ada", ARRIVED) == []
        anystore.commit([chain.lose(5)], ARRIVED)
        fork = Chain(name="fork")
        fork.epoch = fork.cursor.epoch = forked_id(chain.epoch)
        fork.cursor.previous = chain.epoch
        anystore.commit([fork.work(logs(2))], ARRIVED)
        assert len(anystore.ask_again(None, None, "ada", ARRIVED)) == 1
        (asked,) = anystore.backfills()
        assert anystore.reopen(asked) == 0
        (asked,) = anystore.backfills()
        assert anystore.reopen(asked) is None

    def test_a_commit_on_a_cursor_from_before_is_refused(self, store: Any) -> None:
        """What a recorder knew of the epoch before a range of it was opened does not hold any more."""
        chain = Chain()
        store.commit([chain.work(logs(3))], ARRIVED)
        store.commit([chain.lose(5)], ARRIVED)
        store.ask_again(None, None, "ada", ARRIVED)
        (asked,) = store.backfills()
        store.reopen(asked)
        with pytest.raises(CursorConflict):
            store.commit([chain.work(logs(3, 9))], ARRIVED)
