"""What must hold of every engine's store while legal holds are in force: what they cover is not deleted by any limit."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.delivery.ports import Presence
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.limits import Level
from tabard.errors import UsageError
from tests.contract.chain import MAIL, NOON, WEB, Chain, log
from tests.contract.retention import DAY, Aged, AgedContract, ago, numbered, spoilt


def hold(name: str = "case", **scope: Any) -> Hold:
    """A hold on what `scope` says."""
    fields = {"since": None, "until": None, "node": None, "zone": None, "service": None, "text": None}
    return Hold(name, **{**fields, **scope}, reason="ticket 12", made=NOON, made_by="judge@court")


def days_of(aged: Aged, chain: Chain, days: int, **fields: Any) -> None:
    """A record of each day, the last of them of today."""
    for day in range(days):
        at = ago(days - 1 - day)
        aged.arrive(days - 1 - day, chain.work([log(f"{chain.key.node} {day}", time=at, **fields)]))


class HoldContract(AgedContract):
    """Inherit, and give an `engine` that is a `RetentionEngine`."""

    @pytest.mark.parametrize(
        ("scope", "kept"),
        [
            ({}, ["web1 0", "mail1 0", "web1 1", "mail1 1"]),
            ({"node": "web1"}, ["web1 0", "web1 1"]),
            ({"zone": WEB.zone}, ["web1 0", "web1 1"]),
            ({"since": ago(3.5), "until": ago(2.5)}, ["web1 1", "mail1 1"]),
            ({"until": ago(3.5), "node": "mail1"}, ["mail1 0"]),
            ({"service": "shop"}, ["mail1 0", "mail1 1"]),
            ({"text": "WEB1 1"}, ["web1 1"]),
            ({"node": "nobody"}, []),
        ],
    )
    def test_what_a_hold_covers_stays(self, aged: Aged, scope: dict[str, Any], kept: list[str]) -> None:
        """By time, node, zone, service and text, and all of them together; the rest goes by its age."""
        web, mail = Chain(WEB), Chain(MAIL)
        for day in range(5):
            at = ago(4 - day)
            aged.arrive(4 - day, web.work([log(f"web1 {day}", time=at)]))
            aged.arrive(4 - day, mail.work([log(f"mail1 {day}", time=at, service="shop")]))
        aged.engine.hold(aged.store, hold(**scope))
        aged.keep(logs_age=2.5 * DAY)
        young = [f"{name} {day}" for day in (2, 3, 4) for name in ("web1", "mail1")]
        assert aged.messages() == [*kept, *young]
        aged.keep(logs_age=2.5 * DAY)
        assert aged.messages() == [*kept, *young]

    def test_a_wrong_clock_takes_nothing_out_of_a_hold(self, aged: Aged) -> None:
        """What happened in its time is held, and what arrived in it."""
        chain = Chain()
        aged.arrive(9, chain.work([log("by event", time=ago(4)), log("neither", time=ago(400))]))
        aged.arrive(4, chain.work([log("by arrival", time=ago(400))]))
        aged.arrive(0, chain.work([log("young")]))
        aged.engine.hold(aged.store, hold(since=ago(5), until=ago(3)))
        aged.keep(logs_age=1.5 * DAY)
        assert aged.messages() == ["by event", "by arrival", "young"]

    def test_letters_of_other_alphabets_are_found_in_any_case(self, aged: Aged) -> None:
        """In any text of a record; a sign of patterns stands for itself."""
        chain = Chain()
        aged.arrive(
            4, chain.work([log("über 100%"), log("100 of 200"), log("x", attributes='{"a": "ÜBER"}')])
        )
        aged.arrive(0, chain.work([log("young")]))
        aged.engine.hold(aged.store, hold("one", text="Über"))
        aged.engine.hold(aged.store, hold("two", text="100%"))
        aged.keep(logs_age=1.5 * DAY)
        assert aged.messages() == ["über 100%", "x", "young"]

    def test_what_was_held_goes_when_the_hold_is_released(self, aged: Aged) -> None:
        """Of two holds the other one still counts; the released one is kept with who, when and why."""
        aged.fill(Chain(), 5)
        for name in ("one", "two"):
            aged.engine.hold(aged.store, hold(name, since=ago(10), until=ago(3.5)))
        aged.keep(logs_age=2.5 * DAY)
        assert aged.messages() == [*numbered(range(10)), *numbered(range(20, 50))]
        aged.engine.release(aged.store, "one")
        aged.keep(logs_age=2.5 * DAY)
        assert aged.messages() == [*numbered(range(10)), *numbered(range(20, 50))]
        aged.engine.release(aged.store, "two")
        aged.keep(logs_age=2.5 * DAY)
        assert aged.messages() == numbered(range(20, 50))
        rows = aged.engine.table(
            aged.store, LOGS, "hold", "name, released, released_by, release_reason", "name"
        )
        assert rows == [("one", NOON, "judge", "closed"), ("two", NOON, "judge", "closed")]
        aged.engine.hold(aged.store, hold("one"))  # a name that nobody uses any more
        aged.keep(logs_age=0.5 * DAY)
        assert aged.messages() == numbered(range(20, 50))

    def test_a_name_in_force_is_not_taken_twice(self, aged: Aged) -> None:
        """For the same it is the hold there is: whoever was interrupted tries again. For another it is refused."""
        aged.engine.hold(aged.store, hold(node="web1"))
        aged.engine.hold(aged.store, hold(node="web1"))
        assert len(aged.engine.table(aged.store, LOGS, "hold", "id", "id")) == 1
        with pytest.raises(UsageError, match="covers something else"):
            aged.engine.hold(aged.store, hold(node="mail1"))

    def test_a_hold_of_nodes_covers_all_that_they_sent(self, aged: Aged) -> None:
        """Samples, the control stream, gaps, quarantine, heartbeats, and the headers that say who signed it."""
        web, mail = (
            {stream: Chain(key, stream) for stream in (LOGS, SAMPLES, CONTROL)} for key in (WEB, MAIL)
        )
        for day in (9, 0):
            for chains in (web, mail):
                record: tuple[int, str, dict[str, int]] = (ago(day), "host", {})
                aged.arrive(day, chains[LOGS].work([log(f"day {day}", time=ago(day))]))
                aged.arrive(day, chains[SAMPLES].work([record]), chains[CONTROL].work([record]))
                aged.arrive(day, chains[SAMPLES].lose(3), spoilt(chains[LOGS]))
                aged.store.presence([Presence(chains[LOGS].key, ago(day), ago(day), 10.0, {}, {})])
        aged.engine.hold(aged.store, hold(node="web1"))
        aged.keep(logs_age=2.5 * DAY, samples_age=2.5 * DAY, control_age=2.5 * DAY, quarantine_age=2.5 * DAY)
        (held,) = aged.engine.table(aged.store, LOGS, "node", "id", "name DESC")[:1]
        engine, store = aged.engine, aged.store
        for stream in (LOGS, SAMPLES, CONTROL):
            assert [row for row in engine.rows(store, stream, "node_id, arrived") if row[1] < ago(1)] == [
                (*(engine.table(store, stream, "node", "id", "name DESC")[0]), ago(9))
            ]
        for table in ("gap", "quarantine"):
            old = [
                row[0]
                for row in engine.table(store, LOGS, table, "node_id, arrived", "id")
                if row[1] < ago(1)
            ]
            assert old == [held[0]]
        beats = engine.table(store, LOGS, "heartbeat", "node_id, minute", "minute")
        assert [row[0] for row in beats if row[1] < ago(1)] == [held[0]]
        headers = engine.table(store, LOGS, "batch", "stream, first, arrived", "stream, first")
        assert [row[:2] for row in headers if row[2] < ago(1)] == [(LOGS, 1), (SAMPLES, 1)]

    def test_a_hold_on_a_text_covers_no_samples(self, aged: Aged) -> None:
        """Nobody can say which of them it would mean; of gaps and quarantine it covers those of its nodes and time."""
        web, samples = Chain(), Chain(stream=SAMPLES)
        aged.arrive(9, web.work([log("secret"), log("other")]), samples.work([(ago(9), "host", {})]))
        aged.arrive(9, web.lose(3))
        aged.arrive(0, web.work([log("young")]), samples.work([(ago(0), "host", {})]))
        aged.engine.hold(aged.store, hold(text="secret"))
        aged.keep(logs_age=2.5 * DAY, samples_age=2.5 * DAY)
        assert aged.messages() == ["secret", "young"]
        assert aged.engine.rows(aged.store, SAMPLES, "time") == [(ago(0),)]
        assert aged.gaps() == ["quota"]

    def test_limits_count_what_is_not_held(self, aged: Aged) -> None:
        """A hold larger than the limit does not have new records deleted as they come; the fault says what is so."""
        chain, other = Chain(), Chain(MAIL)
        for day in (4, 3, 2, 1, 0):
            records = [log("x" * 500, time=ago(day)) for _ in range(1000)]
            aged.arrive(day, (chain if day > 1 else other).work(records))
        aged.engine.hold(aged.store, hold(node="web1"))
        aged.keep(logs_bytes=1_800_000)
        assert len(aged.messages()) == 5000
        assert aged.upkeep.fault is not None
        assert "over the limit retention.logs_bytes" in aged.upkeep.fault
        assert "are held" in aged.upkeep.fault
        aged.engine.release(aged.store, "case")
        aged.keep(logs_bytes=1_800_000)
        assert 0 < len(aged.messages()) <= 3000
        assert aged.upkeep.fault is None

    def test_a_hold_covers_what_goes_by_its_level(self, aged: Aged) -> None:
        """And a release has it go after all."""
        chain = Chain()
        days_of(aged, chain, 5, severity=5)
        aged.engine.hold(aged.store, hold(until=ago(3.5)))
        debug = (Level(1, 8, 1.5 * DAY),)
        aged.keep(levels=debug)
        assert aged.messages() == ["web1 0", "web1 3", "web1 4"]
        aged.engine.release(aged.store, "case")
        aged.keep(levels=debug)
        assert aged.messages() == ["web1 3", "web1 4"]

    def test_quarantine_over_its_size_spares_what_is_held(self, aged: Aged) -> None:
        """The next oldest goes instead."""
        web, mail = Chain(), Chain(MAIL)
        for day, chain in ((4, web), (3, mail), (2, web), (1, mail), (0, mail)):
            aged.arrive(day, spoilt(chain, 50_000))
        aged.engine.hold(aged.store, hold(node="web1"))
        aged.keep(quarantine_bytes=170_000)
        kept = aged.engine.table(aged.store, LOGS, "quarantine", "arrived", "arrived")
        assert kept == [(ago(4),), (ago(2),), (ago(0),)]

    def test_ids_of_what_is_held_stay(self, aged: Aged) -> None:
        """Nothing is written anew: a page and a link find the record where it was."""
        chain = Chain()
        aged.fill(chain, 5)
        before = aged.engine.rows(aged.store, LOGS, "id, seq")
        aged.engine.hold(aged.store, hold(until=ago(3.5)))
        aged.keep(logs_age=1.5 * DAY)
        after = aged.engine.rows(aged.store, LOGS, "id, seq")
        assert after == [*before[:10], *before[30:]]
