"""A search on PostgreSQL opens no day in vain, and never misses a record for it, whatever is stored in days that are over."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabard import failpoints
from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.clock import SystemClock
from tabard.consumers.store import erasing, holding, pages, walk
from tabard.consumers.store.erasing import Wanted
from tabard.consumers.store.erasing_parts import opened
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.place import Place as StorePlace
from tabard.consumers.store.postgresql import backup, closed, closing, indexing, partitions, restore
from tabard.consumers.store.postgresql import schema as served
from tabard.consumers.store.postgresql.deleting import deleting
from tabard.consumers.store.postgresql.partitions import DAY, Partition
from tabard.consumers.store.postgresql.read import PostgresReader, PostgresReading
from tabard.consumers.store.postgresql.server import connect
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.consumers.store.postgresql.writer import PostgresWriter
from tabard.consumers.store.reading import LOG
from tabard.consumers.store.results import LogQuery, LogRow
from tabard.ops.bench.postgres import Postgres
from tabard.records import TIME_MAX
from tests import schemas
from tests.contract.chain import SECOND, WEB, Chain, log
from tests.contract.retention import NEVER, run

TODAY = partitions.day_of(time.time_ns())
HOUR = 3600 * SECOND


def noon(ago: int) -> int:
    """That of a day so many days ago."""
    return (TODAY - ago) * DAY + DAY // 2


def name(ago: int) -> str:
    """Of its partition."""
    return Partition("log", TODAY - ago).name


class Place:
    """An empty store, and who looks into it past the product."""

    def __init__(self, postgres: Postgres, url: str = "") -> None:
        self.url = url or postgres.database()
        self.store = PostgresStore.open(self.url)
        self.second = PostgresStore.open(self.url)
        """Another recorder's."""
        self.others: list[Any] = []
        self._own: Any = None
        self._chains = 0
        self._passes = 0

    def arrive(self, ago: int, *times: int | None, store: PostgresStore | None = None) -> None:
        """Records with these event times, so many days ago."""
        self._chains += 1
        work = Chain(name=f"{self._chains}").work([log(f"of {at}", time=at) for at in times])
        (store or self.store).commit([work], noon(ago))

    def arrive_at_last(self, ago: int, *times: int | None, store: PostgresStore) -> None:
        """The same; a recorder that does not know yet that a day was dropped is refused once, and tries again."""
        with contextlib.suppress(StoreUnavailable):
            self.arrive(ago, *times, store=store)
            return
        self.arrive(ago, *times, store=store)

    def close_days(self) -> None:
        """A pass of retention that deletes nothing."""
        self.retain()

    def retain(self, **limits: Any) -> None:
        """A pass of retention with these limits."""
        self._passes += 1
        run(PostgresUpkeep(self.store, NEVER._replace(**limits), SystemClock()), 1000.0 * self._passes)

    def connect(self) -> Any:
        """Another connection, within a transaction once it is asked."""
        made = psycopg2.connect(self.url, options="-c search_path=tabard_records")
        self.others.append(made)
        return made

    def ask(self, text: str) -> list[tuple[Any, ...]]:
        """Rows of an answer."""
        if self._own is None:
            self._own = self.connect()
            self._own.autocommit = True
        return asked(self._own, text)

    def closed(self) -> dict[str, tuple[int, int]]:
        """By partition."""
        return {row[0]: (row[1], row[2]) for row in self.ask("SELECT name, least, greatest FROM closed_day")}

    def found(self, since: int, until: int) -> list[int]:
        """Event times of the records that a search in a window finds."""
        with PostgresReader(self.url) as reader:
            rows = reader.logs(LogQuery(since=since, until=until, limit=1000)).rows
            return [row.time for row in rows if isinstance(row, LogRow)]

    def close(self) -> None:
        """All connections."""
        for other in self.others:
            other.close()
        self.store.close()
        self.second.close()


def asked(connection: Any, text: str) -> list[tuple[Any, ...]]:
    """Rows of an answer."""
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall() if cursor.description else []


def forget(place: Place, text: str) -> None:
    """Erase what has a text in it."""
    with opened(StorePlace("", place.url), RECORDS) as part:
        erasing.erase(part, Wanted(texts=(text,)), now=1, by="me", reason="asked")


def insert(ago: int, at: int) -> str:
    """A record by hand, into the log as a whole."""
    return (
        "INSERT INTO log (node_id, epoch_id, seq, arrived, time, severity, message)"
        f" VALUES (1, 99, (random() * 1e15)::bigint, {noon(ago)}, {at}, 9, 'by hand')"
    )


@pytest.fixture
def place(postgres: Postgres) -> Iterator[Place]:
    """In a database of its own."""
    made = Place(postgres)
    yield made
    made.close()


@pytest.fixture(scope="module")
def many(postgres: Postgres) -> Iterator[Place]:
    """For many examples, one after another."""
    made = Place(postgres)
    yield made
    made.close()


# --- closing -----------------------------------------------------------------------------------------


def test_days_that_are_over_are_closed(place: Place) -> None:
    """With the least and the greatest event time; the present day and those to come are not."""
    place.arrive(3, noon(3), 7, noon(3) + HOUR)
    place.arrive(2, noon(2))
    place.arrive(0, noon(0))
    place.close_days()
    assert place.closed() == {name(3): (7, noon(3) + HOUR), name(2): (noon(2), noon(2))}


def test_a_day_without_a_record_is_never_opened(place: Place) -> None:
    """Until one arrives in it after all."""
    with place.store.guarded(RECORDS) as writer:
        partitions.ensure(writer.connection, "log", TODAY - 2)
    place.close_days()
    least, greatest = place.closed()[name(2)]
    assert least > greatest
    place.arrive(2, noon(2))
    assert place.closed() == {}
    assert place.found(noon(3), noon(1)) == [noon(2)]


def test_a_day_that_is_dropped_takes_its_row_along(place: Place) -> None:
    """One that is made again after somebody dropped it by hand is open once something is stored there."""
    for ago in (9, 8):
        place.arrive(ago, noon(ago))
    place.close_days()
    assert set(place.closed()) == {name(9), name(8)}
    place.arrive(0, noon(0))
    place.retain(logs_age=8.0 * 86_400)
    assert set(place.closed()) == {name(8)}
    place.ask(f"DROP TABLE {name(8)}")
    place.store.forget_days(RECORDS)
    place.arrive(8, noon(5))
    assert place.closed() == {}
    assert place.found(noon(5), noon(5) + 1) == [noon(5)]


# --- reading -----------------------------------------------------------------------------------------


class Asked:
    """What readers ask the server while this is in place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        execute = PostgresReading.execute

        def noted(reading: PostgresReading, text: str, values: Sequence[Any] = ()) -> Any:
            answer: Any = execute(reading, text, values)
            self.texts.append(answer.query.decode())
            return answer

        monkeypatch.setattr(PostgresReading, "execute", noted)

    @property
    def of_records(self) -> list[str]:
        """Those that go through the log by time; without what is set for one of them."""
        return [
            text.rpartition("; ")[2] for text in self.texts if "log.time" in text and "EXPLAIN" not in text
        ]


@pytest.mark.parametrize("kind", ["none", "words", "trigram"])
def test_only_days_that_can_match_are_opened(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """By pages in both orders, counts, the histogram, facets and searches for text: what the server plans says so."""
    for ago in range(16, -1, -1):
        place.arrive(ago, noon(ago), noon(ago) + HOUR)
    place.arrive(1, noon(4) + 2 * HOUR)  # a day late
    place.close_days()
    with contextlib.closing(connect(place.url, "", "tabard_records", "test")) as connection:
        assert indexing.make(connection, kind)
    place.ask("ANALYZE")
    asked = Asked(monkeypatch)
    window = LogQuery(since=noon(4) - HOUR, until=noon(4) + 3 * HOUR)
    with PostgresReader(place.url) as reader:
        for query in (
            window,
            replace(window, order="old"),
            replace(window, text="of 1"),
            replace(window, words=("of",)),
        ):
            rows = reader.logs(query).rows
            assert sorted(row.time for row in rows) == [noon(4), noon(4) + HOUR, noon(4) + 2 * HOUR]
            assert reader.count(query).records == 3
            assert sum(sum(each.values()) for each in reader.histogram(query, HOUR).counts.values()) == 3
            assert reader.facets(query, "node").counts == [(WEB.node, 3)]
    assert len(asked.of_records) >= 16
    may = {name(4), name(1), name(0), name(-1), name(-2)}
    for text in asked.of_records:
        plan = str(place.ask(f"EXPLAIN (FORMAT JSON) {text}"))
        opened = {day for ago in range(-2, 17) if (day := name(ago)) in plan}
        assert opened <= may, text
        # The server reads the days as it reads partitions, by their indexes.
        assert "*SELECT*" not in plan, text


def test_it_costs_no_question_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which days can match comes with what begins the view."""
    for ago in range(9, -1, -1):
        place.arrive(ago, noon(ago), noon(ago) + HOUR)
    place.close_days()
    query = LogQuery(since=noon(4), until=noon(3), service=None, text="of")
    said = {}
    for how in ("all days", "some days"):
        with PostgresReader(place.url) as reader, monkeypatch.context() as patched:
            if how == "all days":
                patched.setattr(walk, "window", lambda _query: None)
            reader.logs(query)  # connects
            asked = Asked(patched)
            rows = everything(reader, query)
            said[how] = (len(asked.texts), rows)
            assert any(f"FROM tabard_records.{name(4)}" in text for text in asked.texts) == (
                how == "some days"
            )
    assert said["all days"] == said["some days"]


def test_where_nearly_all_days_can_match_the_whole_is_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of them would be planned more slowly."""
    for ago in range(9, -1, -1):
        place.arrive(ago, noon(ago))
    place.close_days()
    asked = Asked(monkeypatch)
    with PostgresReader(place.url) as reader:
        assert len(reader.logs(LogQuery(until=noon(1))).rows) == 8
    assert not any("UNION ALL SELECT * FROM tabard_records.log_" in text for text in asked.texts)


TIMES = st.one_of(
    st.builds(lambda ago, off: noon(ago) + off, st.integers(-1, 6), st.integers(-DAY, DAY)),
    st.sampled_from([1, 2, TIME_MAX - 1, TIME_MAX, noon(3)]),
    st.integers(1, TIME_MAX),
)
ENDS = st.none() | TIMES | st.sampled_from([-(2**63), -1, 0, TIME_MAX + 1, 2**63 - 1])
DEEDS = st.lists(
    st.one_of(
        st.tuples(
            st.just("arrive"),
            st.integers(0, 5),
            # What is no event time becomes that of arrival.
            st.lists(TIMES | st.sampled_from([None, 0, -5, TIME_MAX + 1]), min_size=1, max_size=4),
            st.integers(0, 1),
        ),
        st.tuples(st.just("close")),
        st.tuples(st.just("age"), st.integers(1, 6)),
        st.tuples(st.just("count"), st.integers(1, 5)),
        st.tuples(st.just("hold"), TIMES),
        st.tuples(st.just("forget")),
    ),
    max_size=12,
)
WINDOWS = st.lists(st.tuples(ENDS, ENDS, st.booleans()), min_size=1, max_size=5)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=DEEDS, windows=WINDOWS)
def test_the_same_is_found_as_without(
    many: Place, monkeypatch: pytest.MonkeyPatch, deeds: list[Any], windows: list[Any]
) -> None:
    """Two recorders store with whatever event times on whatever days, days are closed, dropped, thinned, held, erased."""
    place = many
    monkeypatch.setattr(closed, "WORTH", 1)
    place.ask("TRUNCATE log, closed_day, hold, tabard_state.hold, retention_mark")
    for number, (deed, *more) in enumerate((*deeds, ("close",))):
        if deed == "arrive":
            place.arrive_at_last(more[0], *more[1], store=(place.store, place.second)[more[2]])
        elif deed == "close":
            place.close_days()
        elif deed == "hold":
            holding.add(
                StorePlace("", place.url),
                Hold(f"h{number}", more[0], more[0] + DAY, None, None, None, None, "why", 1, "me"),
            )
        elif deed == "forget":
            forget(place, "of 1")
        else:
            place.retain(**{"logs_age": more[0] * 86_400.0} if deed == "age" else {"logs_count": more[0]})
    check(place, windows)


def check(place: Place, windows: list[Any]) -> None:
    """Every window has what the log has there, the same as without."""
    there = place.ask("SELECT time, message FROM log")
    with PostgresReader(place.url) as reader:
        for since, until, rising in windows:
            query = LogQuery(since=since, until=until, order="old" if rising else "new", limit=3)
            inside = [
                (at, text)
                for at, text in there
                if (since is None or at >= since) and (until is None or at < until)
            ]
            rows = reader.logs(replace(query, limit=1000)).rows
            assert sorted((row.time, row.message) for row in rows if isinstance(row, LogRow)) == sorted(
                inside
            )
            for asked in (query, replace(query, text="of 1")):
                with pytest.MonkeyPatch.context() as patched:
                    patched.setattr(walk, "window", lambda _query: None)
                    expected = everything(reader, asked)
                assert everything(reader, asked) == expected


def everything(reader: PostgresReader, query: LogQuery) -> tuple[Any, ...]:
    """What is said of a query: three pages of it, counts and gaps."""
    found, at = [], query
    for _ in range(3):
        page = reader.logs(at)
        found.append(page.rows)
        if not page.rows:
            break
        key = page.rows[-1].key
        at = replace(query, after=key) if query.order == "old" else replace(query, before=key)
    return found, reader.count(query), reader.histogram(query, HOUR), reader.facets(query, "node")


# --- closing and writing at once ---------------------------------------------------------------------


def close_one(store: PostgresStore, ago: int) -> bool:
    """Close one day. False: somebody works in it."""
    with deleting(store, RECORDS, 0.2) as work:
        assert work is not None
        return closing.close(work, Partition("log", TODAY - ago))


def test_a_day_in_which_somebody_writes_is_not_closed(place: Place) -> None:
    """The pass goes on with others, and the next one finds what was written."""
    place.arrive(3, noon(3))
    place.arrive(2, noon(2))
    writer = place.connect()
    asked(writer, insert(3, 5))
    place.close_days()
    assert set(place.closed()) == {name(2)}
    writer.commit()
    place.close_days()
    assert place.closed()[name(3)] == (5, noon(3))


def test_who_writes_while_a_day_is_being_closed_waits_and_opens_it_again(place: Place) -> None:
    """Also when the recorder has long known that the day is there."""
    place.arrive(2, noon(2))
    place.arrive(2, noon(2) + 1, store=place.second)
    with deleting(place.store, RECORDS, 0.2) as work:
        assert work is not None
        assert closing.close(work, Partition("log", TODAY - 2))
        late = threading.Thread(target=place.arrive, args=(2, 5), kwargs={"store": place.second})
        late.start()
        waited(place, 1)
    late.join()
    assert place.closed() == {}
    assert place.found(1, 10) == [5]


def waited(place: Place, count: int) -> None:
    """Return once so many sessions wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while place.ask(waiting) != [(count,)]:
        time.sleep(0.01)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_a_day_that_is_closed_between_the_beginning_and_the_first_row_is_opened_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    """Whatever the server is set to: a recorder sees what was committed meanwhile."""
    place.arrive(2, noon(2))
    (database,) = place.ask("SELECT current_database()")[0]
    place.ask(f"ALTER DATABASE {database} SET default_transaction_isolation TO '{isolation}'")
    insert_rows = PostgresWriter.insert

    def meanwhile(writer: PostgresWriter, stream: int, made: Any) -> None:
        assert close_one(place.store, 2)
        insert_rows(writer, stream, made)

    with PostgresStore.open(place.url) as other, monkeypatch.context() as patched:
        patched.setattr(PostgresWriter, "insert", meanwhile)
        place.arrive(2, 6, store=other)
    assert place.closed() == {}
    assert place.found(1, 10) == [6]


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_two_that_write_late_at_once_are_both_found(place: Place, ends: str) -> None:
    """The second one waits for the commit of the first, whatever becomes of that."""
    place.arrive(2, noon(2))
    place.close_days()
    first = place.connect()
    asked(first, insert(2, 5))
    asked(first, f"DELETE FROM closed_day WHERE name = '{name(2)}'")
    late = threading.Thread(target=place.arrive, args=(2, 8))
    late.start()
    waited(place, 1)
    getattr(first, ends)()
    late.join()
    assert place.closed() == {}
    assert place.found(1, 10) == ([5, 8] if ends == "commit" else [8])[::-1]


def test_what_is_rolled_back_opens_nothing(place: Place) -> None:
    """A commit that fails behind its rows leaves the day closed, and right."""
    place.arrive(2, noon(2))
    place.close_days()
    failpoints.arm("store.before_commit=error")
    try:
        with pytest.raises(StoreUnavailable):
            place.arrive(2, 5)
    finally:
        failpoints.arm("")
    assert place.closed() == {name(2): (noon(2), noon(2))}
    assert place.found(1, 10) == []


def test_a_refused_row_of_a_late_commit_leaves_none_of_the_others_behind(place: Place) -> None:
    """One batch of two goes into quarantine, the other one is found."""
    place.arrive(2, noon(2))
    place.close_days()
    chain = Chain(name="late")
    work = chain.work([log("of 5", time=5)], [log("of 6", time=6)])
    work.entries[1].poison = "not what it should be"
    place.store.commit([work], noon(2))
    assert place.closed() == {}
    assert place.found(1, 10) == [5]


# --- reading while a day goes ------------------------------------------------------------------------


def test_a_day_that_is_dropped_while_it_is_searched_is_no_fault(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search is made once more, over all that is there."""
    for ago in range(16, 1, -1):
        place.arrive(ago, noon(ago))
    place.close_days()
    page = pages.page

    def dropping(connection: Any, query: LogQuery, budget: float) -> Any:
        if name(16) in {row[0] for row in place.ask("SELECT relname FROM pg_class")}:
            place.ask(f"DROP TABLE {name(16)}")
        return page(connection, query, budget)

    asked = Asked(monkeypatch)
    with PostgresReader(place.url) as reader:
        assert [row.time for row in reader.logs(LogQuery(until=noon(15))).rows] == [noon(16)]
        assert f"FROM tabard_records.{name(16)}" in asked.of_records[0]
        monkeypatch.setattr(pages, "page", dropping)
        assert reader.logs(LogQuery(until=noon(15))).rows == []
        assert [row.time for row in reader.logs(LogQuery(until=noon(14))).rows] == [noon(15)]


def test_a_record_of_a_day_that_begins_meanwhile_is_not_half_seen(place: Place) -> None:
    """Rows and what is said of days belong to one view, also where a late record opens a day."""
    for ago in range(16, 1, -1):
        place.arrive(ago, noon(ago))
    place.close_days()
    reading = PostgresReading(place.connect(), narrows=True)
    reading.execute(f"{closed.PREPARE}; COMMIT")
    reading.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", LogQuery(until=noon(15)))
    place.arrive(3, 5)
    place.arrive(-2, 6)
    log_of = reading.log(1, noon(15) - 1)
    assert name(16) in log_of
    assert name(3) not in log_of
    assert [row[0] for row in reading.execute(f"SELECT time FROM {log_of}").fetchall()] == [noon(16)]
    assert reading.execute("SELECT count(*) FROM log").fetchone() == (15,)
    assert reading.log(1, noon(15)) == LOG  # not what it was taken for
    assert place.found(1, noon(15)) == [noon(16), 6, 5]


def test_who_may_read_the_whole_only_reads_the_whole(place: Place) -> None:
    """Rights that were given by hand need not reach the days, nor the table of those that are closed."""
    for ago in range(16, 1, -1):
        place.arrive(ago, noon(ago))
    place.close_days()
    role = f"looker_{place.ask('SELECT current_database()')[0][0]}"
    place.ask(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA tabard_records, tabard_state TO {role}")
    tables = ("log", "node", "epoch", "gap", "quarantine", "withheld", "policy", "alembic_version")
    for table in tables:
        place.ask(f"GRANT SELECT ON tabard_records.{table} TO {role}")
    place.ask(f"GRANT SELECT ON tabard_state.alembic_version TO {role}")
    url = place.url.replace("tabard@", f"{role}@")
    query = LogQuery(until=noon(15))
    for more in (
        "",
        f"GRANT SELECT ON closed_day TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA tabard_records TO {role}",
    ):
        if more:
            place.ask(more)
        with PostgresReader(url) as reader, pytest.MonkeyPatch.context() as patched:
            asked_for = Asked(patched)
            assert [row.time for row in reader.logs(query).rows] == [noon(16)]
        assert any(f"FROM tabard_records.{name(16)}" in text for text in asked_for.texts) == (
            "ALL TABLES" in more
        )


# --- stores from elsewhere ---------------------------------------------------------------------------


def test_a_restored_store_is_closed_as_it_was(place: Place, tmp_path: Path) -> None:
    """A dump has rows and days of one moment; what came late since is gone with what it opened."""
    for ago in range(16, 1, -1):
        place.arrive(ago, noon(ago))
    place.close_days()
    before = place.closed()
    manifest = backup.backup(place.url, "", tmp_path / "backup", "main")
    place.arrive(5, 5)
    place.arrive(4, 6, store=place.second)
    assert set(before) - set(place.closed()) == {name(5), name(4)}
    for store in (place.store, place.second):
        store.close()
    query = LogQuery(until=noon(15))
    with PostgresReader(place.url) as reader:
        assert [row.time for row in reader.logs(query).rows] == [noon(16), 6, 5]
        restore.restore(place.url, "", tmp_path / "backup", manifest)
        assert [row.time for row in reader.logs(query).rows] == [noon(16)]
    assert place.closed() == before
    assert place.found(1, 10) == []
    assert place.found(noon(6), noon(3)) == [noon(4), noon(5), noon(6)]


OLDER = schemas.versions()[:-1]


@pytest.mark.parametrize("version", OLDER)
def test_a_store_of_every_older_version_is_closed_after_its_upgrade(postgres: Postgres, version: str) -> None:
    """And every record of it is found by its time."""
    url = postgres.database()
    schemas.make_postgresql(url, version)
    served.upgrade(url)
    with contextlib.closing(Place(postgres, url)) as place:
        rows = place.ask("SELECT time FROM log ORDER BY time")
        assert len(rows) == schemas.ROWS
        place.close_days()
        days = {day for (day,) in place.ask("SELECT tableoid::regclass::text FROM log")}
        assert days <= set(place.closed())
        for (at,) in rows:
            assert at in place.found(at, at + 1)
        place.arrive(2, 5)
        assert place.found(1, 10) == [5]
