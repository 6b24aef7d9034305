"""What every engine of the store must do when it is written. `tests.contract.engine` says how an engine joins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st

from tabard import failpoints
from tabard.brokers.delivery.ports import (
    CursorConflict,
    Entry,
    EpochWork,
    Gap,
    Presence,
    SinkStore,
    StoreUnavailable,
)
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.records import LOG_FIELDS, TIME_MAX
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, again, log, logs
from tests.contract.engine import Contract, Engine

ARRIVED = NOON + 3600 * SECOND


class StorageContract(Contract):
    """Inherit, give an `engine`, and call the properties."""

    # --- rows and cursors -------------------------------------------------------------------------

    def test_rows_are_stored_in_order_with_their_place(self, engine: Engine[Any], store: SinkStore) -> None:
        """Every record of a commit is one row, numbered from its batch's first sequence number on."""
        chain = Chain()
        store.commit([chain.work(logs(3), logs(2, start=3))], ARRIVED)
        assert engine.rows(store, LOGS, "seq, message, arrived, origin") == [
            (number + 1, f"record {number}", ARRIVED, "uid 1000") for number in range(5)
        ]

    def test_the_cursor_is_stored_with_the_rows(self, store: SinkStore) -> None:
        """What `load` says after a commit is the cursor of that commit, one version on."""
        chain = Chain()
        store.commit([chain.work(logs(3))], ARRIVED)
        assert chain.cursor.version == 1
        assert store.load(WEB, LOGS, [chain.epoch, b"\0" * 16]) == {chain.epoch: chain.cursor}
        store.commit([chain.work(logs(3, start=3))], ARRIVED)
        assert chain.cursor.version == 2
        assert store.load(WEB, LOGS, [chain.epoch]) == {chain.epoch: chain.cursor}

    def test_streams_and_nodes_do_not_mix(self, engine: Engine[Any], store: SinkStore) -> None:
        """One commit may carry many nodes and streams; each finds its own again."""
        web, mail = Chain(WEB), Chain(MAIL)
        samples = Chain(WEB, SAMPLES)
        control = Chain(WEB, CONTROL)
        sample = (NOON, "host", {"cpu": 1.5})
        answer = (NOON, "answer", {"id": 7})
        store.commit(
            [web.work(logs(2)), mail.work(logs(1, start=7)), samples.work([sample]), control.work([answer])],
            ARRIVED,
        )
        assert [row[0] for row in engine.rows(store, LOGS, "message")] == ["record 0", "record 1", "record 7"]
        assert engine.rows(store, SAMPLES, "seq, time, kind") == [(1, NOON, "host")]
        assert engine.rows(store, CONTROL, "seq, time, kind") == [(1, NOON, "answer")]
        for chain in (web, mail, samples, control):
            assert store.load(chain.key, chain.stream, [chain.epoch]) == {chain.epoch: chain.cursor}
        assert store.load(MAIL, SAMPLES, [samples.epoch]) == {}

    def test_nodes_of_one_name_in_two_zones_are_two(self, store: SinkStore) -> None:
        """A node's name is a label within its zone."""
        here, there = Chain(WEB), Chain(WEB._replace(zone="plant"))
        store.commit([here.work(logs(1)), there.work(logs(2))], ARRIVED)
        assert store.load(here.key, LOGS, [here.epoch, there.epoch]) == {here.epoch: here.cursor}
        assert store.load(there.key, LOGS, [here.epoch, there.epoch]) == {there.epoch: there.cursor}

    def test_an_unsaid_event_time_is_the_arrival(self, engine: Engine[Any], store: SinkStore) -> None:
        """Event time 0 means that the source said none."""
        store.commit([Chain().work([log(time=0), log(time=5)])], ARRIVED)
        assert engine.rows(store, LOGS, "time") == [(ARRIVED,), (5,)]

    # --- compare and set --------------------------------------------------------------------------

    def test_the_same_work_is_stored_once(self, engine: Engine[Any], store: SinkStore) -> None:
        """A commit that was done already is a conflict, and writes nothing."""
        chain = Chain()
        first = chain.work(logs(3))
        twin = again(first)
        store.commit([first], ARRIVED)
        with pytest.raises(CursorConflict):
            store.commit([twin], ARRIVED)
        assert twin.cursor.version == 0
        assert len(engine.rows(store, LOGS, "seq")) == 3

    def test_a_cursor_changed_by_another_is_a_conflict_for_the_whole_commit(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """Nothing of a commit is written when one of its cursors is not the one it was based on."""
        web, mail = Chain(WEB), Chain(MAIL)
        store.commit([web.work(logs(1)), mail.work(logs(1))], ARRIVED)
        stale = again(web.work(logs(1, start=1)))
        other = again(stale)
        store.commit([other], ARRIVED)
        with pytest.raises(CursorConflict):
            store.commit([stale, mail.work(logs(1, start=1))], ARRIVED)
        assert [row[0] for row in engine.rows(store, LOGS, "message")] == ["record 0", "record 0", "record 1"]
        assert stale.cursor.version == 1

    def test_a_cursor_of_an_epoch_nobody_stored_is_a_conflict(self, store: SinkStore) -> None:
        """A version above zero names a cursor that must be there: a restored store may have lost it."""
        chain = Chain()
        chain.cursor.version = 4
        with pytest.raises(CursorConflict):
            store.commit([chain.work(logs(1))], ARRIVED)

    def test_work_goes_on_after_a_conflict(self, engine: Engine[Any], store: SinkStore) -> None:
        """Numbers given within a transaction that was rolled back are not used again."""
        web, mail = Chain(WEB), Chain(MAIL)
        store.commit([web.work(logs(1))], ARRIVED)
        stale = again(web.work(logs(1, start=1)))
        stale.cursor.version = 0
        fresh = mail.work(logs(1))
        with pytest.raises(CursorConflict):
            store.commit([again(fresh), stale], ARRIVED)
        store.commit([fresh], ARRIVED)
        assert store.load(MAIL, LOGS, [mail.epoch]) == {mail.epoch: mail.cursor}
        assert len(engine.rows(store, LOGS, "seq")) == 2

    def test_a_stream_in_conflict_shows_in_its_own_cursor(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """What lies in a transaction of its own may be stored beside a conflict; each cursor says whether it was."""
        web, control = Chain(WEB), Chain(WEB, CONTROL)
        control.cursor.version = 3
        work = web.work(logs(2))
        with pytest.raises(CursorConflict):
            store.commit([control.work([(NOON, "answer", {})]), work], ARRIVED)
        assert control.cursor.version == 3
        assert engine.rows(store, CONTROL, "seq") == []
        assert len(engine.rows(store, LOGS, "seq")) == 2 * web.cursor.version
        assert [cursor.version for cursor in store.load(WEB, LOGS, [web.epoch]).values()] == [
            1
        ] * web.cursor.version
        if web.cursor.version == 0:
            store.commit([work], ARRIVED)
        assert (web.cursor.version, len(engine.rows(store, LOGS, "seq"))) == (1, 2)

    # --- failures ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("place", ["store.before_cursor", "store.before_rows", "store.before_commit"])
    def test_nothing_is_written_before_the_commit(
        self, engine: Engine[Any], store: SinkStore, armed: Callable[[str], None], place: str
    ) -> None:
        """A failure anywhere before the commit leaves neither rows nor cursor, and the same work succeeds later."""
        chain = Chain()
        store.commit([chain.work(logs(1))], ARRIVED)
        work = chain.work(logs(2, start=1), gaps=[Gap(chain.epoch, 9, 9, 1, False, "gap", "age")])
        armed(f"{place}=error")
        with pytest.raises(StoreUnavailable):
            store.commit([work], ARRIVED)
        assert chain.cursor.version == 1
        assert len(engine.rows(store, LOGS, "seq")) == 1
        assert engine.table(store, LOGS, "gap", "id", "id") == []
        assert store.load(WEB, LOGS, [chain.epoch])[chain.epoch].version == 1
        store.commit([work], ARRIVED)
        assert len(engine.rows(store, LOGS, "seq")) == 3

    def test_a_commit_in_doubt_is_settled_by_its_cursor(
        self, engine: Engine[Any], store: SinkStore, armed: Callable[[str], None]
    ) -> None:
        """When it is not known whether a commit was done, trying it again is either right or a conflict."""
        chain = Chain()
        work = chain.work(logs(2))
        armed("store.after_commit=error")
        with pytest.raises(StoreUnavailable):
            store.commit([work], ARRIVED)
        assert chain.cursor.version == 0
        with pytest.raises(CursorConflict):
            store.commit([work], ARRIVED)
        assert store.load(WEB, LOGS, [chain.epoch])[chain.epoch].ranges == chain.cursor.ranges
        assert len(engine.rows(store, LOGS, "seq")) == 2

    # --- epochs -----------------------------------------------------------------------------------

    def test_unfinished_epochs_come_oldest_first_by_their_chain(self, store: SinkStore) -> None:
        """An older epoch that is stored later (backfill) still comes before its successor."""
        old, middle, young = (Chain(name=name) for name in "abc")
        store.commit([young.open(middle.epoch, 5)], ARRIVED)
        store.commit([middle.open(old.epoch, 9)], ARRIVED)
        store.commit([old.open()], ARRIVED)
        assert [cursor.epoch for cursor in store.unfinished(WEB, LOGS)] == [
            old.epoch,
            middle.epoch,
            young.epoch,
        ]
        assert store.unfinished(MAIL, LOGS) == []

    def test_an_epoch_is_finished_when_its_known_end_is_stored(self, store: SinkStore) -> None:
        """Neither an unknown end nor a hole before a known one is finished."""
        chain = Chain()
        store.commit([chain.open()], ARRIVED)
        batch, groups = chain.cut(logs(2))
        late, late_groups = chain.cut(logs(2, start=2))
        chain.take(late)
        chain.cursor.ended = late.header.last
        store.commit([EpochWork(WEB, LOGS, chain.cursor, [Entry(late, late_groups)])], ARRIVED)
        assert store.unfinished(WEB, LOGS) == [chain.cursor]
        chain.take(batch)
        store.commit([EpochWork(WEB, LOGS, chain.cursor, [Entry(batch, groups)])], ARRIVED)
        assert store.unfinished(WEB, LOGS) == []
        assert store.load(WEB, LOGS, [chain.epoch]) == {chain.epoch: chain.cursor}

    def test_a_batch_is_known_by_its_digest(self, store: SinkStore) -> None:
        """`digest` answers for the batch that ends at a sequence number, and for no other number."""
        chain = Chain()
        batch, groups = chain.cut(logs(3))
        chain.take(batch)
        after, more = chain.cut(logs(2))
        chain.take(after)
        store.commit(
            [EpochWork(WEB, LOGS, chain.cursor, [Entry(batch, groups), Entry(after, more)])], ARRIVED
        )
        found = [store.digest(WEB, LOGS, chain.epoch, last) for last in range(8)]
        assert found == [None, None, None, batch.digest, None, after.digest, None, None]
        assert store.digest(WEB, SAMPLES, chain.epoch, 3) is None
        assert store.digest(MAIL, LOGS, chain.epoch, 3) is None

    def test_it_is_known_that_a_batch_goes_on_behind_a_number(self, store: SinkStore) -> None:
        """`spans` answers for what is stored and what is in quarantine, and is false for the end of a batch and for all else."""
        chain = Chain()
        batch, groups = chain.cut(logs(3))
        chain.take(batch)
        poison, _groups = chain.cut(count=2, body=b"\xc1 not msgpack")
        chain.take(poison)
        entries = [Entry(batch, groups), Entry(poison, poison="bytes are not valid msgpack")]
        store.commit([EpochWork(WEB, LOGS, chain.cursor, entries)], ARRIVED)
        found = [seq for seq in range(8) if store.spans(WEB, LOGS, chain.epoch, seq)]
        assert found == [1, 2, 4]
        assert not store.spans(MAIL, LOGS, chain.epoch, 1)

    def test_headers_and_signatures_are_kept(self, engine: Engine[Any], store: SinkStore) -> None:
        """What the node signed can be verified later: one row a batch, those without records included."""
        chain = Chain()
        store.commit([chain.open()], ARRIVED)
        store.commit([chain.work(logs(2))], ARRIVED)
        kept = engine.table(store, LOGS, "batch", "first, count, kind, header, signature", "first")
        assert [row[:3] for row in kept] == [(1, 1, 1), (2, 2, 2)]
        assert all(signature == b"signed " + header[:4] for *_, header, signature in kept)

    # --- gaps -------------------------------------------------------------------------------------

    def test_a_gap_stands_at_the_event_time_of_the_record_before_it(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """So a reader meets it where the records would have been, whenever it arrived."""
        chain = Chain()
        store.commit([chain.work(logs(3))], ARRIVED)
        store.commit([chain.lose(7)], ARRIVED + 1)
        columns = "first, last, count, at_least, kind, reason, time, arrived"
        assert engine.table(store, LOGS, "gap", columns, "id") == [
            (4, 10, 7, 0, "gap", "quota", NOON + 2 * SECOND, ARRIVED + 1)
        ]

    def test_a_gap_without_a_record_before_it_stands_before_the_one_after(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """And at its arrival when its epoch has no record at all."""
        chain, empty = Chain(), Chain(MAIL)
        lost = chain.lose(4)
        store.commit(
            [EpochWork(WEB, LOGS, chain.cursor, chain.work(logs(1, start=60)).entries, lost.gaps)], ARRIVED
        )
        store.commit([empty.lose(2)], ARRIVED)
        assert engine.table(store, LOGS, "gap", "time", "id") == [(NOON + 60 * SECOND - 1,), (ARRIVED,)]

    def test_a_gap_moves_behind_the_records_that_arrive_after_it(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """A backlog comes in behind the news of its end: the loss stands at that end all the same."""
        chain = Chain()
        early, groups = chain.cut(logs(2))
        late, late_groups = chain.cut(logs(2, start=2))
        chain.take(early)
        torn = Gap(chain.epoch, 5, None, 0, True, "gap", "torn")
        doubt = Gap(chain.epoch, 1, None, 1, True, "doubt", "rolled back")
        store.commit([EpochWork(WEB, LOGS, chain.cursor, [Entry(early, groups)], [torn, doubt])], ARRIVED)
        assert engine.table(store, LOGS, "gap", "kind, time", "id") == [
            ("gap", NOON + SECOND),
            ("doubt", ARRIVED),
        ]
        chain.take(late)
        store.commit([EpochWork(WEB, LOGS, chain.cursor, [Entry(late, late_groups)])], ARRIVED + 1)
        assert engine.table(store, LOGS, "gap", "kind, time", "id") == [
            ("gap", NOON + 3 * SECOND),
            ("doubt", ARRIVED),
        ]

    def test_a_gap_may_name_an_epoch_that_is_not_stored(self, engine: Engine[Any], store: SinkStore) -> None:
        """Its name is kept in the detail, and an open end stays open."""
        chain = Chain()
        unknown = bytes(range(16))
        gap = Gap(unknown, 5, None, 1, True, "doubt", "rolled back", "the sink was ahead")
        store.commit([chain.work(logs(1), gaps=[gap])], ARRIVED)
        columns = "epoch_id, first, last, at_least, kind, detail"
        assert engine.table(store, LOGS, "gap", columns, "id") == [
            (None, 5, None, 1, "doubt", f"epoch {unknown.hex()}; the sink was ahead")
        ]

    # --- poison -----------------------------------------------------------------------------------

    @pytest.mark.threat("poison-batch")
    def test_an_undecodable_batch_is_quarantined_whole(self, engine: Engine[Any], store: SinkStore) -> None:
        """Its bytes are kept, the cursor passes it, and its digest is known."""
        chain = Chain()
        batch, _groups = chain.cut(count=3, body=b"\xc1 not msgpack")
        chain.take(batch)
        entry = Entry(batch, poison="bytes are not valid msgpack")
        store.commit([EpochWork(WEB, LOGS, chain.cursor, [entry])], ARRIVED)
        assert engine.table(
            store, LOGS, "quarantine", "first, count, reason, header, signature, body", "id"
        ) == [(1, 3, "bytes are not valid msgpack", batch.head, batch.signature, batch.body)]
        assert engine.rows(store, LOGS, "seq") == []
        assert store.load(WEB, LOGS, [chain.epoch])[chain.epoch].ranges.solid == 3
        assert store.digest(WEB, LOGS, chain.epoch, 3) == batch.digest

    @pytest.mark.threat("poison-batch")
    def test_one_refused_record_holds_up_nobody(self, engine: Engine[Any], store: SinkStore) -> None:
        """Of a commit with one record that the database refuses, only the batch it came in is quarantined."""
        engine.forbid(store, "poison")
        web, mail = Chain(WEB), Chain(MAIL)
        works = [
            web.work(logs(2), [log("poison"), log("beside it")], logs(2, start=2)),
            mail.work(*[logs(3, start=10 * number) for number in range(5)]),
        ]
        store.commit(works, ARRIVED)
        assert engine.table(store, LOGS, "quarantine", "first, count", "id") == [(3, 2)]
        uids = dict(engine.table(store, LOGS, "epoch", "uid, id", "id"))
        epochs = [uids[chain.epoch] for chain in (web, mail)]
        assert sorted(seq for (seq,) in engine.rows(store, LOGS, "seq")) == sorted(
            [1, 2, 5, 6, *range(1, 16)]
        )
        assert engine.table(store, LOGS, "batch", "epoch_id, first", "epoch_id, first") == [
            (epoch, first)
            for epoch, firsts in zip(epochs, [(1, 5), (1, 4, 7, 10, 13)], strict=True)
            for first in firsts
        ]
        for chain in (web, mail):
            assert store.load(chain.key, LOGS, [chain.epoch]) == {chain.epoch: chain.cursor}

    def test_a_place_is_never_taken_twice(self, engine: Engine[Any], store: SinkStore) -> None:
        """Work that claims stored sequence numbers again, as only a faulty sink would, is quarantined."""
        chain = Chain()
        store.commit([chain.work(logs(3))], ARRIVED)
        chain.next = 2
        batch, groups = chain.cut([log("again")])
        store.commit([EpochWork(WEB, LOGS, chain.cursor, [Entry(batch, groups)])], ARRIVED)
        assert [row[0] for row in engine.rows(store, LOGS, "message")] == ["record 0", "record 1", "record 2"]
        assert engine.table(store, LOGS, "quarantine", "first, body", "id") == [(2, batch.body)]

    def test_every_batch_refused_is_still_one_commit(self, engine: Engine[Any], store: SinkStore) -> None:
        """The cursor passes them all."""
        engine.forbid(store, "poison")
        chain = Chain()
        store.commit([chain.work([log("poison")], [log("poison")], [log("poison")])], ARRIVED)
        assert len(engine.table(store, LOGS, "quarantine", "first", "id")) == 3
        assert store.load(WEB, LOGS, [chain.epoch])[chain.epoch].ranges.solid == 3

    def test_odd_texts_beside_the_records_are_made_storable(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """The origin of a group, the kind of a sample, the reason of a gap."""
        chain, samples = Chain(), Chain(MAIL, SAMPLES)
        batch, _ = chain.cut(logs(1))
        chain.take(batch)
        work = EpochWork(WEB, LOGS, chain.cursor, [Entry(batch, [("", None, "uid\0 7", logs(1))])])
        store.commit([work, samples.work([(NOON, "ho\0st", {})])], ARRIVED)
        store.commit([chain.lose(1, "quo\0ta")], ARRIVED)
        assert engine.rows(store, LOGS, "origin") == [("uid␀ 7",)]
        assert engine.rows(store, SAMPLES, "kind") == [("ho␀st",)]
        assert engine.table(store, LOGS, "gap", "reason", "id") == [("quo␀ta",)]

    @pytest.mark.parametrize(
        ("bad", "columns", "stored"),
        [
            (log("a\0b"), "message", ("a␀b",)),
            (log(service="a\0b", thread="\0"), "service, thread", ("a␀b", "␀")),
            (log("a\ud800b\udfff", logger="\udead"), "message, logger", ("a\ufffdb\ufffd", "\ufffd")),
            (log(line=2**70, process=-(2**70)), "line, process", (2**63 - 1, -(2**63))),
            (log(time=TIME_MAX + 1), "time", (ARRIVED,)),
            (log(time=-5), "time", (ARRIVED,)),
            (log(time="yesterday"), "time", (ARRIVED,)),
            (log(severity=None), "severity", (0,)),
            (log(b"bytes"), "message", ("bytes",)),
            (log(None), "message", ("",)),
            (log(service=("a", "b")), "service", ("('a', 'b')",)),
            ((NOON, 9), "time, message", (NOON, "")),
            ((*log("long"), 1, 2, 3), "message", ("long",)),
            ("text", "message", ("'text'",)),
            ("1" * len(LOG_FIELDS), "message", (repr("1" * len(LOG_FIELDS)),)),
            (7, "message", ("7",)),
            ({"message": "map"}, "message", ("{'message': 'map'}",)),
            (None, "message", ("None",)),
            ((), "message", ("",)),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("company", [1, 40, 45], ids=lambda company: f"among {company}")
    def test_odd_records_are_made_storable(
        self,
        engine: Engine[Any],
        store: SinkStore,
        bad: Any,
        columns: str,
        stored: tuple[Any, ...],
        company: int,
    ) -> None:
        """A record of a wrong shape is stored as well as can be, and those beside it as they are.

        Also where it is not the first of what one statement stores.
        """
        chain, other = Chain(), Chain(MAIL)
        before = [log("before")] * company
        store.commit([chain.work([*before, bad, log("after")]), other.work(logs(1))], ARRIVED)
        assert engine.table(store, LOGS, "quarantine", "reason", "id") == []
        rows = engine.rows(store, LOGS, f"{columns}, seq")
        assert rows[company] == (*stored, company + 1)
        messages = [row[0] for row in engine.rows(store, LOGS, "message")]
        assert messages[:company] == ["before"] * company
        assert messages[company + 1 : -1] == ["after"]
        assert len(rows) == company + 3

    def test_rows_get_their_ids_in_the_order_of_their_batches(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """A reader that follows by id sees a stream in order, whatever the sizes of its batches."""
        chain = Chain()
        sizes = (1, 30, 2, 9, 8, 1, 64, 3)
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        parts = [logs(size, start) for size, start in zip(sizes, starts, strict=True)]
        store.commit([chain.work(*parts)], ARRIVED)
        stored = engine.rows(store, LOGS, "id, seq")
        assert [seq for _id, seq in sorted(stored)] == list(range(1, sum(sizes) + 1))

    @pytest.mark.parametrize(
        "bad",
        [
            (NOON, "host"),
            (NOON, 5, {}),
            ("now", "host", {}),
            (True, "host", {}),
            (NOON, "host", [1]),
            "host",
            None,
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("stream", [SAMPLES, CONTROL])
    def test_malformed_samples_are_quarantined(
        self, engine: Engine[Any], store: SinkStore, stream: int, bad: Any
    ) -> None:
        """A sample that is not a time, a kind and a map cannot be read by anybody: its batch is kept apart."""
        chain, other = Chain(stream=stream), Chain(MAIL, stream=stream)
        good = (NOON, "host", {"cpu": 2})
        store.commit([chain.work([good], [good, bad], [good]), other.work([good])], ARRIVED)
        assert [row[0] for row in engine.table(store, stream, "quarantine", "first", "id")] == [2]
        assert [row[0] for row in engine.rows(store, stream, "seq")] == [1, 4, 1]

    @pytest.mark.threat("poison-batch")
    @pytest.mark.parametrize("stream", [LOGS, SAMPLES])
    @pytest.mark.parametrize("count", [1, 3])
    def test_a_body_that_belies_its_header_is_quarantined(
        self, engine: Engine[Any], store: SinkStore, stream: int, count: int
    ) -> None:
        """More records than the header names would take the places of the next batch's, fewer would leave a hole."""
        chain = Chain(stream=stream)
        record = log() if stream == LOGS else (NOON, "host", {})
        batch, groups = chain.cut([record, record], count=count)
        chain.take(batch)
        work = chain.work([record])
        store.commit([EpochWork(WEB, stream, chain.cursor, [Entry(batch, groups), *work.entries])], ARRIVED)
        assert [row[0] for row in engine.table(store, stream, "quarantine", "first", "id")] == [1]
        assert [row[0] for row in engine.rows(store, stream, "seq")] == [count + 1]

    def test_absurd_sample_times_become_the_arrival(self, engine: Engine[Any], store: SinkStore) -> None:
        """As with logs."""
        chain = Chain(stream=SAMPLES)
        store.commit([chain.work([(0, "host", {}), (2**63 - 1, "host", {}), (-1, "host", {})])], ARRIVED)
        assert engine.rows(store, SAMPLES, "time") == [(ARRIVED,)] * 3

    # --- beacons ----------------------------------------------------------------------------------

    def test_presence_keeps_the_last_beacon_and_counts_by_minute(
        self, engine: Engine[Any], store: SinkStore
    ) -> None:
        """Also of a node that has not sent a record yet."""
        minute = 60 * SECOND
        beats = [
            Presence(WEB, NOON + offset, NOON, 10.0, {"logs": {"last": 3}}, {"id": b"\1"})
            for offset in (0, 9, minute)
        ]
        store.presence(beats[:2])
        store.presence(beats[2:])
        assert engine.table(store, LOGS, "heartbeat", "minute, beacons", "minute") == [
            (NOON, 2),
            (NOON + minute, 1),
        ]
        assert engine.table(store, LOGS, "presence", "beacon, interval, state, facts", "node_id") == [
            (NOON + minute, 10 * SECOND, '{"logs": {"last": 3}}', '{"id": "01"}')
        ]
        store.presence([])

    # --- against a model --------------------------------------------------------------------------

    def any_history_matches_a_model(self, engine: Engine[Any], data: st.DataObject) -> None:
        """Whatever is committed, repeated, refused or failed: rows and cursors are what a dictionary would hold.

        To be called by an engine's own property test, which knows how many examples it can afford.
        """
        store = engine.make()
        chains = [Chain(key, stream) for key in (WEB, MAIL) for stream in (LOGS, SAMPLES, CONTROL)]
        expected: dict[int, list[tuple[int, int]]] = {LOGS: [], SAMPLES: [], CONTROL: []}
        for number in range(data.draw(st.integers(1, 6), label="commits")):
            chosen = data.draw(st.lists(st.sampled_from(chains), min_size=1, unique_by=id), label="chains")
            works = [chain.work(*data.draw(_parts(chain.stream), label="parts")) for chain in chosen]
            twins, stale = [again(work) for work in works], [again(work) for work in works]
            failure = data.draw(st.sampled_from(["", "before_commit", "after_commit"]), label="failure")
            if failure:
                # One transaction meets it. An engine that has several for a commit leaves it half done, as it may.
                failpoints.arm(f"store.{failure}=error")
                try:
                    with pytest.raises(StoreUnavailable):
                        store.commit(twins, ARRIVED + number)
                finally:
                    failpoints.arm("")
            _settle(store, works, ARRIVED + number)
            for work in works:
                expected[work.stream] += [(work.key == WEB, seq) for seq in _seqs(work)]
            for work in stale:
                with pytest.raises(CursorConflict):
                    store.commit([work], ARRIVED)
        for chain in chains:
            found = store.load(chain.key, chain.stream, [chain.epoch])
            assert found == ({chain.epoch: chain.cursor} if chain.cursor.version else {})
        for stream, rows in expected.items():
            nodes = dict(engine.table(store, stream, "node", "id, name", "id"))
            stored = engine.rows(store, stream, "node_id, seq")
            assert sorted((nodes[node] == WEB.node, seq) for node, seq in stored) == sorted(rows)


def _parts(stream: int) -> st.SearchStrategy[list[list[Any]]]:
    record = st.just(log()) if stream == LOGS else st.just((NOON, "host", {"cpu": 1}))
    return st.lists(st.lists(record, min_size=1, max_size=4), min_size=1, max_size=3)


def _seqs(work: EpochWork) -> Sequence[int]:
    return [
        seq for entry in work.entries for seq in range(entry.batch.header.first, entry.batch.header.last + 1)
    ]


def _settle(store: SinkStore, works: Sequence[EpochWork], arrived: int) -> None:
    """Do what a sink does after a failure: read the cursors, and commit only what is not there."""
    missing = []
    for work in works:
        epoch = work.cursor.epoch
        found = store.load(work.key, work.stream, [epoch]).get(epoch)
        if found is not None and found.ranges == work.cursor.ranges:
            work.cursor.version = found.version
        else:
            assert (found.version if found else 0) == work.cursor.version
            missing.append(work)
    if missing:
        store.commit(missing, arrived)
