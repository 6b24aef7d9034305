"""Backups of a store on PostgreSQL: a dump of one moment, restored in one transaction beside the schemas that were there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psycopg2
import pytest

from tabard import exits
from tabard.brokers.delivery.ports import CursorConflict, Presence, StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.consumers.store import backup_engines
from tabard.consumers.store.backup import PARTIAL
from tabard.consumers.store.backup_manifest import Manifest
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql import backup, restore, tools
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.errors import StoreError
from tabard.ops.bench.postgres import Postgres
from tests import schemas
from tests.contract.chain import NOON, WEB, Chain, log
from tests.integration.upping import tabard
from tests.passwords import asking
from tests.unit.store.backing import BACKED, LATER, flip

ODD = ["a\ttab", "a \\ backslash", "\\.", "\\N", "two\nlines", "grün € 𝄞", "", "COPY x FROM stdin;"]
"""Texts that mean something else in a dump."""


class Site:
    """A database with a store of which there is a backup, and more since."""

    def __init__(self, path: Path, postgres: Postgres) -> None:
        self.home = path / "home"
        self.home.mkdir(mode=0o700)
        self.url = postgres.database()
        (self.home / "tabard.toml").write_text(f'[store]\nurl = "{self.url}"\n')
        self.backup = path / "backup"
        self.chain, self.control = Chain(), Chain(stream=CONTROL)
        with PostgresStore.open(self.url) as store:
            self.add(store, BACKED)
            self.manifest = backup.backup(self.url, "", self.backup, "main")
            self.add(store, LATER)

    def add(self, store: PostgresStore, count: int) -> None:
        """So many records in each schema."""
        store.commit([self.chain.work([log(ODD[n % len(ODD)], time=NOON + n) for n in range(count)])], NOON)
        store.commit([self.control.work([(NOON, "answer", {"n": n}) for n in range(count)])], NOON)

    def ask(self, text: str) -> list[tuple[object, ...]]:
        """Rows of an answer."""
        connection = psycopg2.connect(self.url)
        try:
            connection.autocommit = True
            return schemas.ask(connection, text)
        finally:
            connection.close()

    def counts(self, more: str = "") -> tuple[object, ...]:
        """Records in each schema."""
        return self.ask(
            f"SELECT (SELECT count(*) FROM tabard_records{more}.log), (SELECT count(*) FROM tabard_state{more}.control)"
        )[0]

    def schemas(self) -> list[str]:
        """All of ours."""
        return [
            str(row[0])
            for row in self.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tabard%' ORDER BY 1")
        ]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """``tabard store ...`` on that home."""
        return tabard(self.home, "store", *words, **env)


@pytest.fixture
def site(tmp_path: Path, postgres: Postgres) -> Site:
    """One."""
    return Site(tmp_path, postgres)


def test_a_restored_store_is_what_it_was(site: Site) -> None:
    """Byte for byte; what was there is beside it under another name, and recorders go on with the restored one."""
    texts = f"SELECT seq, message FROM tabard_records.log WHERE seq <= {BACKED} ORDER BY seq"
    before = site.ask(texts)
    assert backup_engines.verify(site.backup) == site.manifest
    done = site.run("restore", str(site.backup), "-o", "json")
    assert done.returncode == exits.DONE, done.stderr
    (row,) = json.loads(done.stdout)
    assert site.counts() == (BACKED, BACKED)
    assert site.ask(texts) == before
    records, _state = row["aside"].split(", ")
    assert site.counts(records.removeprefix("tabard_records")) == (BACKED + LATER, BACKED + LATER)
    with PostgresStore.open(site.url) as store:
        store.commit([Chain(name="new").work([log()])], NOON)
    with PostgresReader(site.url) as reader:
        assert reader.stats().streams["logs"].rows == BACKED + 1
    assert schemas_equal(site)


def schemas_equal(site: Site) -> bool:
    """Whether the restored tables are as the migrations make them."""
    from tabard.consumers.store.layout import FILES
    from tabard.consumers.store.postgresql.server import connect, schema_of

    for kind in FILES:
        connection = connect(site.url, "", schema_of(kind), "a test")
        try:
            found = schemas.describe_postgresql(connection)
        finally:
            connection.close()
        assert found == schemas.pin("postgresql", kind, schemas.versions()[-1]).read_text()
    return True


def test_a_store_that_is_lost_is_restored(site: Site) -> None:
    """There is nothing to be put aside then."""
    site.ask("DROP SCHEMA tabard_records, tabard_state CASCADE")
    done = restore.restore(site.url, "", site.backup, site.manifest)
    assert (done.aside, site.counts()) == ("", (BACKED, BACKED))


@pytest.mark.parametrize("point", ["restore.renamed=kill", "restore.filled=kill", "restore.filled=error"])
def test_a_restoration_that_ends_early_never_was(site: Site, point: str) -> None:
    """The server takes back what was not committed."""
    done = site.run("restore", str(site.backup), TABARD_FAILPOINTS=point)
    assert done.returncode in (-signal.SIGKILL, exits.FAILED)
    assert site.counts() == (BACKED + LATER, BACKED + LATER)
    assert site.schemas() == ["tabard_records", "tabard_state"]
    assert site.run("restore", str(site.backup)).returncode == exits.DONE


def test_a_backup_that_is_killed_is_not_there(site: Site, tmp_path: Path) -> None:
    """And pg_dump ends with it."""
    for point in ("backup.copied=kill", "backup.checked=kill"):
        killed = site.run("backup", str(tmp_path / "other"), TABARD_FAILPOINTS=point)
        assert killed.returncode == -signal.SIGKILL
        assert not (tmp_path / "other").exists()
    assert site.run("backup", str(tmp_path / "other")).returncode == exits.DONE
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(PARTIAL)]


def test_a_running_recorder_notices_at_its_next_commit(site: Site) -> None:
    """In whichever schema; nothing is written on what it remembers of the tables that were put aside."""
    with PostgresStore.open(site.url) as store:
        site.add(store, 1)
        restore.restore(site.url, "", site.backup, site.manifest)
        for stream, chain, record in (
            (LOGS, site.chain, log()),
            (CONTROL, site.control, (NOON, "answer", {})),
        ):
            work = chain.work([record])
            with pytest.raises(StoreUnavailable, match="replaced"):
                store.commit([work], NOON)
            with pytest.raises(CursorConflict, match="replaced"):
                store.commit([work], NOON)
            assert store.load(WEB, stream, [chain.epoch])[chain.epoch].ranges.solid == BACKED
    assert site.counts() == (BACKED, BACKED)


def test_a_recorder_with_nothing_to_store_notices_by_a_beacon(site: Site) -> None:
    """Once for each schema."""
    with PostgresStore.open(site.url) as store:
        beacons = [Presence(WEB, NOON, NOON, 10.0, {}, {})]
        store.presence(beacons)
        restore.restore(site.url, "", site.backup, site.manifest)
        with pytest.raises(CursorConflict, match="tabard_records"):
            store.presence(beacons)
        with pytest.raises(CursorConflict, match="tabard_state"):
            store.presence(beacons)
        store.presence(beacons)


def test_a_recorder_that_is_connected_is_in_the_way(site: Site) -> None:
    """It may run on another host, where no lock of this home is held."""
    with PostgresStore.open(site.url):
        refused = site.run("restore", str(site.backup))
        assert (refused.returncode, "a recorder writes this store" in refused.stderr) == (exits.REFUSED, True)
        assert site.run("restore", "--while-running", str(site.backup)).returncode == exits.DONE
    assert site.counts() == (BACKED, BACKED)


def test_a_damaged_dump_is_not_restored(site: Site) -> None:
    """Neither one that changed, nor one that does not hold what the manifest says."""
    manifest = site.manifest
    more = [part._replace(rows={**part.rows, "node": 77}) for part in manifest.parts]
    with pytest.raises(StoreError, match="does not hold what its manifest says"):
        restore.restore(site.url, "", site.backup, manifest._replace(parts=more))
    flip(site.backup / backup.DUMP)
    with pytest.raises(StoreError, match="damaged"):
        backup_engines.verify(site.backup)
    done = site.run("restore", str(site.backup))
    assert done.returncode == exits.FAILED
    assert site.counts() == (BACKED + LATER, BACKED + LATER)
    assert site.schemas() == ["tabard_records", "tabard_state"]


def test_an_older_dump_is_upgraded_when_told_so(site: Site, tmp_path: Path, postgres: Postgres) -> None:
    """The first version there was."""
    url = postgres.database()
    schemas.make_postgresql(url, schemas.versions()[0])
    manifest = backup.backup(url, "", tmp_path / "older", "main")
    place = Place(url=site.url)
    assert site.run("restore", str(tmp_path / "older")).returncode == exits.REFUSED
    done = backup_engines.restore(place, tmp_path / "older", manifest, upgrade=True)
    assert done.upgraded
    PostgresStore.open(site.url).close()


def test_the_password_is_handed_on_and_is_no_argument(
    tmp_path: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments are seen by everybody on the host."""
    url = asking(server, "asked", "a secret")
    PostgresStore.open(url, password="a secret").close()
    seen = tmp_path / "seen"
    script = tmp_path / "pg_dump"
    real = tools.find("pg_dump", 0)
    script.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    made = backup.backup(url, "a secret", tmp_path / "b", "main")
    assert Manifest.read(tmp_path / "b") == made
    assert "--dbname" in seen.read_text()
    assert "secret" not in seen.read_text()
    with pytest.raises(StoreError, match="password"):
        backup.backup(url, "wrong", tmp_path / "c", "main")


def test_without_the_programs_it_is_said_what_to_do(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one, of which version, and where it was looked for."""
    monkeypatch.setattr(tools, "_PLACES", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match=r"pg_dump is needed.*postgresql-client-\d+"):
        backup.backup(site.url, "", tmp_path / "other", "main")
    assert not (tmp_path / "other").exists()
    (tmp_path / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.2'\n")
    (tmp_path / "pg_dump").chmod(0o755)
    with pytest.raises(StoreError, match="found version 9"):
        backup.backup(site.url, "", tmp_path / "other", "main")


def test_a_database_without_a_store_is_said(tmp_path: Path, postgres: Postgres) -> None:
    """Nothing is dumped."""
    with pytest.raises(StoreError, match=r"store not found|pg_dump failed"):
        backup.backup(postgres.database(), "", tmp_path / "b", "main")
    assert not (tmp_path / "b").exists()


def test_a_hold_in_force_stays_in_force(site: Site, tmp_path: Path, postgres: Postgres) -> None:
    """Also over a backup that is older than holds are."""
    url = postgres.database()
    schemas.make_postgresql(url, schemas.versions()[0])
    backup.backup(url, "", tmp_path / "older", "main")
    assert site.run("hold", "add", "late", "--reason", "r").returncode == exits.DONE
    for words in ([str(site.backup)], ["--upgrade", str(tmp_path / "older")]):
        done = site.run("restore", *words, "-o", "json")
        assert done.returncode == exits.DONE, done.stderr
        assert json.loads(done.stdout)[0]["holds"] == 1
        listed = json.loads(site.run("hold", "list", "-o", "json").stdout)
        assert [row["name"] for row in listed if row["state"] == "in force" and row["name"] == "late"] == [
            "late"
        ]
