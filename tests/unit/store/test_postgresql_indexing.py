"""The search index on PostgreSQL: it finds what a scan finds, is built beside ingest, and a broken build goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard import failpoints
from tabard.consumers.store import walk
from tabard.consumers.store.postgresql import hits, indexing, partitions, read
from tabard.consumers.store.postgresql.indexer import PostgresIndexer
from tabard.consumers.store.postgresql.partitions import DAY
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.server import connect
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.results import LogQuery, LogRow
from tabard.consumers.store.words import has_word
from tabard.errors import StoreError
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, WEB, Chain, log
from tests.unit.store.searching import agree, some_query, some_records

KINDS = indexing.KINDS


class Shelf:
    """A store in a database of its own."""

    def __init__(self, postgres: Postgres) -> None:
        self.url = postgres.database()
        self.store = PostgresStore.open(self.url)
        self.chain = Chain(WEB)

    def put(self, *records: Any, day: int = 0) -> None:
        """In one commit that arrives on that day."""
        self.store.commit([self.chain.work(records)], NOON + day * DAY)

    @contextlib.contextmanager
    def connection(self, user: str = "") -> Iterator[Any]:
        """As the indexer has one."""
        url = self.url.replace("tabard@", f"{user}@") if user else self.url
        connection = connect(url, "", indexing.SCHEMA, "test")
        try:
            yield connection
        finally:
            connection.close()

    def make(self, kind: str) -> None:
        """Build and remove what that setting asks for."""
        with self.connection() as connection:
            assert indexing.make(connection, kind)

    def found(self, query: LogQuery) -> tuple[list[str], str]:
        """The messages that a search finds, and how it went."""
        with PostgresReader(self.url) as reader:
            page = reader.logs(query)
            return [row.message for row in page.rows if isinstance(row, LogRow)], page.index

    def ask(self, text: str) -> list[Any]:
        """Rows of an answer."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []

    @property
    def days(self) -> list[partitions.Partition]:
        """Those of the log."""
        with self.connection() as connection:
            return partitions.existing(connection, "log")

    def close(self) -> None:
        """Close it."""
        self.store.close()


@pytest.fixture
def shelf(postgres: Postgres) -> Iterator[Shelf]:
    """An empty store."""
    shelf = Shelf(postgres)
    yield shelf
    failpoints.arm("")
    shelf.close()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_search_by_an_index_finds_what_a_scan_finds(postgres: Postgres, data: st.DataObject) -> None:
    """Same rows, same order: of any texts and words, with an index of some or all days, and in any steps."""
    kind = data.draw(st.sampled_from(KINDS), label="kind")
    shelf = Shelf(postgres)
    patch = pytest.MonkeyPatch()
    try:
        for name, value in (("FIRST_WINDOW", 3), ("LAST_WINDOW", 5)):
            patch.setattr(walk, name, value)
        for name in ("NEXT_TO_NOTHING", "AHEAD", "FEW"):
            patch.setattr(walk, name, data.draw(st.sampled_from([0, 4, 100]), label=name))
        patch.setattr(hits, "HOPELESS", 10**9)
        said: list[str] = []
        for day in data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=6), label="days"):
            records = some_records(data, said, "records")
            if records:
                shelf.put(*records, day=day)
        failpoints.arm(f"store.index_built=error@{data.draw(st.integers(1, 5), label='broken off')}")
        with contextlib.suppress(OSError):
            shelf.make(kind)
        failpoints.arm("")
        for _ in range(4):
            query = some_query(data, said)
            with PostgresReader(shelf.url) as reader:
                agree(reader, query, hits)
    finally:
        failpoints.arm("")
        patch.undo()
        shelf.close()


@pytest.mark.parametrize("kind", KINDS)
def test_days_that_are_made_later_are_in_it(shelf: Shelf, kind: str) -> None:
    """By themselves; a day that was there gets its index while others are stored."""
    shelf.put(log("an order timed out"), day=0)
    assert shelf.found(LogQuery(words=("order",)))[1] == "scan"
    shelf.make(kind)
    shelf.put(log("another order"), log("disorder"), day=1)
    assert sorted(shelf.found(LogQuery(words=("order",)))[0]) == ["an order timed out", "another order"]
    assert shelf.found(LogQuery(words=("order", "timed"))) == (["an order timed out"], "index")
    assert shelf.found(LogQuery(text="isorder")) == (["disorder"], "index" if kind == "trigram" else "scan")


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_uses_it(shelf: Shelf, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for candidates is in the very form that is indexed: a plan that scans the index, not the table."""
    shelf.put(*(log(f"record {number} of {number % 7}") for number in range(300)))
    shelf.make(kind)
    plans = []
    run = read.PostgresReading.execute

    def spy(self: Any, text: str, values: Any = ()) -> Any:
        if "AS log JOIN node" in text:
            plans.append(run(self, text.replace("; SELECT", "; EXPLAIN SELECT"), values).fetchall())
        return run(self, text, values)

    monkeypatch.setattr(read.PostgresReading, "execute", spy)
    assert len(shelf.found(LogQuery(words=("123",)))[0]) == 1
    assert "Bitmap Index Scan" in str(plans)


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_is_not_asked_for_what_is_found_soon(
    shelf: Shelf, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a word that most have the server makes one estimate, for all questions of a search."""
    shelf.put(*(log(f"a frequent word and number {number}") for number in range(600)))
    shelf.make(kind)
    shelf.ask("ANALYZE tabard_records.log")
    asked: list[str] = []
    run = read.PostgresReading.execute

    def spy(self: Any, text: str, values: Any = ()) -> Any:
        asked.append(text)
        return run(self, text, values)

    monkeypatch.setattr(read.PostgresReading, "execute", spy)
    query = LogQuery(words=("frequent",))
    with PostgresReader(shelf.url) as reader:
        page = reader.logs(query)
        assert [row.message for row in page.rows if isinstance(row, LogRow)] == [
            f"a frequent word and number {number}" for number in range(599, 499, -1)
        ]
        assert not [text for text in asked if "enable_seqscan" in text]
        assert reader.count(query).records == 600
    assert len([text for text in asked if text.startswith("EXPLAIN")]) == 1


def test_a_connection_keeps_so_many_plans_and_no_more(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked after these is asked all the same."""
    monkeypatch.setattr(read, "PREPARED", 2)
    connections = read.Connections(shelf.url)
    try:
        for _ in range(2):
            with connections.use() as reading:
                for number in range(4):
                    assert reading.again(f"SELECT {number} + ?::bigint", (-1,)).fetchone() == (number - 1,)
                kept = reading.execute(
                    "SELECT count(*) FROM pg_prepared_statements WHERE name <> 'tabard_days'"
                ).fetchone()
                assert kept == (2,)
    finally:
        connections.close()


def test_a_build_that_was_broken_off_goes_on(shelf: Shelf) -> None:
    """What it had left unfinished is dropped or taken as it is."""
    for day in range(3):
        shelf.put(log(f"day {day}"), day=day)
    failpoints.arm("store.index_built=error@2")
    with pytest.raises(OSError, match="fail-point"):
        shelf.make("words")
    failpoints.arm("")
    assert shelf.found(LogQuery(words=("day",)))[1] == "partly"
    days = [day.name for day in shelf.days]
    shelf.ask(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{days[1]}_words'::regclass")
    shelf.make("words")
    assert shelf.found(LogQuery(words=("day",)))[1] == "index"
    assert len(shelf.found(LogQuery(words=("day",)))[0]) == 3


def test_another_setting_makes_another_index(shelf: Shelf) -> None:
    """And none removes it, from every day."""
    shelf.put(log("one"), day=0)
    for kind in ("words", "trigram", "none"):
        shelf.make(kind)
        shelf.put(log("one more"), day=len(shelf.days))
        names = [
            name for (name,) in shelf.ask("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%USING gin%'")
        ]
        assert len(names) == (0 if kind == "none" else len(shelf.days) + 1)
        assert all(("trgm" in name) == (kind == "trigram") for name in names)
        assert len(shelf.found(LogQuery(words=("one",)))[0]) == len(shelf.days)


def test_without_the_right_to_install_pg_trgm(shelf: Shelf, postgres: Postgres) -> None:
    """The error has the sentence for the administrator, and the recorder's status has it too."""
    postgres.execute("DROP ROLE IF EXISTS limited")
    postgres.execute("CREATE ROLE limited LOGIN")
    shelf.ask("GRANT ALL ON SCHEMA tabard_records TO limited")
    shelf.ask("GRANT ALL ON ALL TABLES IN SCHEMA tabard_records TO limited")
    with shelf.connection("limited") as connection, pytest.raises(StoreError) as error:
        indexing.make(connection, "trigram")
    assert "Ask the administrator for CREATE EXTENSION pg_trgm;" in str(error.value)
    indexer = PostgresIndexer(shelf.url.replace("tabard@", "limited@"), "", "trigram")
    indexer.step(0.0)
    indexer.settle()
    assert "pg_trgm" in (indexer.fault or "")
    indexer.close()


def test_the_recorder_builds_it_beside_its_commits(shelf: Shelf) -> None:
    """By a thread that waits for a lock in short turns, and that ends with the recorder."""
    shelf.put(log("one"), day=0)
    blocker = psycopg2.connect(shelf.url)
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE tabard_records.log IN ROW EXCLUSIVE MODE")
    indexer = PostgresIndexer(shelf.url, "", "words")
    indexer.step(0.0)
    shelf.put(log("two"), day=0)
    blocker.close()
    indexer.settle()
    assert indexer.fault is None
    assert shelf.found(LogQuery(words=("two",))) == (["two"], "index")
    indexer.close()
    assert not any(thread.name == "search index" for thread in threading.enumerate())


def test_a_recorder_that_ends_does_not_wait_for_the_server(shelf: Shelf) -> None:
    """What its thread waits for is cancelled."""
    shelf.put(log("one"), day=0)
    blocker = psycopg2.connect(shelf.url)
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE tabard_records.log IN ACCESS SHARE MODE")
        cursor.execute("SELECT txid_current()")
    indexer = PostgresIndexer(shelf.url, "", "words")
    indexer.step(0.0)
    indexer.close()
    blocker.close()
    assert not any(thread.name == "search index" for thread in threading.enumerate())


def test_a_huge_text_is_stored_and_found(shelf: Shelf) -> None:
    """Beyond what a tsvector takes, and with words beyond what it knows."""
    shelf.make("words")
    huge = " ".join(f"w{number}" for number in range(40_000))
    shelf.put(log(huge), log("x" * 5_000 + " short"), log("ä" + huge[:90_000]))
    assert shelf.found(LogQuery(words=("w39999",))) == ([huge], "index")
    assert shelf.found(LogQuery(words=("short",))) == (["x" * 5_000 + " short"], "index")
    assert shelf.found(LogQuery(words=("x" * 5_000,)))[0] == ["x" * 5_000 + " short"]


def test_the_server_knows_the_same_words(shelf: Shelf) -> None:
    """As SQLite does, whatever its locale: those of ASCII, in texts of any letters."""
    texts = [
        "order-17 timed out", "order 170", "10.0.0.1:80", "110.0.0.1", "10 0 0 1", "\u201ctimeout\u201d", "a\u00e4b a", "a\u00e4b",
        "user_id", "ID", "x\u2026id", "50% off", "50 off", "a\\b", "tab\there", "new\nline", "", "K \u212a", "caf\u00e9 cafe\u0301",
    ]  # fmt: skip
    shelf.put(*(log(text) for text in texts))
    for word in (
        "17",
        "order",
        "10.0.0.1",
        "Timeout",
        "a",
        "id",
        "50%",
        "50",
        "a\\b",
        "here",
        "line",
        "k",
        "cafe",
        "1",
    ):
        expected = sorted(text for text in texts if has_word(text, word))
        assert sorted(shelf.found(LogQuery(words=(word,)))[0]) == expected, word
