"""Reading the log: every record once, in order, whatever the filters, keys and time boxes; gaps in their places."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

from tabard.brokers.delivery.ports import EpochWork, Gap, NodeKey, SinkStore
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import GapRow, LogQuery, LogRow
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.engine import Contract, ReadingEngine


class Home:
    """A store with what writes log records into it and what reads them."""

    def __init__(self, store: SinkStore, reader: StoreReader) -> None:
        self.store = store
        self.reader = reader
        self.chains: dict[NodeKey, Chain] = {}

    def put(self, *records: Any, key: NodeKey = WEB, arrived: int = NOON) -> None:
        """Store records of one node."""
        chain = self.chains.setdefault(key, Chain(key))
        self.store.commit([chain.work(records)], arrived)

    def lose(self, count: int, key: NodeKey = WEB) -> None:
        """Store a gap after the last record of a node."""
        self.store.commit([self.chains[key].lose(count)], NOON)


def said(rows: Any) -> list[str]:
    """Messages of records, and reasons of gaps."""
    return [row.reason if isinstance(row, GapRow) else row.message for row in rows]


def walk(reader: StoreReader, query: LogQuery, *, older: bool, budget: float = 10.0) -> list[LogRow | GapRow]:
    """All pages in one direction, in the order in which they are met."""
    found: list[LogRow | GapRow] = []
    for _ in range(1000):
        page = reader.logs(query, budget)
        assert len(page.rows) <= query.limit
        falling = sorted(page.rows, key=lambda row: row.key, reverse=True)
        assert list(page.rows) == (falling if query.order == "new" else falling[::-1])
        found += falling if older else falling[::-1]
        key = page.older if older else page.newer
        if key is None:
            return found
        query = replace(query, before=key, after=None) if older else replace(query, after=key, before=None)
    raise AssertionError("the pages do not end")


MIXED = (
    log("started", service="web", level="INFO", severity=9, product="shop", function="main", module="boot"),
    log(
        "100% of_it\\",
        service="web",
        level="warning",
        severity=13,
        product="shop",
        function="check",
        module="disk",
    ),
    log("failed", service="db", level="ERROR", severity=17, system="alpha", function="check_all", module="m"),
)


class LogContract(Contract):
    """What every engine answers when its log is read."""

    @pytest.fixture
    def home(self, store: SinkStore, reader: StoreReader) -> Home:
        """An empty store."""
        return Home(store, reader)

    # --- pages --------------------------------------------------------------------------------------

    def test_the_first_page_is_the_newest(self, home: Home) -> None:
        """By event time, whatever the order of arrival."""
        home.put(log("late", time=NOON + 9), log("early", time=NOON + 1))
        home.put(log("middle", time=NOON + 5), key=MAIL)
        page = home.reader.logs(LogQuery(limit=2))
        assert said(page.rows) == ["late", "middle"]
        assert page.newer is None
        assert page.older is not None
        following = home.reader.logs(LogQuery(limit=2, before=page.older))
        assert said(following.rows) == ["early"]
        assert following.older is None
        assert following.newer is not None
        assert said(home.reader.logs(LogQuery(limit=2, after=following.newer)).rows) == ["late", "middle"]

    def test_an_empty_store_has_an_empty_page(self, home: Home) -> None:
        """And nothing before or after it."""
        page = home.reader.logs(LogQuery())
        assert (list(page.rows), page.older, page.newer, page.partial) == ([], None, None, False)
        assert home.reader.last_id() == 0
        assert home.reader.tail(LogQuery(), 0) == ([], 0)

    def test_the_oldest_record_is_so_by_event_time(self, home: Home) -> None:
        """Whatever came first, and whoever said it; a gap is no record."""
        assert home.reader.oldest() is None
        home.put(log("late", time=NOON + 9))
        home.put(log("early", time=NOON - 7), key=MAIL, arrived=NOON + SECOND)
        doubt = Gap(bytes(16), 5, None, 1, True, "doubt", "long ago")
        home.store.commit([home.chains[WEB].work([], gaps=[doubt])], 1)
        assert home.reader.oldest() == NOON - 7

    def test_a_row_says_everything(self, home: Home) -> None:
        """All fields of the record, its node, its place, its arrival and its origin."""
        fields = {
            name: f"the {name}"
            for name in LogRow._fields[8:]
            if name not in {"time", "severity", "line", "process", "node", "zone"}
        }
        home.put(
            log(
                **{**fields, "time": NOON, "severity": 17, "line": 4, "process": 99, "message": "the message"}
            )
        )
        (row,) = home.reader.logs(LogQuery()).rows
        assert isinstance(row, LogRow)
        values = row._asdict()
        assert {name: values[name] for name in fields} == fields
        assert (row.node, row.zone, row.seq, row.arrived, row.origin) == (
            "web1",
            "hq/dmz",
            1,
            NOON,
            "uid 1000",
        )
        assert (row.time, row.severity, row.line, row.process) == (NOON, 17, 4, 99)
        assert not row.is_gap
        assert home.reader.log(row.id) == row
        assert home.reader.log(row.id + 1) is None

    def any_way_of_paging_meets_every_row_once(self, engine: ReadingEngine[Any], data: st.DataObject) -> None:
        """Records and gaps of equal times included, from either end, with either order and any page size.

        To be called by an engine's own property test, which knows how many examples it can afford.
        """
        times = st.integers(1, 6)
        store = engine.make()
        with engine.reader(store) as reader:
            home = Home(store, reader)
            for _ in range(data.draw(st.integers(1, 4), label="commits")):
                key = data.draw(st.sampled_from([WEB, MAIL]))
                for time in data.draw(st.lists(times, min_size=1, max_size=6), label="times"):
                    home.put(log(str(time), time=time), key=key)
                if data.draw(st.booleans(), label="gap"):
                    home.lose(3, key)
            since, until = (
                data.draw(st.none() | times, label="since"),
                data.draw(st.none() | times, label="until"),
            )
            node = data.draw(st.sampled_from([None, "web1"]), label="node")
            text = data.draw(st.sampled_from([None, "3"]), label="text")
            query = LogQuery(
                node=node,
                text=text,
                since=since,
                until=until,
                order=data.draw(st.sampled_from(["new", "old"]), label="order"),
                limit=data.draw(st.integers(1, 5), label="limit"),
            )
            everything = walk(home.reader, LogQuery(limit=1000), older=True)
            expected = [
                row
                for row in everything
                if (node is None or row.node == node)
                and (since is None or row.time >= since)
                and (until is None or row.time < until)
                and (isinstance(row, GapRow) or text is None or text in row.message)
            ]
            down = walk(home.reader, replace(query, before=(9, 0)), older=True)
            up = walk(home.reader, replace(query, after=(0, 0)), older=False)
            assert down == expected
            assert up == expected[::-1]

    def test_a_page_between_two_keys_has_both_ends(self, home: Home) -> None:
        """Exclusive at both."""
        home.put(*logs(6))
        rows = walk(home.reader, LogQuery(), older=True)
        page = home.reader.logs(LogQuery(before=rows[1].key, after=rows[4].key))
        assert said(page.rows) == ["record 3", "record 2"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"service": "web"}, ["started", "100% of_it\\"]),
            ({"service": "web", "level": "WARNING"}, ["100% of_it\\"]),
            ({"min_severity": 13}, ["100% of_it\\", "failed"]),
            ({"system": "alpha"}, ["failed"]),
            ({"product": "nothing"}, []),
            ({"text": "FAIL"}, ["failed"]),
            ({"text": "check"}, ["100% of_it\\", "failed"]),
            ({"text": "disk"}, ["100% of_it\\"]),
            ({"text": "0%"}, ["100% of_it\\"]),
            ({"text": "%"}, ["100% of_it\\"]),
            ({"text": "f_i"}, ["100% of_it\\"]),
            ({"text": "_"}, ["100% of_it\\", "failed"]),
            ({"text": "\\"}, ["100% of_it\\"]),
            ({"text": "' OR 1=1 --"}, []),
            ({"service": "web' OR '1'='1"}, []),
            ({"node": "web1"}, ["started", "100% of_it\\", "failed"]),
            ({"node": "web"}, []),
            ({"zone": "hq"}, ["started", "100% of_it\\", "failed"]),
            ({"zone": "hq/dmz"}, ["started", "100% of_it\\", "failed"]),
            ({"zone": "h"}, []),
            ({"zone": "hq", "node": "web1", "service": "db"}, ["failed"]),
        ],
        ids=str,
    )
    def test_filters_choose_rows(self, home: Home, query: dict[str, Any], expected: list[str]) -> None:
        """By equality, by level word in any case, by severity, by substring taken literally, by node and zone."""
        home.put(*MIXED)
        assert said(home.reader.logs(LogQuery(order="old", **query)).rows) == expected
        assert said(home.reader.tail(LogQuery(**query), 0)[0]) == expected

    def test_a_zone_includes_those_below_it_only(self, home: Home) -> None:
        """``hq`` has ``hq/dmz`` in it, but not ``hq2``."""
        for zone in ("hq", "hq/dmz", "hq/dmz/rack1", "hq2", "plant"):
            home.put(log(zone), key=NodeKey("web1", zone))
        assert said(home.reader.logs(LogQuery(zone="hq", order="old")).rows) == [
            "hq",
            "hq/dmz",
            "hq/dmz/rack1",
        ]
        assert said(home.reader.logs(LogQuery(zone="hq/dmz", order="old")).rows) == ["hq/dmz", "hq/dmz/rack1"]

    @pytest.mark.usefixtures("small_steps")
    @pytest.mark.parametrize("older", [True, False])
    def test_a_search_that_runs_out_of_time_goes_on_where_it_stopped(self, home: Home, older: bool) -> None:
        """Every page says how far it came; all of them together find what one long search finds."""
        home.put(
            *(
                log(f"needle {number}" if number % 17 == 0 else "hay", time=NOON + number // 2)
                for number in range(100)
            )
        )
        home.lose(2)
        query = LogQuery(text="needle", before=None if older else (1, 0), after=None)
        query = replace(query, before=None, after=None if older else (1, 0))
        page = home.reader.logs(query, 0.0)
        assert page.partial
        assert page.reached is not None
        assert (page.older if older else page.newer) is not None
        assert len(page.rows) < 7
        found = walk(home.reader, query, older=older, budget=0.0)
        assert found == walk(home.reader, query, older=older)
        assert len(found) == 7

    @pytest.mark.usefixtures("small_steps")
    def test_a_full_page_is_not_partial(self, home: Home) -> None:
        """However little time there was."""
        home.put(*logs(50))
        page = home.reader.logs(LogQuery(text="record", limit=2), 0.0)
        assert (len(page.rows), page.partial, page.reached) == (2, False, None)

    @pytest.mark.usefixtures("small_steps")
    def test_facets_count_what_matches(self, home: Home) -> None:
        """The most frequent first; without a value a record does not count; out of time, fewer are counted."""
        home.put(*(log(service="web" if number % 3 else "db") for number in range(30)), log())
        home.put(log(service="web"), key=MAIL)
        assert home.reader.facets(LogQuery(), "service") == ([("web", 21), ("db", 10)], False)
        assert home.reader.facets(LogQuery(), "service", 1) == ([("web", 21)], False)
        assert home.reader.facets(LogQuery(service="web"), "node") == ([("web1", 20), ("mail1", 1)], False)
        assert home.reader.facets(LogQuery(node="mail1"), "zone") == ([("hq", 1)], False)
        assert home.reader.facets(LogQuery(), "severity") == ([(9, 32)], False)
        counts, partial = home.reader.facets(LogQuery(), "severity", budget=0.0)
        assert partial
        assert sum(count for _, count in counts) < 10
        with pytest.raises(ValueError, match="'message' is not one of"):
            home.reader.facets(LogQuery(), "message")

    @pytest.mark.usefixtures("small_steps")
    @pytest.mark.parametrize("budget", [0.0, 10.0])
    def test_all_that_fits_is_counted_in_parts(self, home: Home, budget: float) -> None:
        """Exactly, whatever a part has time for; losses are no records."""
        home.put(
            *(log(service="web" if number % 3 else "db", time=NOON + number // 2) for number in range(30))
        )
        home.put(log("needle", service="web", severity=17, user1="ann"), key=MAIL)
        home.lose(2)
        for query, records in (
            (LogQuery(), 31),
            (LogQuery(limit=1, order="old"), 31),
            (LogQuery(service="web"), 21),
            (LogQuery(service="web", node="web1"), 20),
            (LogQuery(zone="hq"), 31),
            (LogQuery(min_severity=17), 1),
            (LogQuery(user1="ann"), 1),
            (LogQuery(text="NEEDLE"), 1),
            (LogQuery(words=("needle",)), 1),
            (LogQuery(since=NOON + 5, until=NOON + 10, node="web1"), 10),
            (LogQuery(service="db", until=NOON + 10), 7),
            (LogQuery(node="nobody"), 0),
        ):
            assert home.reader.count_all(query, budget) == records, query
            assert home.reader.count(query).records == records, query

    @pytest.mark.usefixtures("small_steps")
    def test_a_histogram_counts_by_bucket_and_level(self, home: Home) -> None:
        """Buckets start at multiples of their width; a source that says no level has a word of its own."""
        start = NOON // SECOND * SECOND
        home.put(
            *(log(time=start + number * SECOND // 2, severity=9 + number % 2 * 8) for number in range(30)),
            log(time=start, severity=0),
            log(time=start + 1, severity=24, service="db"),
        )
        found = home.reader.histogram(LogQuery(), SECOND)
        assert not found.partial
        assert found.counts[start] == {"INFO": 1, "ERROR": 1, "": 1, "CRITICAL": 1}
        assert sum(sum(levels.values()) for levels in found.counts.values()) == 32
        assert home.reader.histogram(LogQuery(service="db"), 60 * SECOND).counts == {
            start // (60 * SECOND) * 60 * SECOND: {"CRITICAL": 1}
        }
        half = LogQuery(since=start + 5 * SECOND, until=start + 7 * SECOND)
        assert sorted(home.reader.histogram(half, SECOND).counts) == [start + 5 * SECOND, start + 6 * SECOND]
        assert home.reader.histogram(LogQuery(node="nobody"), SECOND).counts == {}
        with pytest.raises(ValueError, match="at least 1 ns"):
            home.reader.histogram(LogQuery(), 0)

    @pytest.mark.usefixtures("small_steps")
    def test_a_histogram_out_of_time_holds_whole_buckets_only(self, home: Home) -> None:
        """What it says of a bucket is all there is in it, and it says which ones it left out."""
        start = NOON // SECOND * SECOND
        home.put(*(log(time=start + number * SECOND // 2) for number in range(30)))
        found = home.reader.histogram(LogQuery(), SECOND, 0.0)
        assert found.partial
        assert found.counted_from is not None
        assert found.counts
        assert found.counts == {
            bucket: levels
            for bucket, levels in home.reader.histogram(LogQuery(), SECOND).counts.items()
            if bucket >= found.counted_from
        }

    @pytest.mark.usefixtures("small_steps")
    def test_a_histogram_out_of_time_says_how_many_it_saw(self, home: Home) -> None:
        """Where not even the first bucket is done there is no bar, and yet it is not as if there were nothing."""
        start = NOON // (3600 * SECOND) * 3600 * SECOND
        home.put(*(log(time=start + number) for number in range(30)))
        found = home.reader.histogram(LogQuery(), 3600 * SECOND, 0.0)
        assert found.partial
        assert found.counts == {}
        assert 0 < found.seen < 30
        assert home.reader.histogram(LogQuery(), 3600 * SECOND).seen == 30

    # --- gaps ---------------------------------------------------------------------------------------

    def test_gaps_stand_where_the_records_would(self, home: Home) -> None:
        """Just after the record before them, also when they arrive long after the records that follow them."""
        home.put(*logs(2))
        chain = home.chains[WEB]
        gap = Gap(chain.epoch, 3, 5, 3, True, "gap", "lost", "the disk was full")
        home.put(log("later", time=NOON + 60 * SECOND), key=MAIL)
        home.store.commit([EpochWork(WEB, LOGS, chain.cursor, gaps=[gap])], NOON + 3600 * SECOND)
        page = home.reader.logs(LogQuery())
        assert said(page.rows) == ["later", "lost", "record 1", "record 0"]
        assert said(home.reader.logs(LogQuery(order="old")).rows) == ["record 0", "record 1", "lost", "later"]
        row = page.rows[1]
        assert isinstance(row, GapRow)
        assert row.is_gap
        assert (row.node, row.zone, row.stream, row.epoch) == ("web1", "hq/dmz", "logs", chain.epoch.hex())
        assert (row.first, row.last, row.count, row.at_least, row.kind) == (3, 5, 3, True, "gap")
        assert (row.detail, row.arrived) == ("the disk was full", NOON + 3600 * SECOND)
        assert said(home.reader.logs(LogQuery(node="mail1")).rows) == ["later"]
        assert said(home.reader.logs(LogQuery(text="nothing")).rows) == ["lost"]

    def test_a_gap_before_the_first_record_stands_before_it(self, home: Home) -> None:
        """It follows none, and must not seem to follow the one after it."""
        chain = home.chains[WEB] = Chain(WEB)
        home.store.commit([chain.lose(1)], NOON)
        home.put(log("first"))
        lost = Gap(chain.epoch, 1, 1, 1, False, "gap", "lost again", "")
        home.store.commit([EpochWork(WEB, LOGS, chain.cursor, gaps=[lost])], NOON + 9 * SECOND)
        assert said(home.reader.logs(LogQuery(order="old")).rows)[:2] == ["lost again", "first"]

    def test_gaps_are_listed_by_node_stream_and_time(self, home: Home) -> None:
        """Those of the control stream, which lies in the other file, included."""
        home.put(*logs(1))
        home.lose(1)
        control = Chain(MAIL, 1)
        home.store.commit([control.work([(NOON + SECOND, "answer", {})])], NOON)
        home.store.commit([control.lose(2, "rolled back", "doubt")], NOON)
        reader = home.reader
        assert said(reader.gaps()) == ["rolled back", "quota"]
        assert said(reader.gaps(limit=1)) == ["rolled back"]
        assert said(reader.gaps("web1")) == ["quota"]
        assert said(reader.gaps(zone="hq")) == ["rolled back", "quota"]
        assert said(reader.gaps(zone="hq/dmz")) == ["quota"]
        assert reader.gaps(zone="h") == []
        assert said(reader.gaps(stream="control")) == ["rolled back"]
        assert reader.gaps(stream="nonsense") == []
        assert said(reader.gaps(since=NOON + 1)) == ["rolled back"]
        assert said(reader.gaps(until=NOON + 1)) == ["quota"]

    # --- tail and context ---------------------------------------------------------------------------

    def test_a_tail_meets_every_record_once(self, home: Home) -> None:
        """In the order they were stored, page by page, and nothing when there is nothing new."""
        home.put(*logs(5))
        rows, last = home.reader.tail(LogQuery(limit=3), 0)
        assert (said(rows), last) == (["record 0", "record 1", "record 2"], rows[-1].id)
        rows, last = home.reader.tail(LogQuery(limit=3), last)
        assert (said(rows), last) == (["record 3", "record 4"], rows[-1].id)
        assert last == home.reader.last_id()
        assert home.reader.tail(LogQuery(), last) == ([], last)
        home.put(log("old news", time=5))
        assert said(home.reader.tail(LogQuery(), last)[0]) == ["old news"]

    @pytest.mark.usefixtures("small_steps")
    def test_a_filtered_tail_passes_what_it_does_not_show(self, home: Home) -> None:
        """Its last id is that of the last record looked at, so that nothing is searched twice."""
        home.put(*logs(20))
        last = home.reader.last_id()
        assert home.reader.tail(LogQuery(text="nothing"), 0) == ([], last)
        assert home.reader.tail(LogQuery(text="nothing"), 0, 0.0) == ([], 0)
        assert home.reader.tail(LogQuery(node="nobody"), last - 17) == ([], last)

    def test_a_record_is_known_again(self, home: Home) -> None:
        """By its epoch, its number in it and its arrival; the one before it where it is gone."""
        assert home.reader.stored(home.reader.last_id()) is None
        home.put(*logs(3), arrived=NOON)
        home.put(log("later"), key=MAIL, arrived=NOON + SECOND)
        last = home.reader.last_id()
        found = home.reader.stored(last)
        row = home.reader.log(last)
        assert found is not None
        assert row is not None
        assert (found.id, found.arrived, found.seq) == (row.id, row.arrived, row.seq)
        assert found.epoch.lower() == home.chains[MAIL].epoch.hex()
        assert home.reader.stored(2**63 - 1) == found
        assert home.reader.stored(0) is None
        assert home.reader.epochs([row.epoch_id, row.epoch_id + 1000]) == {row.epoch_id: found.epoch}

    def test_the_last_record_before_a_moment(self, home: Home) -> None:
        """Of those with ids between two, both of them excluded."""
        for number in range(9):
            home.put(log(f"record {number}"), arrived=NOON + number * SECOND)
        ids = [row.id for row in home.reader.tail(LogQuery(), 0)[0]]
        for number in range(10):
            found = home.reader.stored_before(0, ids[-1] + 1, NOON + number * SECOND)
            assert (found.id if found else None) == ([None, *ids][number])
        assert home.reader.stored_before(ids[3], ids[4], 2**63 - 1) is None
        between = home.reader.stored_before(ids[3], ids[6], 2**63 - 1)
        assert between is not None
        assert between.id == ids[5]

    @pytest.mark.parametrize("end", [-(2**63), 2**63 - 1])
    def test_times_of_all_64_bits_are_asked_for(self, home: Home, end: int) -> None:
        """Beyond them a question is refused before any store is asked."""
        home.put(*logs(3))
        home.lose(1)
        inside = end > 0
        ends: tuple[tuple[dict[str, Any], bool], ...] = (
            ({"until": end}, inside),
            ({"since": end}, not inside),
            ({"since": end, "until": end}, False),
        )
        for limits, found in ends:
            page = home.reader.logs(LogQuery(**limits))
            assert bool(said(page.rows)) == found
            assert home.reader.count(LogQuery(**limits)).records == (3 if found else 0)
        for name in ("since", "until"):
            with pytest.raises(ValueError, match=f"{name} is of -9223372036854775808 to 9223372036854775807"):
                LogQuery(**{name: end + (1 if inside else -1)})  # type: ignore[arg-type]
        for name in ("before", "after"):
            with pytest.raises(ValueError, match=f"{name} is of"):
                LogQuery(**{name: (0, end + (1 if inside else -1))})  # type: ignore[arg-type]

    def test_a_store_goes_by_one_name(self, home: Home) -> None:
        """Whatever is written, and for every reader."""
        name = home.reader.which()
        home.put(*logs(3))
        assert name
        assert home.reader.which() == name

    def test_the_context_of_a_record_is_its_own_stream(self, home: Home) -> None:
        """What other nodes said in between does not belong to it."""
        for number in range(0, 10, 2):
            home.put(*logs(2, number))
            home.put(log("elsewhere"), key=MAIL)
        row = next(row for row in home.reader.tail(LogQuery(), 0)[0] if row.message == "record 4")
        assert said(home.reader.context(row.id, 2)) == [f"record {number}" for number in range(2, 7)]
        assert len(home.reader.context(row.id)) == 10
        assert home.reader.context(home.reader.last_id() + 1) == []

    def test_threads_share_a_reader(self, home: Home) -> None:
        """Each question has a connection of its own."""
        home.put(*logs(200))
        found: list[int] = []

        def ask() -> None:
            found.extend(len(walk(home.reader, LogQuery(limit=50), older=True)) for _ in range(20))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200] * 80
