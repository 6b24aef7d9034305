"""From every schema version that there ever was to this program's: nothing is lost, whatever ends it on the way.

Whoever adds a migration runs ``python -m tests.schemas`` once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tabard import exits
from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES, RECORDS, VERSION, FileKind
from tabard.consumers.store.postgresql import schema as served
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.server import connect, schema_of
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LogQuery
from tabard.consumers.store.sqlite import SqliteStore
from tabard.ops.bench.postgres import Postgres
from tests import schemas
from tests.contract.chain import NOON, Chain, logs
from tests.integration.upping import TABARD, Started, environment, tabard
from tests.schemas import ROWS, Rows

VERSIONS = schemas.versions()
OLDER = VERSIONS[:-1]
MORE = {"usage"}
"""Tables to which a migration may add rows."""
GONE: dict[str, frozenset[str]] = {}
"""Columns that a migration took away, by table: each with a test of its own that says what became of them."""


def compare(before: Rows, after: Rows) -> None:
    """Every row of before is there, with every value."""
    assert set(before) <= set(after)
    for table, rows in before.items():
        gone = GONE.get(table, frozenset())
        kept = [name for name in rows[0] if name not in gone]
        found = [tuple(row[name] for name in kept) for row in after[table]]
        wanted = [tuple(row[name] for name in kept) for row in rows]
        assert len(wanted) == ROWS
        missing = [row for row in wanted if row not in found]
        assert not missing, f"{table}: {missing} became {found}"
        assert table in MORE or len(found) == len(wanted), table


def everything(store: Path) -> dict[str, Rows]:
    """The rows of both files."""
    found = {}
    for kind in FILES:
        with contextlib.closing(sqlite3.connect(kind.path(store))) as connection:
            found[kind.name] = schemas.rows_sqlite(connection)
    return found


def served_rows(url: str) -> dict[str, Rows]:
    """The rows of both schemas."""
    found = {}
    for kind in FILES:
        with contextlib.closing(connect(url, "", schema_of(kind), "a test")) as connection:
            found[kind.name] = schemas.rows_postgresql(connection)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that has a folder for a store."""
    (tmp_path / "home" / "store").mkdir(parents=True, mode=0o700)
    (tmp_path / "home").chmod(0o700)
    return tmp_path / "home"


# --- what migrations make does not change ----------------------------------------------------------


def test_every_version_before_this_one_is_pinned() -> None:
    """Whoever adds a migration has `python -m tests.schemas` write down what the one before it made."""
    for version in OLDER:
        for kind in FILES:
            assert schemas.pin("sqlite", kind, version).exists(), "run python -m tests.schemas"
            assert schemas.pin("postgresql", kind, version).exists(), "run python -m tests.schemas"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", FILES, ids=[kind.name for kind in FILES])
def test_a_migration_makes_what_it_always_made(postgres: Postgres, version: str, kind: FileKind) -> None:
    """A store of that version is out there: another migration may follow, and none may be changed."""
    code = schemas.PINS / f"{version}.code.txt"
    if version == VERSION and not code.exists():
        pytest.skip("the newest version is pinned with the next one")
    assert code.read_text().strip() == schemas.code_of(version), f"migration {version} was changed"
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as file:
        schema.migrate(file, kind, "a test", end=version)
        assert schemas.describe_sqlite(file) == schemas.pin("sqlite", kind, version).read_text()
    with contextlib.closing(schemas.empty_postgresql(postgres.database(), kind, version)) as connection:
        assert schemas.describe_postgresql(connection) == schemas.pin("postgresql", kind, version).read_text()


# --- upgrades ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", OLDER)
def test_an_upgrade_of_files_keeps_every_row(tmp_path: Path, version: str) -> None:
    """And makes what a new store has: tables, columns, keys, checks, indexes."""
    schemas.make_sqlite(tmp_path, version)
    before = everything(tmp_path)
    assert schema.upgrade(tmp_path) == {kind.name: (version, VERSION) for kind in FILES}
    after = everything(tmp_path)
    for kind in FILES:
        compare(before[kind.name], after[kind.name])
        with (
            contextlib.closing(sqlite3.connect(kind.path(tmp_path))) as connection,
            contextlib.closing(sqlite3.connect(":memory:")) as fresh,
        ):
            fresh.deserialize(schema.template(kind))
            assert schemas.describe_sqlite(connection) == schemas.describe_sqlite(fresh)
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    use(tmp_path)


def use(store: Path) -> None:
    """A recorder stores more, and a reader sees old and new."""
    with SqliteStore.open(store) as opened:
        opened.commit([Chain(name="new").work(logs(2))], NOON)
    with Reader(store) as reader:
        messages = {getattr(row, "message", None) for row in reader.logs(LogQuery(limit=100)).rows}
        assert {"message 1 grün", "record 0", "record 1"} <= messages
        assert reader.stats().streams["logs"].rows == ROWS + 2
        assert len(reader.nodes(NOON)) == ROWS + 1


@pytest.mark.parametrize("version", OLDER)
def test_an_upgrade_on_a_server_keeps_every_row(postgres: Postgres, version: str) -> None:
    """The same, and what is stored next gets numbers that nobody has."""
    url = postgres.database()
    schemas.make_postgresql(url, version)
    before = served_rows(url)
    assert served.upgrade(url) == {kind.name: (version, VERSION) for kind in FILES}
    after = served_rows(url)
    fresh = postgres.database()
    served.upgrade(fresh)
    for kind in FILES:
        compare(before[kind.name], after[kind.name])
        with (
            contextlib.closing(connect(url, "", schema_of(kind), "a test")) as connection,
            contextlib.closing(connect(fresh, "", schema_of(kind), "a test")) as other,
        ):
            assert schemas.describe_postgresql(connection) == schemas.describe_postgresql(other)
            for sequence, table in schemas.sequences(connection):
                ((number,),) = schemas.ask(connection, f"SELECT nextval('{sequence}')")
                ((highest,),) = schemas.ask(connection, f"SELECT coalesce(max(id), 0) FROM {table}")
                assert number > highest, f"{table}: {number} was given before"
    with PostgresStore.open(url) as store:
        store.commit([Chain(name="new").work(logs(2))], NOON)
    with PostgresReader(url) as reader:
        assert reader.stats().streams["logs"].rows == ROWS + 2
        assert len(reader.nodes(NOON)) == ROWS + 1


# --- what ends it on the way -------------------------------------------------------------------------


def steps() -> list[int]:
    """The number of each step of an upgrade from the first version, over both files."""
    return list(range(1, len(OLDER) * len(FILES) + 1))


@pytest.mark.parametrize("at", steps())
def test_an_upgrade_that_is_killed_goes_on(home: Path, at: int) -> None:
    """After any step of any file: each file is as it was or as it shall be, and the next try does the rest."""
    store = home / "store"
    schemas.make_sqlite(store, VERSIONS[0])
    before = everything(store)
    killed = tabard(home, "store", "upgrade", TABARD_FAILPOINTS=f"upgrade.step=kill@{at}")
    assert killed.returncode == -signal.SIGKILL
    done = (at - 1) // len(OLDER)
    found = [schemas_version(kind.path(store)) for kind in FILES]
    assert found == [VERSION] * done + [VERSIONS[0]] * (len(FILES) - done)
    assert tabard(home, "store", "upgrade").returncode == exits.DONE
    after = everything(store)
    for kind in FILES:
        compare(before[kind.name], after[kind.name])
    use(store)


def schemas_version(path: Path) -> str | None:
    """The version that a file says it has."""
    from tabard.consumers.store.layout import schema_version

    with contextlib.closing(sqlite3.connect(path)) as connection:
        return schema_version(connection)


@pytest.mark.parametrize("at", [1, len(OLDER), len(OLDER) + 1])
def test_an_upgrade_on_a_server_that_is_killed_goes_on(home: Path, postgres: Postgres, at: int) -> None:
    """The server takes back what was not committed."""
    url = postgres.database()
    schemas.make_postgresql(url, VERSIONS[0])
    before = served_rows(url)
    (home / "tabard.toml").write_text(f'[store]\nurl = "{url}"\n')
    killed = tabard(home, "store", "upgrade", TABARD_FAILPOINTS=f"upgrade.step=kill@{at}")
    assert killed.returncode == -signal.SIGKILL
    done = tabard(home, "store", "upgrade")
    assert done.returncode == exits.DONE, done.stderr
    after = served_rows(url)
    for kind in FILES:
        compare(before[kind.name], after[kind.name])


# --- the command -------------------------------------------------------------------------------------


def test_the_command_says_what_it_would_do_and_does_it(home: Path) -> None:
    """--check changes nothing and exits with 3 while there is something to do."""
    store = home / "store"
    schemas.make_sqlite(store, VERSIONS[0])
    check = tabard(home, "store", "upgrade", "--check")
    assert check.returncode == exits.PARTLY
    assert "0003 What retention needs" in check.stderr
    assert [line.split()[:5] for line in check.stdout.splitlines()[1:]] == [
        ["records", VERSIONS[0], VERSION, "0002,", "0003,"],
        ["state", VERSIONS[0], VERSION, "0002,", "0003,"],
    ]
    assert schemas_version(RECORDS.path(store)) == VERSIONS[0]
    done = tabard(home, "store", "upgrade")
    assert done.returncode == exits.DONE
    assert "tabard: records: 0002 Which version and configuration" in done.stderr
    check = tabard(home, "store", "upgrade", "--check")
    assert (check.returncode, "0003" in check.stdout) == (exits.DONE, False)


def test_what_is_not_there_or_newer_is_refused(home: Path) -> None:
    """With the exit codes of the reference, and for --check too."""
    missing = tabard(home, "store", "upgrade", "--check")
    assert missing.returncode == exits.FAILED
    assert "store not found" in missing.stderr
    schemas.make_sqlite(home / "store", VERSION)
    for kind in FILES:
        with contextlib.closing(sqlite3.connect(kind.path(home / "store"))) as file, file:
            file.execute("UPDATE alembic_version SET version_num = '9999'")
    for words in (["--check"], []):
        newer = tabard(home, "store", "upgrade", *words)
        assert newer.returncode == exits.REFUSED
        assert "newer than this program" in newer.stderr


def test_up_upgrades_before_it_starts_anything(home: Path) -> None:
    """And says so."""
    schemas.make_sqlite(home / "store", VERSIONS[0])
    with Started(home, "up", "--only", "broker,recorder") as up:
        up.wait_for("Ctrl-C")
        assert f"the part records of the store was brought from schema version 0001 to {VERSION}" in up.said
        up.pids(["recorder"])
    assert schemas_version(RECORDS.path(home / "store")) == VERSION


MANY = 1_000_000
MEMORY = 192 * 2**20
"""Bytes: what loading SQLAlchemy and SQLite's caches take, and far below the rows."""


@pytest.mark.long
def test_a_million_rows_are_upgraded_in_bounded_memory(home: Path) -> None:
    """Memory does not grow with the store."""
    store = home / "store"
    schemas.make_sqlite(store, VERSIONS[0])
    with contextlib.closing(sqlite3.connect(RECORDS.path(store), isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
            " INSERT INTO log (node_id, epoch_id, seq, arrived, time, severity, message)"
            f" SELECT 1, 1, 1000 + n, {NOON}, {NOON} + n, 9, 'the quick brown fox ' || n || hex(zeroblob(60)) FROM numbers",
            (MANY,),
        )
    process = subprocess.Popen([*TABARD, "store", "upgrade"], env=environment(home))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == exits.DONE
    print(f"{usage.ru_maxrss >> 10} MiB for {RECORDS.path(store).stat().st_size >> 20} MiB")
    assert usage.ru_maxrss * 1024 < MEMORY
    with contextlib.closing(sqlite3.connect(RECORDS.path(store))) as file:
        assert file.execute("SELECT count(*) FROM log").fetchone() == (MANY + ROWS,)
