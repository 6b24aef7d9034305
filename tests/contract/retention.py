"""What must hold of every engine's store after retention has run: what is old or too much is gone, and nothing else.

An engine may delete by whole days of arrival: what these tests want gone arrived at least a day before what they want
kept, and no limit lies within a day on which something arrived.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tabard.brokers.delivery.ports import Entry, EpochWork, Gap, Presence, SinkStore
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.consumers.store.limits import Level, RetentionLimits
from tabard.consumers.store.ports import Upkeep
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.engine import Contract, RetentionEngine

DAY = 86_400
NEVER = RetentionLimits(
    logs_age=1e6 * DAY,
    logs_bytes=2**40,
    samples_age=1e6 * DAY,
    samples_bytes=2**40,
    every=30.0,
    budget_rows=2000,
    versions_age=1e6 * DAY,
    quarantine_age=1e6 * DAY,
    quarantine_bytes=2**40,
    control_age=1e6 * DAY,
    control_bytes=2**40,
)
"""Limits that nothing reaches."""


class Wall:
    """A clock that is set by hand; it stands at noon."""

    def __init__(self) -> None:
        self.now = NOON

    def monotonic(self) -> float:
        """Seconds."""
        return self.now / SECOND

    def wall(self) -> int:
        """Nanoseconds."""
        return self.now


def ago(days: float) -> int:
    """The time so many days before noon."""
    return NOON - round(days * DAY * SECOND)


def run(upkeep: Upkeep, now: float = 0.0) -> None:
    """Do a whole pass."""
    for _ in range(10_000):
        if not upkeep.step(now):
            return
    raise AssertionError("the pass does not end")


class Aged:
    """A store that is filled as if days had passed, and what keeps it within its limits."""

    def __init__(self, engine: RetentionEngine[Any], store: SinkStore) -> None:
        self.engine = engine
        self.store = store
        self.wall = Wall()
        self.upkeep: Upkeep = engine.upkeep(store, NEVER, self.wall)
        self._passes = 0

    def arrive(self, days: float, *work: EpochWork) -> None:
        """Have work arrive so many days before noon."""
        self.engine.arrive(self.store, work, ago(days))

    def fill(self, chain: Chain, days: int, count: int = 10) -> None:
        """Records that arrive once a day, the last of them at noon."""
        for day in range(days):
            self.arrive(days - 1 - day, chain.work(logs(count, day * count)))

    def keep(self, **limits: Any) -> None:
        """Do a whole pass with those limits."""
        self.upkeep.limits = NEVER._replace(**limits)
        self._passes += 1
        run(self.upkeep, 1000.0 * self._passes)

    def messages(self) -> list[str]:
        """Of the records that are there."""
        return [row[0] for row in self.engine.rows(self.store, LOGS, "message")]

    def gaps(self, stream: int = LOGS) -> list[str]:
        """Reasons of the gaps that are there."""
        return [row[0] for row in self.engine.table(self.store, stream, "gap", "reason", "id")]


def numbered(numbers: Sequence[int]) -> list[str]:
    """Messages of numbered records."""
    return [f"record {number}" for number in numbers]


def spoilt(chain: Chain, size: int = 1000) -> EpochWork:
    """A batch that goes into quarantine."""
    batch, _groups = chain.cut(count=3, body=b"\xc1" + os.urandom(size - 1))
    chain.take(batch)
    return EpochWork(chain.key, chain.stream, chain.cursor, [Entry(batch, poison="not msgpack")])


class AgedContract(Contract):
    """What parts of the contract have in common that are about deleting."""

    @pytest.fixture
    def aged(self, engine: RetentionEngine[Any], store: SinkStore) -> Aged:
        """An empty store."""
        return Aged(engine, store)


class RetentionContract(AgedContract):
    """Inherit, and give an `engine` that is a `RetentionEngine`."""

    # --- age --------------------------------------------------------------------------------------

    def test_nothing_goes_within_the_limits(self, aged: Aged) -> None:
        """Neither records nor what is told of them."""
        chain, samples = Chain(), Chain(stream=SAMPLES)
        aged.fill(chain, 5)
        aged.arrive(3, chain.lose(5), samples.work([(NOON, "host", {})]), spoilt(Chain(MAIL)))
        aged.keep()
        assert aged.messages() == numbered(range(50))
        assert aged.gaps() == ["quota"]
        assert len(aged.engine.rows(aged.store, SAMPLES, "seq")) == 1
        assert len(aged.engine.table(aged.store, LOGS, "quarantine", "id", "id")) == 1
        assert aged.upkeep.fault is None

    def test_old_records_go_and_young_ones_stay(self, aged: Aged) -> None:
        """Of all nodes."""
        aged.fill(Chain(), 5)
        aged.arrive(0, Chain(MAIL).work([log("of today")]))
        aged.keep(logs_age=2.5 * DAY)
        assert aged.messages() == [*numbered(range(20, 50)), "of today"]

    def test_headers_go_with_their_records(self, aged: Aged) -> None:
        """Those of records that are still there stay: what was signed can be verified as long as it can be read."""
        chain = Chain()
        aged.fill(chain, 5)
        aged.keep(logs_age=2.5 * DAY)
        headers = aged.engine.table(aged.store, LOGS, "batch", "first, count", "first")
        assert headers == [(21, 10), (31, 10), (41, 10)]
        assert aged.store.digest(WEB, LOGS, chain.epoch, 50) == chain.digest
        assert aged.store.digest(WEB, LOGS, chain.epoch, 10) is None

    def test_the_clock_of_a_node_neither_deletes_nor_keeps(self, aged: Aged) -> None:
        """Age is arrival: event times in the distant past or future do not count."""
        chain = Chain()
        aged.arrive(5, chain.work([log("future", time=ago(-365))]))
        aged.arrive(0, chain.work([log("past", time=1)]))
        aged.keep(logs_age=2.5 * DAY)
        assert aged.messages() == ["past"]

    def test_samples_have_an_age_of_their_own(self, aged: Aged) -> None:
        """And heartbeats have theirs; logs have another, and the control stream none of both."""
        samples, control = Chain(stream=SAMPLES), Chain(stream=CONTROL)
        aged.fill(Chain(), 5)
        for day in (4, 3, 1, 0):
            aged.arrive(day, samples.work([(ago(day), "host", {})]), control.work([(ago(day), "answer", {})]))
            aged.store.presence([Presence(WEB, ago(day), ago(day), 10.0, {}, {})])
        aged.keep(samples_age=2.5 * DAY)
        assert aged.engine.rows(aged.store, SAMPLES, "time") == [(ago(1),), (ago(0),)]
        beats = aged.engine.table(aged.store, LOGS, "heartbeat", "minute", "minute")
        assert beats == [(ago(1),), (ago(0),)]
        assert len(aged.messages()) == 50
        assert len(aged.engine.rows(aged.store, CONTROL, "seq")) == 4
        aged.keep(logs_age=1.5 * DAY)
        assert aged.messages() == numbered(range(30, 50))
        assert len(aged.engine.rows(aged.store, SAMPLES, "seq")) == 2

    # --- gaps and quarantine ----------------------------------------------------------------------

    @pytest.mark.parametrize("stream", [LOGS, SAMPLES])
    def test_a_gap_stays_until_it_is_old_itself(self, aged: Aged, stream: int) -> None:
        """Whatever becomes of the records around it: a loss is not to become silence."""
        chain = Chain(stream=stream)
        record = log() if stream == LOGS else (NOON, "host", {})
        aged.arrive(40, chain.work([record] * 50), Chain(MAIL, stream).lose(3, "old"))
        aged.arrive(10, chain.lose(1000, "young"))
        aged.arrive(0, Chain(MAIL, stream, "b").work([record]))
        limits = {"logs_age": 30.5 * DAY, "samples_age": 30.5 * DAY}
        aged.keep(**limits)
        assert len(aged.engine.rows(aged.store, stream, "seq")) == 1
        assert aged.gaps(stream) == ["young"]
        aged.wall.now += 21 * DAY * SECOND
        aged.keep(**limits)
        assert aged.gaps(stream) == []

    def test_a_gap_without_any_record_stays(self, aged: Aged) -> None:
        """A loss that was stored before the first record: nothing was deleted, so nothing goes with it."""
        chain = Chain()
        aged.arrive(2, chain.lose(5))
        aged.keep(logs_age=5.5 * DAY, logs_bytes=1)
        assert aged.gaps() == ["quota"]
        aged.arrive(1, chain.work(logs(3)))
        aged.keep(logs_age=5.5 * DAY)
        assert aged.gaps() == ["quota"]

    def test_a_doubt_keeps_its_age_too(self, aged: Aged) -> None:
        """Also one of an epoch that is not stored, with an open end."""
        chain = Chain()
        for day in (9, 1):
            doubt = Gap(bytes(16), 5, None, 1, True, "doubt", f"day {day}")
            aged.arrive(day, chain.work(logs(1), gaps=[doubt]))
        aged.keep(logs_age=5.5 * DAY)
        assert aged.gaps() == ["day 1"]

    def test_quarantine_has_an_age_of_its_own(self, aged: Aged) -> None:
        """No record is needed for it to go, and none takes it along."""
        chain, other = Chain(), Chain(MAIL)
        for day in (9, 5, 1):
            aged.arrive(day, spoilt(chain), other.work(logs(1)))
        aged.keep(logs_age=2.5 * DAY)
        days = "arrived"
        assert len(aged.engine.table(aged.store, LOGS, "quarantine", days, days)) == 3
        aged.keep(quarantine_age=6.5 * DAY)
        kept = aged.engine.table(aged.store, LOGS, "quarantine", days, days)
        assert kept == [(ago(5),), (ago(1),)]
        assert len(aged.messages()) == 1

    # --- size -------------------------------------------------------------------------------------

    def test_too_many_records_go_oldest_first(self, aged: Aged) -> None:
        """What is left is what came last; of records of the same size not all go."""
        chain = Chain()
        for day in range(5):
            records = [log(f"{number:05} {'x' * 500}") for number in range(1000 * day, 1000 * day + 1000)]
            aged.arrive(4 - day, chain.work(records))
        aged.keep(logs_bytes=2_200_000)
        kept = [int(message[:5]) for message in aged.messages()]
        assert 0 < len(kept) < 4000
        assert kept == list(range(5000 - len(kept), 5000))

    def test_the_size_of_one_stream_costs_no_other(self, aged: Aged) -> None:
        """Samples that are too much leave the logs alone, and spoilt batches leave both."""
        samples, spoiling = Chain(stream=SAMPLES), Chain(MAIL, SAMPLES)
        aged.fill(Chain(), 5)
        for day in range(5):
            blobs = [(ago(4 - day), "processes", {"blob": os.urandom(50_000)}) for _ in range(4)]
            aged.arrive(4 - day, samples.work(blobs), spoilt(spoiling, 50_000))
        aged.keep(samples_bytes=500_000)
        kept = len(aged.engine.rows(aged.store, SAMPLES, "seq"))
        assert 0 < kept <= 10
        assert aged.messages() == numbered(range(50))
        assert len(aged.engine.table(aged.store, SAMPLES, "quarantine", "id", "id")) == 5
        aged.keep(quarantine_bytes=120_000)
        held = aged.engine.table(aged.store, SAMPLES, "quarantine", "arrived", "arrived")
        assert held == [(ago(1),), (ago(0),)]
        assert aged.messages() == numbered(range(50))
        assert len(aged.engine.rows(aged.store, SAMPLES, "seq")) == kept

    # --- count ------------------------------------------------------------------------------------

    def test_no_more_records_stay_than_there_may_be(self, aged: Aged) -> None:
        """The newest ones of each stream, whatever the day on which they arrived."""
        samples, control = Chain(stream=SAMPLES), Chain(stream=CONTROL)
        aged.fill(Chain(), 3, 50)
        for day in (2, 1, 0):
            records: list[tuple[int, str, dict[str, int]]] = [(ago(day), "host", {})] * 10
            aged.arrive(day, samples.work(records), control.work(records))
        aged.keep(logs_count=70, samples_count=15)
        assert aged.messages() == numbered(range(80, 150))
        assert aged.engine.rows(aged.store, SAMPLES, "seq") == [(seq,) for seq in range(16, 31)]
        assert len(aged.engine.rows(aged.store, CONTROL, "seq")) == 30
        aged.keep(control_count=1, logs_count=70)
        assert aged.engine.rows(aged.store, CONTROL, "seq") == [(30,)]
        assert aged.messages() == numbered(range(80, 150))
        assert aged.upkeep.fault is None

    def test_a_count_is_held_while_records_come_in(self, aged: Aged) -> None:
        """Pass after pass, with what came in between; rows that are gone are not counted again."""
        chain = Chain()
        for number in range(10):
            aged.arrive(0, chain.work(logs(100, number * 100)))
            aged.keep(logs_count=250)
            last = number * 100 + 100
            assert aged.messages() == numbered(range(max(0, last - 250), last))
            aged.wall.now += 5 * SECOND

    def test_a_count_of_one_day_is_held_within_the_day(self, aged: Aged) -> None:
        """Though nothing of it is old."""
        aged.arrive(0, Chain().work(logs(1000)))
        aged.keep(logs_count=333, budget_rows=70)
        assert aged.messages() == numbered(range(667, 1000))

    # --- level ------------------------------------------------------------------------------------

    def test_levels_go_at_their_own_age(self, aged: Aged) -> None:
        """Severities of a level and no others; what says none stays, and no gap comes of it."""
        chain = Chain()
        for day in range(6):
            for severity in (0, 1, 8, 9, 12, 13, 24):
                aged.arrive(5 - day, chain.work([log(f"{severity} of day {day}", severity=severity)]))
        aged.keep(levels=(Level(1, 8, 1.5 * DAY), Level(9, 12, 3.5 * DAY)))
        wanted = [
            f"{severity} of day {day}"
            for day in range(6)
            for severity in (0, 1, 8, 9, 12, 13, 24)
            if severity in {0, 13, 24} or day >= (2 if severity > 8 else 4)
        ]
        assert aged.messages() == wanted
        assert aged.gaps() == []

    def test_a_level_is_swept_on_from_where_it_was(self, aged: Aged) -> None:
        """By another process too; a level that comes later finds all that is old enough."""
        chain = Chain()
        for day in range(8):
            aged.arrive(
                7 - day, chain.work([log(f"debug {day}", severity=5), log(f"info {day}", severity=9)])
            )
        debug, info = Level(1, 8, 4.5 * DAY), Level(9, 12, 4.5 * DAY)
        aged.keep(levels=(debug,))
        assert [m for m in aged.messages() if m.startswith("debug")] == [
            f"debug {day}" for day in range(3, 8)
        ]
        aged.upkeep = aged.engine.upkeep(aged.store, NEVER, aged.wall)
        aged.wall.now += 2 * DAY * SECOND
        aged.keep(levels=(debug, info))
        assert [m for m in aged.messages() if m.startswith("debug")] == [
            f"debug {day}" for day in range(5, 8)
        ]
        assert [m for m in aged.messages() if m.startswith("info")] == [f"info {day}" for day in range(5, 8)]

    def test_a_level_goes_within_the_day(self, aged: Aged) -> None:
        """To the moment, on every engine."""
        chain = Chain()
        for hours in (10, 5, 1):
            aged.arrive(hours / 24, chain.work([log(f"{hours} h", severity=5), log("stays", severity=13)]))
        aged.keep(levels=(Level(1, 8, 3 * 3600.0),), budget_rows=1)
        assert aged.messages() == ["stays", "stays", "1 h", "stays"]

    def test_what_is_around_a_record_is_found_where_a_level_is_gone(self, aged: Aged) -> None:
        """Neighbours in the stream, with nothing in place of what went; the log shows no loss."""
        chain = Chain()
        records = [log(f"r{number}", severity=5 if number % 2 else 13, time=ago(3)) for number in range(10)]
        aged.arrive(3, chain.work(records))
        aged.arrive(0, chain.work([log("new")]))
        aged.keep(levels=(Level(1, 8, 1.5 * DAY),))
        assert aged.messages() == ["r0", "r2", "r4", "r6", "r8", "new"]
        headers = aged.engine.table(aged.store, LOGS, "batch", "first, count", "first")
        assert headers == [(1, 10), (11, 1)]

    def test_a_level_leaves_count_and_size_right(self, aged: Aged) -> None:
        """What went by its level does not count any more."""
        chain = Chain()
        for day in (3, 2, 1, 0):
            aged.arrive(day, chain.work([log(f"{day} {n}", severity=5 if n % 2 else 13) for n in range(20)]))
        aged.keep(levels=(Level(1, 8, 1.5 * DAY),), logs_count=1000)
        assert len(aged.messages()) == 60
        aged.keep(levels=(Level(1, 8, 1.5 * DAY),), logs_count=60)
        assert len(aged.messages()) == 60
        aged.keep(levels=(Level(1, 8, 1.5 * DAY),), logs_count=55)
        assert len(aged.messages()) == 55

    # --- what never goes --------------------------------------------------------------------------

    def test_cursors_are_untouched(self, aged: Aged) -> None:
        """An epoch that were forgotten would be asked for, and stored, once more."""
        chain, lost = Chain(), Chain(MAIL)
        aged.fill(chain, 3)
        aged.arrive(2, lost.lose(5))
        aged.wall.now += 100 * DAY * SECOND
        aged.keep(logs_age=1.5 * DAY, logs_bytes=1)
        assert aged.store.load(WEB, LOGS, [chain.epoch]) == {chain.epoch: chain.cursor}
        assert aged.store.load(MAIL, LOGS, [lost.epoch]) == {lost.epoch: lost.cursor}
        assert aged.store.unfinished(WEB, LOGS) == [chain.cursor]
        aged.store.commit([chain.work([log("next")])], aged.wall.now)
        assert aged.messages()[-1] == "next"
        assert aged.engine.rows(aged.store, LOGS, "seq")[-1] == (31,)

    def test_an_id_is_never_given_again(self, aged: Aged) -> None:
        """A tail that goes on from an id would miss what comes next."""
        chain = Chain()
        aged.fill(chain, 2)
        highest = max(row[0] for row in aged.engine.rows(aged.store, LOGS, "id"))
        aged.wall.now += 100 * DAY * SECOND
        aged.keep(logs_age=1.5 * DAY)
        aged.store.commit([chain.work([log("next")])], aged.wall.now)
        row_id, message = aged.engine.rows(aged.store, LOGS, "id, message")[-1]
        assert message == "next"
        assert row_id > highest

    # --- the pass ---------------------------------------------------------------------------------

    def test_a_pass_is_due_at_its_interval(self, aged: Aged) -> None:
        """Between two passes a step does nothing, and limits may change meanwhile."""
        aged.fill(Chain(), 5)
        run(aged.upkeep, 100.0)
        aged.upkeep.limits = NEVER._replace(logs_age=1.5 * DAY)
        assert aged.upkeep.step(129.0) is False
        assert len(aged.messages()) == 50
        run(aged.upkeep, 130.0)
        assert len(aged.messages()) == 20

    def test_commits_come_between_the_steps(self, aged: Aged) -> None:
        """And nothing of what they store is lost."""
        chain, other = Chain(), Chain(MAIL)
        aged.fill(chain, 5, 100)
        aged.upkeep.limits = NEVER._replace(logs_age=1.5 * DAY, budget_rows=70)
        for number in range(10_000):
            more = aged.upkeep.step(0.0)
            aged.store.commit([other.work([log(f"between {number}")])], aged.wall.now)
            aged.upkeep.follow()
            if not more:
                break
        between = [message for message in aged.messages() if message.startswith("between")]
        assert between == [f"between {number}" for number in range(len(between))]
        assert len(between) > 1
        assert [message for message in aged.messages() if message not in between] == numbered(range(300, 500))

    def test_a_failing_store_ends_the_pass_and_loses_nothing(
        self, aged: Aged, armed: Callable[[str], None]
    ) -> None:
        """A step never raises for the store's sake; what was about to be deleted is there, and goes the next time."""
        aged.fill(Chain(), 5)
        aged.upkeep.limits = NEVER._replace(logs_age=1.5 * DAY)
        armed("store.retention_chunk=error")
        for _ in range(1000):
            if not aged.upkeep.step(0.0):
                break
        assert len(aged.messages()) == 50
        armed("")
        run(aged.upkeep, 30.0)
        assert len(aged.messages()) == 20
