"""The search index on SQLite: it finds what a scan finds, whatever became of it, and it agrees with the log or goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard import failpoints
from tabard.brokers.wire.streams import LOGS
from tabard.clock import SystemClock
from tabard.consumers.store import indexer, indexing, schema, sqlite_hits, walk
from tabard.consumers.store.indexer import Indexer
from tabard.consumers.store.layout import FILES, RECORDS
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.overrun import Overrun
from tabard.consumers.store.read import LogQuery, Reader
from tabard.consumers.store.results import LogRow
from tabard.consumers.store.sqlite import SqliteStore
from tabard.consumers.store.sweeping import Sweeper
from tabard.errors import StoreError
from tests.contract.chain import NOON, Chain, log
from tests.contract.chain import WEB as NODE
from tests.contract.reading_logs import walk as all_pages
from tests.unit.store.searching import agree, some_query, some_records

KINDS = indexing.KINDS
FOREVER = RetentionLimits(1e9, 2**50, 1e9, 2**50, 1.0, 10)


class Shelf:
    """A store below a directory that gets an index at some time of its life."""

    def __init__(self, path: Path, kind: str = "none") -> None:
        self.path = path
        if not path.exists():  # a copy is faster than a new one
            path.mkdir(parents=True)
            for part in FILES:
                part.path(path).write_bytes(schema.template(part))
        self.chain = Chain(NODE)
        self.times = count(1)
        self.open(kind)

    def open(self, kind: str) -> None:
        """As a recorder does that has this setting."""
        self.store = SqliteStore.open(self.path, "normal")
        self.store.index_by(kind)
        self.indexer = Indexer(self.store, kind)
        self.now = count(0, 10_000)

    def close(self) -> None:
        """Close it."""
        self.store.close()

    def put(self, *records: Any) -> None:
        """In one commit."""
        self.store.commit([self.chain.work(records)], NOON)

    def say(self, *messages: str) -> None:
        """Store records with these messages, each later than the one before."""
        self.put(*(log(message, time=next(self.times)) for message in messages))

    def build(self) -> None:
        """Until all is as the setting says."""
        for now in self.now:
            if not self.indexer.step(now):
                return

    @property
    def note(self) -> indexing.Note:
        """What the file says of its index."""
        (note,) = indexing.notes(self.store.connection(RECORDS))
        return note

    def found(self, query: LogQuery) -> tuple[list[str], str]:
        """The messages that a search finds, and how it went."""
        with Reader(self.path) as reader:
            page = reader.logs(query)
            assert not page.partial
            return [row.message for row in page.rows if isinstance(row, LogRow)], page.index


def in_steps_of(rows: int, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast this machine is."""
    monkeypatch.setattr(indexer, "FEWEST", rows)
    monkeypatch.setattr(indexer, "MOST", rows)
    shelf.indexer._rows = rows


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path / "store")
    yield shelf
    shelf.close()


# --- the same as a scan ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_search_by_an_index_finds_what_a_scan_finds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Same rows, same order: of any texts and words, with an index of some or all of the rows, and in any steps."""
    kind = data.draw(st.sampled_from(KINDS), label="kind")
    shelf = Shelf(tmp_path_factory.mktemp("shelf") / "store")
    patch = pytest.MonkeyPatch()
    try:
        for name, value in (("FIRST_WINDOW", 3), ("LAST_WINDOW", 5), ("NARROWED_WINDOW", 7)):
            patch.setattr(walk, name, value)
        for name in ("NEXT_TO_NOTHING", "AHEAD", "FEW"):
            patch.setattr(walk, name, data.draw(st.sampled_from([0, 4, 100]), label=name))
        said: list[str] = []

        def say(label: str) -> None:
            records = some_records(data, said, label)
            if records:
                shelf.put(*records)

        say("before the index")
        shelf.close()
        shelf.open(kind)
        shelf.indexer._rows = 2
        steps = data.draw(st.integers(0, 6), label="steps")
        for now in list(range(steps)):
            shelf.indexer.step(now)
        say("while it is built")
        if data.draw(st.booleans(), label="finished"):
            shelf.build()
        say("later")
        for _ in range(3):
            query = some_query(data, said)
            with Reader(shelf.path) as reader:
                agree(reader, query, sqlite_hits)
    finally:
        patch.undo()
        shelf.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_serves_what_it_holds(shelf: Shelf, kind: str) -> None:
    """Words by either, texts of three characters and more by that of characters; anything else is scanned."""
    shelf.say("the order timed out", "order placed", "disorder")
    assert shelf.found(LogQuery(words=("order",))) == (["order placed", "the order timed out"], "scan")
    shelf.close()
    shelf.open(kind)
    shelf.build()
    shelf.say("another order")
    assert shelf.found(LogQuery(words=("order", "timed"))) == (["the order timed out"], "index")
    how = "index" if kind == "trigram" else "scan"
    assert shelf.found(LogQuery(text="ISORD")) == (["disorder"], how)
    assert shelf.found(LogQuery(text="an"))[1] == "scan"
    assert shelf.found(LogQuery())[1] == ""


# --- building -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_build_goes_on(shelf: Shelf, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was: a step that was not committed is done again, none twice, and searches are right in between."""
    shelf.say(*(f"record {number}" for number in range(50)))
    shelf.close()
    ways = set()
    for step in count():
        shelf.open(kind)
        in_steps_of(7, shelf, monkeypatch)
        failpoints.arm("store.index_step=error")
        shelf.indexer.step(0)
        failpoints.arm("")
        more = shelf.indexer.step(20_000)
        shelf.say(f"said meanwhile {step}")
        found, how = shelf.found(LogQuery(words=("record",), limit=100))
        assert len(found) == 50
        ways.add(how)
        if not more:
            break
        shelf.close()
    assert step > 5
    assert ways == {"partly", "index"}
    assert indexing.agrees(shelf.store.connection(RECORDS), shelf.note)


def test_rows_stored_without_the_index_are_caught_up_with(shelf: Shelf) -> None:
    """By another version, say: they are scanned until then."""
    shelf.close()
    shelf.open("words")
    shelf.say("one")
    shelf.build()
    shelf.store.index_by("none")
    shelf.say("one more", "two")
    assert shelf.found(LogQuery(words=("one",))) == (["one more", "one"], "partly")
    shelf.store.index_by("words")
    shelf.say("one after")
    assert shelf.note.high == 1
    assert shelf.found(LogQuery(words=("one",))) == (["one after", "one more", "one"], "partly")
    shelf.build()
    assert shelf.found(LogQuery(words=("one",))) == (["one after", "one more", "one"], "index")


def test_another_setting_makes_another_index(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, the old one first; with none there is nothing left of it."""
    shelf.close()
    for kind in ("words", "trigram", "none"):
        shelf.open(kind)
        shelf.say(*(f"{kind} {number}" for number in range(30)))
        in_steps_of(10, shelf, monkeypatch)
        shelf.build()
        tables = shelf.store.connection(RECORDS).execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'log_%'"
        )
        names = {name for (name,) in tables} - {"log_by_time", "log_by_node", "log_index"}
        assert {name for name in names if not name.startswith(f"log_{kind}")} == set()
        assert bool(names) == (kind != "none")
        shelf.close()
    shelf.open("none")


# --- agreeing with the log ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_retention_deletes_leaves_the_index_too(shelf: Shelf, kind: str) -> None:
    """In the same transaction: the index names no row that is not there."""
    shelf.close()
    shelf.open(kind)
    shelf.build()
    shelf.say(*(f"ordinary ä {number}" for number in range(40)))
    Sweeper(shelf.store, FOREVER._replace(logs_bytes=0), SystemClock(), Overrun()).delete(LOGS, 15)
    connection = shelf.store.connection(RECORDS)
    (first,) = connection.execute("SELECT min(id) FROM log").fetchone()
    assert first == 16
    table = shelf.note.table
    match = "ordinary" if kind == "words" else '"ord"'
    hits = [
        row[0] for row in connection.execute(f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (match,))
    ]
    assert hits == list(range(16, 41))
    assert len(shelf.found(LogQuery(words=("ordinary",)))[0]) == 25


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stays_of_what_was_forgotten_and_scrubbed(shelf: Shelf, kind: str) -> None:
    """Not even where FTS5 had it before: a person's name is not to be read from the index."""
    shelf.close()
    shelf.open(kind)
    shelf.build()
    for number in range(30):
        shelf.say(*(f"ordinary {number} {each}" for each in range(40)), f"said of zanzibar {number}")
    connection = shelf.store.connection(RECORDS)
    part = "zanzibar" if kind == "words" else "zan"

    def there() -> int:
        found = connection.execute(f"SELECT block FROM {shelf.note.table}_data").fetchall()
        return sum(part.encode() in bytes(block) for (block,) in found)

    match = ("message LIKE ?", ("%zanzibar%",))
    assert there()
    connection.execute("BEGIN")
    indexing.forget(connection, *match)
    connection.execute(f"DELETE FROM log WHERE {match[0]}", match[1])
    connection.execute("COMMIT")
    assert shelf.found(LogQuery(words=("zanzibar",)))[0] == []
    begin = True
    while indexing.scrub(connection, 50, begin=begin):
        begin = False
    assert there() == 0
    assert indexing.agrees(connection, shelf.note)
    assert len(shelf.found(LogQuery(words=("ordinary",), limit=5000))[0]) == 1200


def test_ids_that_are_given_again_are_not_taken_for_indexed(shelf: Shelf) -> None:
    """The last rows went, with the index knowing of it and without: what gets their ids is found all the same."""
    shelf.close()
    shelf.open("words")
    shelf.build()
    connection = shelf.store.connection(RECORDS)
    shelf.say("one", "two", "three")
    connection.execute("BEGIN")
    indexing.forget(connection, "id > ?", (1,))
    connection.execute("DELETE FROM log WHERE id > 1")
    connection.execute("COMMIT")
    shelf.say("four")
    assert shelf.found(LogQuery(words=("four",))) == (["four"], "index")
    assert shelf.found(LogQuery(words=("two",))) == ([], "index")
    connection.execute("DELETE FROM log WHERE id > 1")
    shelf.say("five")
    assert shelf.found(LogQuery(words=("five",))) == (["five"], "scan")
    connection.execute("BEGIN")
    indexing.forget(connection, "1")
    connection.execute("DELETE FROM log")
    connection.execute("COMMIT")
    shelf.build()
    shelf.say("six")
    assert shelf.found(LogQuery(words=("six",))) == (["six"], "index")


def test_an_index_that_lost_something_is_made_anew(shelf: Shelf) -> None:
    """It is compared with a sample of the rows at the start."""
    shelf.close()
    shelf.open("words")
    shelf.say(*(f"record {number}" for number in range(30)))
    shelf.build()
    shelf.store.connection(RECORDS).execute("INSERT INTO log_words(log_words) VALUES ('delete-all')")
    shelf.close()
    shelf.open("words")
    shelf.build()
    assert shelf.found(LogQuery(words=("record", "7"))) == (["record 7"], "index")


def test_an_index_of_rows_that_are_not_there_is_made_anew(shelf: Shelf) -> None:
    """Its note speaks of more than the log has: ids may have been given twice."""
    shelf.close()
    shelf.open("words")
    shelf.say("one", "two", "three")
    shelf.build()
    connection = shelf.store.connection(RECORDS)
    connection.execute("DELETE FROM log WHERE id = 3")
    connection.execute("INSERT INTO log SELECT 3, node_id, epoch_id, 99, arrived, origin, time, severity, level, service,"
        " product, system, subsystem, subsubsystem, user1, user2, package, version, logger, module, function, line,"
        " process, thread, 'unheard of', exception, stack, trace_id, span_id, attributes FROM log WHERE id = 1")  # fmt: skip
    connection.execute("UPDATE log_index SET high = 4")
    shelf.build()
    assert shelf.found(LogQuery(words=("unheard",))) == (["unheard of"], "index")


@pytest.mark.parametrize(
    "broken",
    [
        "DELETE FROM log_words_data WHERE id > 10",
        "DELETE FROM log_words_data",
        "UPDATE log_words_data SET block = x'00ff' WHERE id > 10",
        "DROP TABLE log_words_config",
        "DROP TABLE log_words",
    ],
)
def test_a_damaged_index_holds_nothing_up(shelf: Shelf, broken: str) -> None:
    """Records are stored, searches scan, and it is made anew."""
    shelf.close()
    shelf.open("words")
    shelf.say(*(f"record {number}" for number in range(3000)))
    shelf.build()
    shelf.store.connection(RECORDS).execute(broken)
    shelf.say("record last")
    assert shelf.found(LogQuery(words=("last",)))[0] == ["record last"]
    shelf.say("record after")
    assert len(shelf.found(LogQuery(words=("record",), limit=5000))[0]) == 3002
    shelf.close()
    shelf.open("words")
    shelf.build()
    assert shelf.found(LogQuery(words=("after",))) == (["record after"], "index")


def test_a_library_without_it_is_named() -> None:
    """With what to do, before anything is stored."""

    class Bare(sqlite3.Connection):
        def execute(self, *words: Any) -> Any:
            raise sqlite3.OperationalError("no such module: fts5")

    connection = sqlite3.connect(":memory:", factory=Bare)
    with pytest.raises(StoreError) as error:
        indexing.check_library(connection, "trigram")
    connection.close()
    assert 'set store.index = "none"' in str(error.value)


def test_a_query_goes_on_where_its_time_box_ended(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only a part of the rows is in the index: no row is met twice, none is left out."""
    monkeypatch.setattr(walk, "FIRST_WINDOW", 3)
    monkeypatch.setattr(walk, "LAST_WINDOW", 5)
    shelf.say(*(f"{'needle' if number % 9 == 0 else 'hay'} {number}" for number in range(60)))
    shelf.close()
    shelf.open("words")
    in_steps_of(20, shelf, monkeypatch)
    shelf.indexer.step(0)
    shelf.indexer.step(1)
    assert shelf.note.low > 1
    query = LogQuery(words=("needle",), limit=2)
    with Reader(shelf.path) as reader:
        found = all_pages(reader, query, older=True, budget=0.0)
        assert [row.key[1] for row in found] == [number + 1 for number in range(54, -1, -9)]
        parts = list(reader.search(replace(query, limit=100), 0.0))
    assert sum(len(part.rows) for part in parts) == 7
    assert {part.index for part in parts} == {"partly"}
