"""Epochs of which nothing is left go on PostgreSQL as on SQLite, and what they were is still known."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tabard.brokers.delivery.book import StreamBook, forked_id
from tabard.brokers.delivery.credit import Account
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.intake import Intake
from tabard.brokers.delivery.ports import Admitted, CursorConflict, EpochWork
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import forgetting
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, SECOND, WEB, Chain, logs
from tests.contract.retention import DAY, NEVER, Wall, run

LIMITS = NEVER._replace(logs_age=30.0 * DAY, samples_age=7.0 * DAY, quarantine_age=90.0 * DAY)
OLD = NOON - 400 * DAY * SECOND


class Place:
    """A store with three old epochs and a young one that goes on."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = PostgresStore.open(url)
        first = self.ended("a", OLD)
        self.ended("c", OLD + 2, self.ended("b", OLD + 1, first))
        self.store.commit([Chain(name="now").work(logs(1))], NOON)

    def ended(self, name: str, arrived: int, previous: Chain | None = None) -> Chain:
        """An epoch with an opening and three records, stored to its end."""
        chain = Chain(name=name)
        opening = chain.open(previous.epoch if previous else None, 4)
        rest = chain.work(logs(3))
        chain.cursor.ended = 4
        self.store.commit([EpochWork(WEB, LOGS, chain.cursor, opening.entries + rest.entries)], arrived)
        return chain

    def ask(self, text: str) -> list[tuple[Any, ...]]:
        """Rows of an answer."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"SET search_path TO tabard_records; {text}")
                return cursor.fetchall() if cursor.description else []

    @property
    def epochs(self) -> int:
        """How many there are."""
        return int(self.ask("SELECT count(*) FROM epoch")[0][0])

    def keep(self) -> None:
        """One pass of retention."""
        run(PostgresUpkeep(self.store, LIMITS, Wall()), 0.0)


@pytest.fixture
def place(postgres: Postgres) -> Iterator[Place]:
    """In a database of its own."""
    made = Place(postgres.database())
    yield made
    made.store.close()


def test_old_epochs_go_when_nothing_is_left_of_them(place: Place) -> None:
    """The young one stays, and so does an old one as long as its records do."""
    run(PostgresUpkeep(place.store, NEVER, Wall()), 0.0)
    assert place.epochs == 4
    place.keep()
    assert place.epochs == 1
    assert place.ask("SELECT count(*), sum(ended) FROM past_epoch") == [(3, 12)]


@pytest.mark.parametrize("table", ["gap", "quarantine", "batch"])
def test_an_epoch_stays_as_long_as_anything_of_it(place: Place, table: str) -> None:
    """Not only records."""
    kept = {
        "gap": "INSERT INTO gap (node_id, stream, epoch_id, first, last, count, at_least, kind, reason, detail, time, arrived)"
        f" SELECT node_id, stream, id, 1, 1, 1, 0, 'gap', '', '', 1, {NOON} FROM epoch WHERE id = 1",
        "quarantine": "INSERT INTO quarantine (node_id, stream, epoch_id, first, count, reason, header, signature, body, time, arrived)"
        f" SELECT node_id, stream, id, 1, 1, '', '', '', '', 1, {NOON} FROM epoch WHERE id = 1",
        "batch": f"UPDATE batch SET arrived = {NOON} WHERE epoch_id = 1",
    }
    place.ask(kept[table])
    place.keep()
    assert place.ask("SELECT id FROM epoch ORDER BY id LIMIT 1") == [(1,)]
    assert place.epochs == 2


def test_a_copy_of_a_very_old_batch_is_not_stored_again(place: Place) -> None:
    """From a snapshot older than all limits: the batch is late, and the cursor passes it."""
    place.keep()
    again = Chain(name="b")
    again.open()
    batch, _groups = again.cut(logs(3))
    counters: Counter[str] = Counter()
    stream = StreamBook(LOGS, Account(urgent=False))
    pending, _answer = Intake(Epochs(place.store), counters).take(WEB, stream, Admitted(batch, batch.body))
    assert (pending, counters) == (0, {"late batches": 1})
    known = place.store.load(WEB, LOGS, [again.epoch])[again.epoch]
    assert (known.ended, known.ranges.high, known.version) == (4, 4, 1)


def test_of_the_names_only_so_many_stay(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the epochs that went last."""
    monkeypatch.setattr(forgetting, "NAMES", 2)
    place.keep()
    names = [bytes(uid) for (uid,) in place.ask("SELECT uid FROM past_epoch ORDER BY id")]
    assert names == [Chain(name=name).epoch for name in ("b", "c")]


def test_the_histories_of_a_fork_stay(place: Place) -> None:
    """They find each other by their cursors."""
    fork = Chain()
    fork.epoch = fork.cursor.epoch = forked_id(Chain(name="a").epoch)
    work = fork.open(Chain(name="a").epoch, 1)
    work.cursor.ended = 1
    place.store.commit([work], OLD)
    place.keep()
    assert place.epochs == 3


def test_epochs_stay_while_two_are_unfinished(place: Place) -> None:
    """Their order shows in the chain between them."""
    place.store.commit([Chain(name="other").work(logs(1))], NOON)
    place.keep()
    assert place.epochs == 5


def test_a_recorder_that_still_knows_the_number_meets_a_conflict(place: Place) -> None:
    """It does not write rows of an epoch that is not there."""
    with PostgresStore.open(place.url) as other:
        known = other.load(WEB, LOGS, [Chain(name="a").epoch])[Chain(name="a").epoch]
        place.keep()
        with pytest.raises(CursorConflict):
            other.commit([EpochWork(WEB, LOGS, known)], NOON)
