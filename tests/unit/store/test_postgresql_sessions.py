"""Sessions on a server as its administrator has set it up: whatever databases, roles and poolers say by themselves."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.consumers.store.postgresql import read, server
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.server import connect, first
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.results import LogQuery
from tabard.errors import StoreAway, StoreError
from tabard.ops.bench.postgres import Postgres
from tests.conftest import Need
from tests.contract.chain import NOON, Chain, log, logs

SETTINGS = {
    "default_transaction_isolation": "serializable",
    "search_path": "nowhere",
    "statement_timeout": "'500ms'",  # the first statement of all, which lifts it, has to be done within it
    "lock_timeout": "'1ms'",
    "timezone": "'Asia/Tokyo'",
    "bytea_output": "escape",
    "idle_in_transaction_session_timeout": "'3s'",
}


def made(postgres: Postgres, name: str, how: str) -> str:
    """A database that is made in another way than usual; its URL."""
    postgres.execute(f"CREATE DATABASE {name} {how} TEMPLATE template0")
    return postgres.url(name)


@contextlib.contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Somebody has a table to himself."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table}")
        yield


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Postgres, encoding: str) -> None:
    """At once and with what to do, before records are refused one batch after another."""
    url = made(postgres, f"encoded_{encoding.lower()}", f"ENCODING '{encoding}' LOCALE 'C'")
    with pytest.raises(StoreError, match=rf"expected the encoding UTF8, found {encoding}.*CREATE DATABASE"):
        PostgresStore.open(url)
    with pytest.raises(StoreError, match="expected the encoding UTF8"):
        PostgresReader(url).last_id()


def test_a_locale_with_other_letters_is_refused(postgres: Postgres, need: Need) -> None:
    """Where ISTANBUL is not found by istanbul, a hold does not keep it either."""
    with contextlib.closing(psycopg2.connect(postgres.url("postgres"))) as connection:
        there = first(
            connection,
            "SELECT EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'tr-x-icu'),"
            " current_setting('server_version_num')::int >= 150000",
        )
    need.that(there == (True, True), "PostgreSQL 15 or newer with ICU")
    url = made(postgres, "turkish", "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C'")
    with pytest.raises(StoreError, match=r"small ones of I and i.*CREATE DATABASE"):
        PostgresStore.open(url)


def test_what_a_database_sets_for_its_sessions_does_not_matter(postgres: Postgres) -> None:
    """Such as a stricter isolation, other schemas, or limits that are meant for interactive work."""
    url = postgres.database()
    name_of_it = urlsplit(url).path[1:]
    for name, value in SETTINGS.items():
        postgres.execute(f"ALTER DATABASE {name_of_it} SET {name} = {value}")
    with PostgresStore.open(url) as store:
        chain = Chain()
        store.commit([chain.work(logs(500))], NOON)
        store.commit([chain.work([log("\\ and\ta tab, it's ü")])], NOON)
        assert store.fault is None
    url_of_reader = f"{url}&options=-cstatement_timeout%3D60s"
    rows = PostgresReader(url_of_reader).logs(LogQuery(limit=1_000)).rows
    assert len(rows) == 501
    with contextlib.closing(connect(url, "", "tabard_records", "test")) as connection:
        names = ("default_transaction_isolation", "search_path", "statement_timeout", "timezone")
        said = ", ".join(f"current_setting('{name}')" for name in names)
        assert first(connection, f"SELECT {said}") == ("read committed", "tabard_records", "0", "UTC")
        assert first(connection, "SELECT pg_sleep(0.6)") == ("",)


def test_what_the_url_says_of_a_connection_holds(postgres: Postgres) -> None:
    """Everything that libpq knows may be in it, also where there is a usual value."""
    url = f"{postgres.database()}&connect_timeout=33&keepalives_idle=7&options=-cwork_mem%3D7MB%20-csearch_path%3Dx"
    with contextlib.closing(connect(url, "", "tabard_records", "test")) as connection:
        given = connection.get_dsn_parameters()
        assert (given["connect_timeout"], given["keepalives_idle"]) == ("33", "7")
        assert first(connection, "SELECT current_setting('work_mem'), current_setting('search_path')") == (
            "7MB",
            "tabard_records",
        )


def test_a_pooler_is_asked_for_nothing_that_it_does_not_know(tmp_path: Path) -> None:
    """Such as options while connecting: one would refuse them, or drop them, and tables would be made in another schema."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / ".s.PGSQL.5432"))
        listening.listen()
        heard: list[bytes] = []

        def answer() -> None:
            client, _ = listening.accept()
            with client:
                heard.append(client.recv(65_536))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(StoreAway):
            connect(f"postgresql://tabard@/logs?host={tmp_path}", "", "x", "test")
        thread.join()
    assert b"application_name" in heard[0]
    assert b"options" not in heard[0]
    assert b"search_path" not in heard[0]


def test_a_table_that_somebody_has_to_himself(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """As VACUUM FULL has: the recorder says so and tries again, and can be told to end; so does a reader."""
    monkeypatch.setattr(server, "LOCK_SECONDS", 0.2)
    monkeypatch.setitem(read._INTERACTIVE, "lock_timeout", "200ms")
    url = postgres.database()
    with PostgresStore.open(url) as store:
        reader = PostgresReader(url)
        chain = Chain()
        store.commit([chain.work(logs(3))], NOON)
        work = chain.work(logs(3, 3))
        with locked(url, "tabard_records.log"):
            with pytest.raises(StoreUnavailable, match="lock timeout"):
                store.commit([work], NOON)
            with pytest.raises(StoreError, match="lock timeout"):
                reader.logs(LogQuery())
        store.commit([work], NOON)
        assert len(reader.logs(LogQuery()).rows) == 6
        reader.close()


def test_a_user_that_may_make_no_schemas(postgres: Postgres) -> None:
    """Is told what it needs; two that an administrator has made for it are enough, also to start again."""
    name = urlsplit(postgres.database()).path[1:]
    url = postgres.url(name).replace("tabard@", "poor@")
    postgres.execute("CREATE ROLE poor LOGIN")
    with pytest.raises(StoreError, match=r"may create schemas.*GRANT CREATE ON DATABASE"):
        PostgresStore.open(url)
    for schema in ("tabard_records", "tabard_state"):
        postgres.execute(f"CREATE SCHEMA {schema} AUTHORIZATION poor", name)
    chain = Chain()
    for number in range(2):
        with PostgresStore.open(url) as store:
            store.commit([chain.work([log(f"record {number}")])], NOON)
    reader = PostgresReader(url)
    assert len(reader.logs(LogQuery()).rows) == 2
    reader.close()
