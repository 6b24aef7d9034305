"""Creating and upgrading: what the migrations make is what the models say, and nothing happens by opening."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine

from tabard.consumers.store import layout, models, schema
from tabard.consumers.store.layout import FILES, RECORDS, STATE, FileKind
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LogRow
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import StoreError


def made(connection: sqlite3.Connection) -> set[str]:
    """Every table and index of a database, in one spelling."""
    found = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
    )
    return {
        " ".join(sql.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split()) for (sql,) in found
    }


def set_version(store: Path, version: str) -> None:
    """Make a store look as if another program had written it."""
    for kind in FILES:
        with sqlite3.connect(kind.path(store)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.close()


@pytest.mark.parametrize(("kind", "metadata"), [(RECORDS, models.RECORDS), (STATE, models.STATE)])
def test_the_migrations_make_what_the_models_describe(kind: FileKind, metadata: MetaData) -> None:
    """Tables, columns, keys, checks, indexes: equal to the letter."""
    migrated = sqlite3.connect(":memory:")
    migrated.deserialize(schema.template(kind))
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        assert made(driver) == made(migrated)
    engine.dispose()
    migrated.close()


def test_every_table_keeps_its_types() -> None:
    """A table that is not STRICT would take anything, and refuse nothing."""
    for metadata in (models.RECORDS, models.STATE):
        assert all(table.dialect_options["sqlite"]["strict"] for table in metadata.tables.values())


def test_the_version_the_code_asks_for_is_the_newest_step() -> None:
    """Otherwise a new store would be refused by the program that made it."""
    assert schema.head() == layout.VERSION


def test_a_row_of_the_log_has_every_column(tmp_path: Path) -> None:
    """The reader names each column of the table, and the node in place of its number."""
    columns = {column.name for column in models.RECORDS.tables["log"].columns}
    assert set(LogRow._fields) == columns - {"node_id"} | {"node", "zone"}
    del tmp_path


def test_making_a_store_twice_keeps_it(tmp_path: Path) -> None:
    """A second recorder start finds the store of the first."""
    schema.create(tmp_path)
    with sqlite3.connect(RECORDS.path(tmp_path)) as connection:
        connection.execute("INSERT INTO node (zone, name, first_seen) VALUES ('hq', 'web1', 1)")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    connection.close()
    schema.create(tmp_path)
    with sqlite3.connect(RECORDS.path(tmp_path)) as connection:
        assert connection.execute("SELECT name FROM node").fetchall() == [("web1",)]
    connection.close()


def test_a_making_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    """An empty file is what a kill between creation and the first transaction leaves."""
    RECORDS.path(tmp_path).touch()
    SqliteStore.open(tmp_path).close()
    with sqlite3.connect(RECORDS.path(tmp_path)) as connection:
        assert layout.schema_version(connection) == layout.VERSION
    connection.close()


@pytest.mark.parametrize(
    ("version", "hint"), [("0000", "tabard store upgrade"), ("9999", "Install the Tabard that wrote it")]
)
def test_another_schema_is_refused_with_what_to_do(tmp_path: Path, version: str, hint: str) -> None:
    """Neither writing nor reading changes a store of another version."""
    schema.create(tmp_path)
    set_version(tmp_path, version)
    with pytest.raises(StoreError, match=version) as writing:
        SqliteStore.open(tmp_path)
    assert hint in str(writing.value)
    with Reader(tmp_path) as reader, pytest.raises(StoreError) as reading:
        reader.last_id()
    assert hint in str(reading.value)
    assert "records.db" in str(reading.value)


def test_upgrading_says_from_where_to_where(tmp_path: Path) -> None:
    """And doing it again changes nothing."""
    schema.create(tmp_path)
    assert schema.upgrade(tmp_path) == {
        "records": (layout.VERSION, layout.VERSION),
        "state": (layout.VERSION, layout.VERSION),
    }


def test_upgrading_what_is_not_there_or_not_ours_is_refused(tmp_path: Path) -> None:
    """A missing file, a newer one, and somebody else's database are left alone."""
    with pytest.raises(StoreError, match="store not found"):
        schema.upgrade(tmp_path)
    schema.create(tmp_path)
    set_version(tmp_path, "9999")
    with pytest.raises(StoreError, match="newer"):
        schema.upgrade(tmp_path)
    RECORDS.path(tmp_path).unlink()
    with sqlite3.connect(RECORDS.path(tmp_path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="not a store of Tabard"):
        schema.upgrade(tmp_path)
    with pytest.raises(StoreError):
        SqliteStore.open(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """With a sentence, not with a trace of the driver."""
    for kind in FILES:
        kind.path(tmp_path).write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore.open(tmp_path)
    with Reader(tmp_path) as reader, pytest.raises(StoreError, match="cannot be read"):
        reader.last_id()


def test_an_old_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """STRICT tables need SQLite 3.37: an older one would say "syntax error"."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StoreError, match=r"3\.37\.0 or newer"):
        SqliteStore.memory()
