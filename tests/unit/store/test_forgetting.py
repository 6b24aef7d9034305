"""Epochs of which nothing is left go, and what they were is still known when somebody comes back with them."""

from __future__ import annotations

import copy
from collections import Counter

import pytest

from tabard.brokers.delivery.book import StreamBook, forked_id
from tabard.brokers.delivery.credit import Account
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.intake import Intake
from tabard.brokers.delivery.ports import Admitted, EpochWork
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.consumers.store import forgetting
from tabard.consumers.store.layout import STATE
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, SECOND, WEB, Chain, logs
from tests.contract.retention import DAY, Wall
from tests.unit.store.test_retention import NEVER, ask, run

LIMITS = NEVER._replace(logs_age=30.0 * DAY, samples_age=7.0 * DAY)
FOUR = "SELECT count(*) FROM epoch"


def ended(store: SqliteStore, name: str, arrived: int, previous: Chain | None = None) -> Chain:
    """An epoch with an opening and three records, stored to its end."""
    chain = Chain(name=name)
    opening = chain.open(previous.epoch if previous else None, 4)
    rest = chain.work(logs(3))
    chain.cursor.ended = 4
    store.commit([EpochWork(WEB, LOGS, chain.cursor, opening.entries + rest.entries)], arrived)
    return chain


@pytest.fixture
def store() -> SqliteStore:
    """A store with three old epochs and a young one that goes on."""
    store = SqliteStore.memory()
    old = NOON - 400 * DAY * SECOND
    first = ended(store, "a", old)
    ended(store, "c", old + 2, ended(store, "b", old + 1, first))
    store.commit([Chain(name="now").work(logs(1))], NOON)
    return store


def test_old_epochs_go_when_nothing_is_left_of_them(store: SqliteStore) -> None:
    """The young one stays, and so does an old one as long as its records do."""
    run(Retention(store, NEVER, Wall()))
    assert ask(store, FOUR) == [(4,)]
    run(Retention(store, LIMITS, Wall()))
    assert ask(store, FOUR) == [(1,)]
    assert ask(store, "SELECT count(*), sum(ended) FROM past_epoch") == [(3, 12)]


def test_a_copy_of_a_very_old_batch_is_not_stored_again(store: SqliteStore) -> None:
    """From a snapshot older than all limits: the batch is late, and the cursor passes it."""
    run(Retention(store, LIMITS, Wall()))
    again = Chain(name="b")
    again.open()
    batch, _groups = again.cut(logs(3))
    counters: Counter[str] = Counter()
    stream = StreamBook(LOGS, Account(urgent=False))
    pending, _answer = Intake(Epochs(store), counters).take(WEB, stream, Admitted(batch, batch.body))
    assert (pending, counters) == (0, {"late batches": 1})
    assert ask(store, FOUR) == [(2,)]
    known = store.load(WEB, LOGS, [again.epoch])[again.epoch]
    assert (known.ended, known.ranges.high, known.version) == (4, 4, 1)
    store.commit([EpochWork(WEB, LOGS, copy.deepcopy(known))], NOON)
    assert store.load(WEB, LOGS, [again.epoch])[again.epoch].version == 2


def test_of_the_names_only_so_many_stay(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the epochs that went last: what grows with every start of every node has an end."""
    monkeypatch.setattr(forgetting, "NAMES", 2)
    retention = Retention(store, LIMITS, Wall())
    run(retention)
    names = "SELECT hex(uid) FROM past_epoch ORDER BY id"
    assert ask(store, names) == [(Chain(name=name).epoch.hex().upper(),) for name in ("b", "c")]
    assert store.load(WEB, LOGS, [Chain(name="a").epoch]) == {}
    assert store.load(WEB, LOGS, [Chain(name="b").epoch]) != {}


def test_the_histories_of_a_fork_stay(store: SqliteStore) -> None:
    """They find each other by their cursors."""
    fork = Chain()
    fork.epoch = fork.cursor.epoch = forked_id(Chain(name="a").epoch)
    work = fork.open(Chain(name="a").epoch, 1)
    work.cursor.ended = 1
    store.commit([work], NOON - 400 * DAY * SECOND)
    run(Retention(store, LIMITS, Wall()))
    assert ask(store, FOUR) == [(3,)]


def test_epochs_stay_while_two_are_unfinished(store: SqliteStore) -> None:
    """Their order shows in the chain between them."""
    store.commit([Chain(name="other").work(logs(1))], NOON)
    run(Retention(store, LIMITS, Wall()))
    assert ask(store, FOUR) == [(5,)]


def test_the_control_stream_has_limits_of_its_own() -> None:
    """By age and by size, in its own file."""
    with SqliteStore.memory() as store:
        chain, wall = Chain(stream=CONTROL), Wall()
        for day in (500, 300, 2, 1):
            arrived = NOON - day * DAY * SECOND
            store.commit([chain.work([(NOON, "answer", {"x": "y" * 1000})])], arrived)
        retention = Retention(store, NEVER._replace(control_age=400.0 * DAY), wall)
        run(retention)
        count = "SELECT count(*) FROM control"
        assert store.connection(STATE).execute(count).fetchone() == (3,)
        assert store.connection(STATE).execute("SELECT count(*) FROM batch").fetchone() == (3,)
        retention.limits = NEVER._replace(control_bytes=2500, budget_rows=1)
        run(retention, 100.0)
        assert store.connection(STATE).execute("SELECT min(id), count(*) FROM control").fetchone() == (3, 2)


def test_an_epoch_that_was_skipped_stays_known(store: SqliteStore) -> None:
    """Of it nothing else is there, and what was skipped may be asked for; its number must not become another's."""
    chain = Chain(name="skipped")
    work = chain.lose(8, "start", "skipped")
    chain.cursor.ended = 8
    store.commit([work], NOON - 400 * DAY * SECOND)
    run(Retention(store, LIMITS, Wall()))
    assert ask(store, FOUR) == [(2,)]
    assert set(store.heard(WEB, LOGS).skipped) == {chain.epoch}
