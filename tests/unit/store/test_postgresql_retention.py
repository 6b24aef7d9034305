"""Retention on PostgreSQL beside others: two recorders delete in one store, limits change while a pass is under way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg2
import pytest

from tabard.consumers.store import holding
from tabard.consumers.store.limits import Level, RetentionLimits
from tabard.consumers.store.place import Place
from tabard.consumers.store.ports import Upkeep
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import MAIL, SECOND, WEB, Chain, log, logs
from tests.contract.holding import hold
from tests.contract.retention import NEVER, Wall, run

STEPS = 4_000


class Pair:
    """Two recorders of one store, each with a retention of its own."""

    def __init__(self, url: str, limits: RetentionLimits) -> None:
        self.url = url
        self.wall = Wall()
        self.stores = [PostgresStore.open(url) for _ in range(2)]
        self.upkeeps = [PostgresUpkeep(store, limits, self.wall) for store in self.stores]
        self._chains = [Chain(WEB), Chain(MAIL)]
        self.stored = 0

    def close(self) -> None:
        """Close both."""
        for store in self.stores:
            store.close()

    def store(self, number: int, count: int) -> None:
        """Records that one of them takes in now."""
        records = logs(count, self.stored)
        self.stores[number].commit([self._chains[number].work(records)], self.wall.now)
        self.stored += count

    def messages(self) -> list[str]:
        """Of the records that are there."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT message FROM tabard_records.log ORDER BY id")
            return [message for (message,) in cursor.fetchall()]

    def run(self, random: Random, now: float) -> None:
        """A pass of each, a step of this one and a step of that."""
        left = list(self.upkeeps)
        for _ in range(STEPS):
            if not left:
                return
            upkeep = random.choice(left)
            if not upkeep.step(now):
                left.remove(upkeep)
        raise AssertionError("the passes do not end")


@pytest.fixture
def pairs(postgres: Postgres) -> Iterator[Any]:
    """What makes one."""
    made: list[Pair] = []

    def make(**limits: Any) -> Pair:
        made.append(Pair(postgres.database(), NEVER._replace(budget_rows=200, **limits)))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


@pytest.mark.parametrize("seconds", [0, 4, 20], ids=["just come", "within seconds", "long there"])
@pytest.mark.parametrize("seed", range(3))
def test_two_recorders_together_delete_what_is_too_much_and_no_more(
    pairs: Any, seconds: int, seed: int
) -> None:
    """Each has planned to delete it: what the first one has done the second one must not do again."""
    pair, random = pairs(logs_count=1_000), Random(seed)
    for number in (0, 1, 0, 1):
        pair.store(number, 1_000)
        pair.wall.now += seconds * SECOND
    pair.run(random, 1.0)
    assert pair.messages() == [f"record {number}" for number in range(3_000, 4_000)]


@pytest.mark.parametrize("seed", range(3))
def test_two_recorders_leave_what_is_held_and_the_limit_besides(pairs: Any, seed: int) -> None:
    """The one has passed what is held; the other, which was started later, has not."""
    pair, random = pairs(logs_count=500), Random(seed)
    pair.store(0, 600)
    holding.add(Place(url=pair.url), hold("web", node=WEB.node))
    run(pair.upkeeps[0], 1.0)
    for _ in range(4):
        pair.store(1, 1_000)
    pair.run(random, 100.0)
    left = pair.messages()
    assert left[:600] == [f"record {number}" for number in range(600)]
    assert left[600:] == [f"record {number}" for number in range(4_100, 4_600)]


def test_a_level_that_another_recorder_deletes_is_taken_off_what_was_planned(pairs: Any) -> None:
    """Debug records go by their age while records go by count: together they do not take more than the count wants."""
    pair = pairs(logs_count=1_000)
    chain = Chain(MAIL, name="b")
    pair.store(0, 400)
    debug = [log(f"debug {number}", severity=5) for number in range(1_000)]
    pair.stores[0].commit([chain.work(debug)], pair.wall.now)
    pair.store(0, 1_000)
    pair.wall.now += 5 * SECOND
    one, other = pair.upkeeps
    other.limits = NEVER._replace(budget_rows=200, levels=(Level(1, 8, 1.0),))
    while len(pair.messages()) == 2_400:  # the first has planned to delete 1,400
        one.step(1.0)
    run(other, 1.0)
    run(one, 1.0)
    run(one, 100.0)
    assert pair.messages() == [f"record {number}" for number in range(400, 1_400)]


def test_a_limit_that_is_raised_holds_at_once(pairs: Any) -> None:
    """Not only when what was planned for the old one has been deleted."""
    pair = pairs(logs_count=100)
    pair.store(0, 3_000)
    upkeep = pair.upkeeps[0]
    while (left := len(pair.messages())) == 3_000:
        upkeep.step(1.0)
    upkeep.limits = NEVER
    run(upkeep, 1.0)
    assert len(pair.messages()) == left


def test_a_level_that_is_to_stay_longer_stays_at_once(pairs: Any) -> None:
    """In the middle of a pass that goes by the age it had before."""
    pair = pairs(levels=(Level(1, 24, 1.0),))
    pair.store(0, 3_000)
    pair.wall.now += 60 * SECOND
    upkeep: Upkeep = pair.upkeeps[0]
    while (left := len(pair.messages())) == 3_000:
        upkeep.step(1.0)
    upkeep.limits = NEVER
    run(upkeep, 1.0)
    assert len(pair.messages()) == left
