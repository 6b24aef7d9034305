"""Free room of a store goes back to the file system, while it is written, and nothing of what is stored changes."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tabard import exits
from tabard.consumers.store.layout import FILES, RECORDS
from tabard.consumers.store.postgresql import vacuum as served
from tabard.consumers.store.postgresql.server import schema_of
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.room import give_back
from tabard.consumers.store.sqlite import SqliteStore
from tabard.consumers.store.vacuum import vacuum
from tabard.errors import StoreError
from tabard.home import Home
from tabard.locks import hold
from tabard.ops.bench.postgres import Postgres
from tests import schemas
from tests.contract.chain import NOON, Chain, log, logs
from tests.integration.upping import tabard

MOST = 1_000
"""Records of a recorder that goes on: a few hundred kilobytes of the megabytes that are free."""


def emptied(store: Path) -> Chain:
    """A store of some megabytes of which most was deleted, and the chain that goes on."""
    chain = Chain()
    with SqliteStore.open(store) as opened:
        for _ in range(8):
            opened.commit([chain.work([log("x" * 4000) for _ in range(250)])], NOON)
        opened.connection(RECORDS).execute("DELETE FROM log WHERE id < 1900")
    return chain


def state(store: Path) -> tuple[int, int, list[tuple[str]]]:
    """Free pages, records, and whether the file is sound."""
    with closing(sqlite3.connect(RECORDS.path(store))) as connection:
        return (
            connection.execute("PRAGMA freelist_count").fetchone()[0],
            connection.execute("SELECT count(*) FROM log").fetchone()[0],
            connection.execute("PRAGMA integrity_check").fetchall(),
        )


def test_a_step_gives_back_as_many_pages_as_it_says(tmp_path: Path) -> None:
    """Python's driver runs only the first step of such a statement: one page."""
    emptied(tmp_path)
    with closing(sqlite3.connect(RECORDS.path(tmp_path), isolation_level=None)) as connection:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        connection.execute("BEGIN")
        assert give_back(connection, 100) == 100
        connection.execute("COMMIT")
        assert connection.execute("PRAGMA freelist_count").fetchone() == (free - 100,)
        assert give_back(connection, 10 * free) == free - 100


def test_the_file_and_its_log_become_short(tmp_path: Path) -> None:
    """And what is stored stays."""
    emptied(tmp_path)
    records, _state = vacuum(tmp_path)
    assert records.after < records.before / 3
    assert (records.log_after, records.complete) == (0, True)
    assert RECORDS.path(tmp_path).stat().st_size == records.after
    assert state(tmp_path) == (0, 101, [("ok",)])
    assert vacuum(tmp_path)[0].after == records.after


def test_a_recorder_goes_on_meanwhile(tmp_path: Path) -> None:
    """No commit fails, and all of them are there."""
    chain = emptied(tmp_path)
    over = threading.Event()
    failed: list[BaseException] = []
    stored = 0

    def write() -> None:
        nonlocal stored
        try:
            with SqliteStore.open(tmp_path) as store:
                # Not for ever: it would use the free room faster than it is given back.
                while not over.is_set() and stored < MOST:
                    store.commit([chain.work(logs(20, start=chain.next - 1))], NOON)
                    stored += 20
                    store.after_commit()
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        records, _state = vacuum(tmp_path)
    finally:
        over.set()
        writer.join()
    assert failed == []
    assert records.after < records.before
    assert state(tmp_path)[1:] == (101 + stored, [("ok",)])


def test_a_reader_that_stays_is_said(tmp_path: Path) -> None:
    """The log cannot be cut then: exit code 3."""
    emptied(tmp_path / "store")
    with closing(sqlite3.connect(RECORDS.path(tmp_path / "store"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM log").fetchone()
        done = tabard(tmp_path, "store", "vacuum", "-o", "json")
    assert done.returncode == exits.PARTLY
    records, _state = json.loads(done.stdout)
    assert records["complete"] is False
    assert records["log_after"] > 0
    assert tabard(tmp_path, "store", "vacuum").returncode == exits.DONE


def test_writing_everything_anew_needs_the_recorder_to_be_ended(tmp_path: Path) -> None:
    """--full."""
    emptied(tmp_path / "store")
    with hold(Home(tmp_path).ensure().lock("recorder")):
        refused = tabard(tmp_path, "store", "vacuum", "--full")
        assert refused.returncode == exits.REFUSED
    assert state(tmp_path / "store")[0] > 0
    assert tabard(tmp_path, "store", "vacuum", "--full").returncode == exits.DONE
    assert state(tmp_path / "store") == (0, 101, [("ok",)])


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    """Missing, or somebody else's."""
    with pytest.raises(StoreError, match="store not found"):
        vacuum(tmp_path)
    with closing(sqlite3.connect(RECORDS.path(tmp_path))) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="not a store of Tabard"):
        vacuum(tmp_path)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "full"])
def test_a_store_of_an_older_version_is_to_be_upgraded_first(
    tmp_path: Path, postgres: Postgres, full: bool
) -> None:
    """On both engines that is what is said, and not what is unlike this version in its files."""
    url, oldest = postgres.database(), schemas.versions()[0]
    schemas.make_sqlite(tmp_path, oldest)
    schemas.make_postgresql(url, oldest)
    with pytest.raises(StoreError, match=r"older than this program.*Run `tabard store upgrade`"):
        vacuum(tmp_path, full=full)
    with pytest.raises(StoreError, match=r"older than this program.*Run `tabard store upgrade`"):
        served.vacuum(url, "", full=full)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "full"])
def test_tables_on_a_server_are_vacuumed(postgres: Postgres, full: bool) -> None:
    """Partitions and all; a recorder that is connected goes on."""
    url = postgres.database()
    chain = Chain()
    with PostgresStore.open(url) as store:
        store.commit([chain.work([log("x" * 4000) for _ in range(250)])], NOON)
        postgres.execute(
            "DELETE FROM tabard_records.log WHERE seq < 240", url.partition("@/")[2].partition("?")[0]
        )
        records, _state = served.vacuum(url, "", full=full)
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            # Nothing had counted them before; the server may count them again once there are more.
            cursor.execute(
                "SELECT reltuples FROM pg_class WHERE relname ~ '^log_[0-9]+$' AND relkind = 'r' AND reltuples > 0"
            )
            assert cursor.fetchall() == [(11,)]
        store.commit([chain.work(logs(5, start=250))], NOON)
    assert records.complete
    assert not full or records.after < records.before


def test_tables_of_somebody_else_are_said(postgres: Postgres) -> None:
    """PostgreSQL passes them over with a warning."""
    url = postgres.database()
    PostgresStore.open(url).close()
    name = url.partition("@/")[2].partition("?")[0]
    postgres.execute("CREATE ROLE looker LOGIN")
    try:
        postgres.execute("GRANT USAGE ON SCHEMA tabard_records, tabard_state TO looker", name)
        for schema in map(schema_of, FILES):
            postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO looker", name)
        assert not any(part.complete for part in served.vacuum(url.replace("tabard@", "looker@"), ""))
    finally:
        postgres.execute("DROP OWNED BY looker", name)
        postgres.execute("DROP ROLE looker")


def test_a_database_without_a_store_is_said(postgres: Postgres) -> None:
    """Nothing is made."""
    with pytest.raises(StoreError, match="store not found"):
        served.vacuum(postgres.database(), "")
