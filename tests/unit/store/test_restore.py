"""A backup in place of a store on SQLite: both files or none, and what was there is put aside."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tabard import exits
from tabard.brokers.delivery.ports import CursorConflict
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.consumers.store import backup_engines, backup_sqlite, restoring
from tabard.consumers.store.backup_manifest import Manifest
from tabard.consumers.store.layout import RECORDS, RESTORING
from tabard.consumers.store.place import Place
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import AlreadyRunning, NewerStore, RefusedError, StoreError
from tabard.home import Home
from tabard.locks import hold, hold_directory
from tests import schemas
from tests.contract.chain import NOON, WEB, logs
from tests.integration.upping import TABARD, environment, tabard
from tests.unit.store.backing import BACKED, LATER, Site, flip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One."""
    return Site(tmp_path)


def test_a_restored_store_is_what_it_was(site: Site) -> None:
    """And what was there is put aside, whole."""
    done = site.run("restore", str(site.backup), "-o", "json")
    assert done.returncode == exits.DONE, done.stderr
    (row,) = json.loads(done.stdout)
    assert site.counts() == (BACKED, BACKED)
    assert site.counts(Path(row["aside"])) == (BACKED + LATER, BACKED + LATER)
    assert row["records"] == 2 * BACKED
    assert not (site.store / RESTORING).exists()
    assert backup_engines.verify(site.backup) == site.manifest


def test_a_store_that_is_lost_is_restored(site: Site) -> None:
    """There is nothing to be put aside then."""
    shutil.rmtree(site.store)
    done = restoring.restore(site.backup, site.manifest, site.store)
    assert (done.aside, site.counts()) == ("", (BACKED, BACKED))


def test_a_write_ahead_log_goes_with_its_file(site: Site) -> None:
    """What a killed recorder had not moved yet is part of the store that is put aside, and of no other."""
    code = (
        "import os, sys; from pathlib import Path; from tests.unit.store.backing import Site;"
        "from tabard.consumers.store.sqlite import SqliteStore; path = Path(sys.argv[1]); path.mkdir();"
        "site = Site(path); store = SqliteStore.open(site.store); site.add(store, 50); os.kill(os.getpid(), 9)"
    )
    path = site.home.parent / "killed"
    subprocess.run([TABARD[0], "-c", code, str(path)], check=False, env=environment(site.home))
    store = path / "home" / "store"
    assert RECORDS.path(store).with_name("records.db-wal").stat().st_size > 0
    done = restoring.restore(path / "backup", Manifest.read(path / "backup"), store)
    assert site.counts(store) == (BACKED, BACKED)
    assert site.counts(Path(done.aside)) == (BACKED + LATER + 50, BACKED + LATER + 50)


MOVES = [f"restore.moved=kill@{number}" for number in range(1, 9)]


@pytest.mark.parametrize("point", ["restore.staged=kill", "restore.decided=kill", *MOVES])
def test_a_restoration_that_is_killed_is_finished_or_never_was(
    site: Site, tmp_path: Path, point: str
) -> None:
    """At no moment does the next recorder begin with one file of each."""
    killed = site.run("restore", str(site.backup), TABARD_FAILPOINTS=point)
    assert killed.returncode == -signal.SIGKILL
    assert (site.store / RESTORING).exists()
    with pytest.raises(StoreError, match="a restoration was interrupted"):
        backup_sqlite.backup(site.store, tmp_path / "mixed", "main")
    assert tabard(site.home, "recorder", "--once", "--idle", "100ms").returncode == exits.DONE
    expected = BACKED + LATER if "staged" in point else BACKED
    assert site.counts() == (expected, expected)
    aside = list(site.store.glob("before-restore-*"))
    assert [site.counts(path) for path in aside] == (
        [] if "staged" in point else [(BACKED + LATER, BACKED + LATER)]
    )
    assert not (site.store / RESTORING).exists()


def test_the_moves_are_all_of_them(site: Site) -> None:
    """The test above kills at each."""
    done = site.run("restore", str(site.backup), TABARD_FAILPOINTS=f"restore.moved=kill@{len(MOVES) + 1}")
    assert done.returncode == exits.DONE


@pytest.mark.parametrize("point", ["restore.staged=kill", "restore.decided=kill", "restore.moved=kill@3"])
def test_a_restoration_that_is_killed_is_done_again(site: Site, point: str) -> None:
    """By the same command; or an upgrade finishes it."""
    assert site.run("restore", str(site.backup), TABARD_FAILPOINTS=point).returncode == -signal.SIGKILL
    again = site.run("upgrade") if "moved" in point else site.run("restore", str(site.backup))
    assert again.returncode == exits.DONE
    assert site.counts() == (BACKED, BACKED)


def test_a_disk_that_fails_within_changes_nothing(site: Site) -> None:
    """Before it is decided what is there stays; after it the next start goes on."""
    failed = site.run("restore", str(site.backup), TABARD_FAILPOINTS="restore.staged=error")
    assert failed.returncode == exits.FAILED
    assert (site.counts()[0], (site.store / RESTORING).exists()) == (BACKED + LATER, False)
    failed = site.run("restore", str(site.backup), TABARD_FAILPOINTS="restore.moved=error")
    assert failed.returncode == exits.FAILED
    SqliteStore.open(site.store).close()
    assert site.counts() == (BACKED, BACKED)


def test_a_damaged_backup_is_not_restored(site: Site) -> None:
    """And nothing has changed."""
    flip(RECORDS.path(site.backup))
    done = site.run("restore", str(site.backup))
    assert done.returncode == exits.FAILED
    assert "the backup is damaged" in done.stderr
    assert (site.counts()[0], (site.store / RESTORING).exists()) == (BACKED + LATER, False)


def test_a_backup_that_does_not_fit_is_refused(site: Site, tmp_path: Path) -> None:
    """Of another engine, another sink, or a newer schema."""
    place = Place(str(site.store))
    refuse = backup_engines.refuse_unfit
    with pytest.raises(RefusedError, match="another kind of store"):
        refuse(Place(url="postgresql://x@y/z"), "main", site.backup, site.manifest, upgrade=False)
    with pytest.raises(RefusedError, match="another sink"):
        refuse(place, "other", site.backup, site.manifest, upgrade=False)
    newer = site.manifest._replace(parts=[part._replace(schema="9999") for part in site.manifest.parts])
    with pytest.raises(NewerStore):
        refuse(place, "main", site.backup, newer, upgrade=True)
    done = site.run("restore", str(site.backup), TABARD_RECORDER_SINK="other")
    assert (done.returncode, "recorder.sink" in done.stderr) == (exits.REFUSED, True)
    assert site.counts()[0] == BACKED + LATER


def test_an_older_backup_is_upgraded_when_told_so(site: Site, tmp_path: Path) -> None:
    """The backup itself stays as it is."""
    oldest = schemas.versions()[0]
    schemas.make_sqlite(tmp_path / "old", oldest)
    backup_sqlite.backup(tmp_path / "old", tmp_path / "older", "main")
    refused = site.run("restore", str(tmp_path / "older"))
    assert (refused.returncode, "--upgrade" in refused.stderr) == (exits.REFUSED, True)
    done = site.run("restore", "--upgrade", str(tmp_path / "older"), "-o", "json")
    assert json.loads(done.stdout)[0]["upgraded"] is True
    SqliteStore.open(site.store).close()
    assert backup_engines.verify(tmp_path / "older").schema == oldest


def test_a_recorder_that_runs_is_in_the_way(site: Site) -> None:
    """Unless one says that it may find out by itself; and none is started meanwhile."""
    with hold(Home(site.home).ensure().lock("recorder")):
        refused = site.run("restore", str(site.backup))
        assert (refused.returncode, "recorder is already running" in refused.stderr) == (exits.REFUSED, True)
        assert site.counts()[0] == BACKED + LATER
        assert site.run("restore", "--while-running", str(site.backup)).returncode == exits.DONE
    with hold_directory(site.store, "a test"), pytest.raises(AlreadyRunning):
        restoring.restore(site.backup, site.manifest, site.store)


def test_a_recorder_notices_a_restored_store_at_its_next_commit(site: Site) -> None:
    """In both files; what it goes on with is what the backup has."""
    with SqliteStore.open(site.store) as store:
        restoring.restore(site.backup, site.manifest, site.store)
        for stream, chain in ((LOGS, site.chain), (CONTROL, site.control)):
            records = logs(1) if stream == LOGS else [(NOON, "answer", {})]
            with pytest.raises(CursorConflict, match="replaced"):
                store.commit([chain.work(records)], NOON)
            assert store.load(WEB, stream, [chain.epoch])[chain.epoch].ranges.solid == BACKED
    assert site.counts() == (BACKED, BACKED)


def test_a_hold_in_force_stays_in_force(site: Site) -> None:
    """It was made after the backup; one of the same name in the backup that covers something else stays too."""
    for words in (["early"], ["same", "--node", "web1"]):
        assert site.run("hold", "add", *words, "--reason", "r").returncode == exits.DONE
    shutil.rmtree(site.backup)
    assert site.run("backup", str(site.backup)).returncode == exits.DONE
    for words in (["release", "same"], ["add", "same", "--node", "db1"], ["add", "late"]):
        assert site.run("hold", *words, "--reason", "r").returncode == exits.DONE
    done = site.run("restore", str(site.backup), "-o", "json")
    assert json.loads(done.stdout)[0]["holds"] == 2, done.stderr
    listed = json.loads(site.run("hold", "list", "-o", "json").stdout)
    assert [(row["name"].split(" before ")[0], row["node"]) for row in listed] == [
        ("early", None),
        ("late", None),
        ("same", "web1"),
        ("same", "db1"),
    ]
