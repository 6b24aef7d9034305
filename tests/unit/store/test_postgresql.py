"""The store on PostgreSQL when server, connection or clock fail: nothing is lost, nothing doubled, all of it said."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from tabard import failpoints
from tabard.brokers.delivery.leases import NOBODY, RECORDER, Identity, Lease
from tabard.brokers.delivery.ports import CursorConflict, EpochWork, LeaseLost, StoreUnavailable
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.brokers.wire.topics import shard_of
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.postgresql import packing, partitions, server, writer
from tabard.consumers.store.postgresql.partitions import DAY, Partition
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.consumers.store.results import LogQuery
from tabard.errors import NewerStore, StoreError
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, WEB, Chain, again, log, logs
from tests.contract.retention import NEVER, Wall, run


class Place:
    """An empty store, and who looks into it past the product."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.url = postgres.database()
        self.store = PostgresStore.open(self.url)

    def ask(self, text: str) -> list[tuple[object, ...]]:
        """Rows of an answer."""
        connection = psycopg2.connect(self.url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def seqs(self) -> list[object]:
        """Sequence numbers of the log."""
        return [row[0] for row in self.ask("SELECT seq FROM tabard_records.log ORDER BY id")]

    def end_recorders(self) -> None:
        """As the server does when it is stopped: end every session that writes."""
        self.ask(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name LIKE 'tabard recorder%' AND datname = current_database()"
        )


@pytest.fixture
def place(postgres: Postgres) -> Iterator[Place]:
    """In a database of its own."""
    made = Place(postgres)
    yield made
    made.store.close()


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    """Arms fail-points for one test."""
    yield failpoints.arm
    failpoints.arm("")


def settle(store: PostgresStore, work: EpochWork, arrived: int = NOON) -> None:
    """What a sink does after a failure: read the cursor, and commit what is not there."""
    found = store.load(work.key, work.stream, [work.cursor.epoch]).get(work.cursor.epoch)
    if found is not None and found.ranges == work.cursor.ranges:
        work.cursor.version = found.version
    else:
        store.commit([work], arrived)


# --- the server goes away ------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["store.before_cursor", "store.before_rows", "store.before_commit"])
def test_a_connection_that_is_cut_within_a_commit_writes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The store says so, and the same work is stored by the next try."""
    chain = Chain()
    place.store.commit([chain.work(logs(2))], NOON)
    work = chain.work(logs(3, start=2))
    hit = failpoints.hit

    def cut(name: str) -> None:
        if name == moment:
            place.end_recorders()
        hit(name)

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hit", cut)
        with pytest.raises(StoreUnavailable):
            place.store.commit([work], NOON)
    assert place.store.fault is not None
    settle(place.store, work)
    assert place.seqs() == [1, 2, 3, 4, 5]
    assert place.store.fault is None


def test_a_commit_whose_answer_was_lost_is_found_by_its_cursor(
    place: Place, armed: Callable[[str], None]
) -> None:
    """It is in the store, and it is not stored again."""
    chain = Chain()
    work = chain.work(logs(3))
    armed("store.after_commit=error")
    with pytest.raises(StoreUnavailable):
        place.store.commit([work], NOON)
    armed("")
    settle(place.store, work)
    assert place.seqs() == [1, 2, 3]


def test_a_server_that_is_killed_and_started_again_loses_nothing(server: Postgres) -> None:
    """What was committed is there; what was not is stored by the next try, once the server answers again."""
    place = Place(server)
    chain = Chain()
    place.store.commit([chain.work(logs(3))], NOON)
    server.kill()
    work = chain.work(logs(2, start=3))
    with pytest.raises(StoreUnavailable, match="server"):
        place.store.commit([again(work)], NOON)
    with PostgresReader(place.url) as reader, pytest.raises(StoreError, match="cannot be reached"):
        reader.logs(LogQuery())
    server.start()
    settle(place.store, work)
    assert place.seqs() == [1, 2, 3, 4, 5]
    place.store.close()


def test_a_reader_outlives_a_server_that_is_started_again(server: Postgres) -> None:
    """A connection that it had kept is replaced without a word."""
    place = Place(server)
    place.store.commit([Chain().work(logs(2))], NOON)
    with PostgresReader(place.url) as reader:
        assert len(reader.logs(LogQuery()).rows) == 2
        server.stop()
        server.start()
        assert len(reader.logs(LogQuery()).rows) == 2
    place.store.close()


def test_a_recorder_that_is_frozen_within_its_transaction_holds_nobody_up(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction; another recorder stores the work, and the first one finds that it is done."""
    monkeypatch.setattr(server, "IDLE_SECONDS", 1)
    place = Place(postgres)
    chain = Chain()
    place.store.commit([chain.work(logs(1))], NOON)
    work = chain.work(logs(3, start=1))
    twin = again(work)
    hit = failpoints.hit

    def freeze(name: str) -> None:
        if name == "store.before_commit":
            monkeypatch.setattr(failpoints, "hit", hit)
            with PostgresStore.open(place.url) as other:
                other.commit([twin], NOON)  # waits for the cursor until the server has ended the first one

    monkeypatch.setattr(failpoints, "hit", freeze)
    with pytest.raises(StoreUnavailable):
        place.store.commit([work], NOON)
    with pytest.raises(CursorConflict):
        place.store.commit([work], NOON)
    assert place.seqs() == [1, 2, 3, 4]
    place.store.close()


def test_a_recorder_that_is_frozen_within_a_copy_loses_its_shards(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the server it is at work, and is never idle: whoever takes its shards ends it, once it stood still for long."""
    monkeypatch.setattr(writer, "IDLE_SECONDS", 1)
    place = Place(postgres)
    one, two = Identity("one", "life 1", "host1"), Identity("two", "life 2", "host2")
    chain = Chain()
    part = shard_of(chain.key.node)
    with PostgresStore.open(place.url) as other:
        leases, others = place.store.leases(RECORDER), other.leases(RECORDER)
        (claim,) = leases.take(one, [Lease(part, NOBODY, 0)])
        work = chain.work(logs(3))
        work.claim = claim
        source = packing.source

        class Frozen(io.BytesIO):
            """What is copied, of which nothing comes until the other one has the shard."""

            def read(self, size: int | None = -1, /) -> bytes:
                monkeypatch.setattr(writer, "source", source)
                taken = others.take(two, [Lease(part, one.owner, claim.fence)])
                assert taken == []
                while not taken:
                    taken = others.take(two, [others.look(two, 6.0, joining=True).leases[part]])
                return super().read(size)

        monkeypatch.setattr(writer, "source", lambda parts: Frozen(source(parts).read()))
        with pytest.raises(StoreUnavailable):
            place.store.commit([work], NOON)
        assert place.seqs() == []
        with pytest.raises(LeaseLost):
            place.store.commit([work], NOON)
    assert place.seqs() == []
    place.store.close()


# --- opening -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "refused"),
        ("postgresql://tabard@/none?host=/nowhere", "No such file"),
        ("postgresql://tabard@no.such.host.invalid/none", "no.such.host"),
    ],
)
def test_a_server_that_is_not_there_is_one_sentence(url: str, said: str) -> None:
    """With what the driver says, and the setting to look at."""
    with pytest.raises(StoreError, match=said) as caught:
        PostgresStore.open(url)
    assert "store.url" in str(caught.value)


def test_a_database_without_the_right_to_make_schemas_is_refused(place: Place) -> None:
    """And the sentence says which right is missing."""
    place.ask("CREATE ROLE guest LOGIN")
    try:
        with pytest.raises(StoreError, match="GRANT CREATE ON DATABASE"):
            PostgresStore.open(place.postgres.database().replace("tabard@", "guest@"))
    finally:
        place.ask("DROP ROLE guest")


@pytest.mark.parametrize(
    ("version", "kind"), [("0000", StoreError), ("9999", NewerStore)], ids=["older", "newer"]
)
def test_another_schema_version_is_refused(place: Place, version: str, kind: type[StoreError]) -> None:
    """Nothing is upgraded by opening it."""
    place.ask(f"UPDATE tabard_records.alembic_version SET version_num = '{version}'")
    with pytest.raises(kind):
        PostgresStore.open(place.url)
    with PostgresReader(place.url) as reader, pytest.raises(kind):
        reader.logs(LogQuery())


def test_opening_twice_at_once_makes_one_store(postgres: Postgres) -> None:
    """The second one finds the tables, and both write."""
    url = postgres.database()
    with PostgresStore.open(url) as one, PostgresStore.open(url) as other:
        web, mail = Chain(), Chain(WEB, SAMPLES)
        one.commit([web.work(logs(1))], NOON)
        other.commit([mail.work([(NOON, "host", {})])], NOON)
        assert other.load(WEB, LOGS, [web.epoch])[web.epoch].version == 1


# --- days ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrived", [0, 1, NOON, DAY * 40_000, 2**63 - 1])
def test_rows_are_stored_whatever_the_recorders_clock_says(place: Place, arrived: int) -> None:
    """There is a partition for every day, made when it is needed."""
    place.store.commit([Chain().work([log(time=5)])], arrived)
    assert place.seqs() == [1]


def test_a_day_that_another_recorder_has_dropped_is_made_again(place: Place) -> None:
    """Rows that find no partition are not the rows' fault: nothing goes into quarantine."""
    first, second = Chain(name="a"), Chain(name="b")
    place.store.commit([first.work(logs(1))], NOON - 9 * DAY)
    with PostgresStore.open(place.url) as other:
        run(PostgresUpkeep(other, NEVER._replace(logs_age=86_400.0), Wall()), 0.0)
    assert place.seqs() == []
    work = second.work(logs(2))
    with pytest.raises(StoreUnavailable, match="partition"):
        place.store.commit([work], NOON - 9 * DAY)
    settle(place.store, work, NOON - 9 * DAY)
    assert place.seqs() == [1, 2]
    assert place.ask("SELECT count(*) FROM tabard_records.quarantine") == [(0,)]


def test_two_recorders_make_the_same_day(postgres: Postgres) -> None:
    """Whoever comes second finds it."""
    url = postgres.database()
    with PostgresStore.open(url) as one, PostgresStore.open(url) as other:
        one.commit([Chain(name="a").work(logs(1))], NOON)
        other.commit([Chain(name="b").work(logs(1))], NOON)
        with one.guarded(RECORDS) as writer:
            assert partitions.existing(writer.connection, "log") == [Partition("log", NOON // DAY)]


def test_a_reader_does_not_hold_up_a_new_day(place: Place) -> None:
    """An export that takes hours reads on while the next day's partition is made."""
    place.store.commit([Chain(name="a").work(logs(1))], NOON)
    reading = psycopg2.connect(place.url)
    try:
        with reading.cursor() as cursor:
            cursor.execute("SELECT * FROM tabard_records.log")
            place.store.commit([Chain(name="b").work(logs(1))], NOON + DAY)
    finally:
        reading.close()
    assert place.seqs() == [1, 1]


def test_a_day_that_is_read_waits_for_the_next_pass(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropping it would make new readers and commits wait behind the one that reads."""
    wall = Wall()
    place.store.commit([Chain(name="a").work(logs(1))], NOON - 9 * DAY)
    place.store.commit([Chain(name="b").work(logs(1))], NOON)
    upkeep = PostgresUpkeep(place.store, NEVER._replace(logs_age=86_400.0), wall)
    reading = psycopg2.connect(place.url)
    try:
        with reading.cursor() as cursor:
            cursor.execute("SELECT * FROM tabard_records.log")
            run(upkeep, 0.0)
            assert len(place.seqs()) == 2
            reading.rollback()
    finally:
        reading.close()
    run(upkeep, 100.0)
    assert len(place.seqs()) == 1


def test_days_are_made_before_they_begin(place: Place) -> None:
    """At midnight nothing has to be made first."""
    run(PostgresUpkeep(place.store, NEVER, Wall()), 0.0)
    with place.store.guarded(RECORDS) as writer:
        days = [each.day for each in partitions.existing(writer.connection, "log")]
    today = NOON // DAY
    assert days == [today, today + 1, today + 2]


def test_a_pass_does_not_chase_what_comes_meanwhile(place: Place) -> None:
    """It ends although records arrive with each of its steps; the next one has them."""
    chain = Chain()
    place.store.commit([chain.work(logs(2_000))], NOON)
    upkeep = PostgresUpkeep(place.store, NEVER._replace(logs_count=100), Wall())
    stored, steps = 2_000, 0
    while upkeep.step(0.0):
        place.store.commit([chain.work(logs(5, stored))], NOON)
        stored, steps = stored + 5, steps + 1
        assert steps < 500, "the pass goes on for as long as something comes"
    left = len(place.seqs())
    assert 100 < left < 100 + 5 * steps
    run(upkeep, 100.0)
    assert place.seqs() == list(range(stored - 99, stored + 1))
