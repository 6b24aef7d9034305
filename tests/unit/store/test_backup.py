"""Backups of a store on SQLite: one moment of each file, whole or not there."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest

from tabard import exits
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import backup_engines, backup_sqlite
from tabard.consumers.store.backup import PARTIAL
from tabard.consumers.store.backup_manifest import MANIFEST, Manifest
from tabard.consumers.store.layout import FILES, RECORDS
from tabard.consumers.store.place import Place
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import RefusedError, StoreError, UsageError
from tabard.home import Home
from tabard.locks import hold_directory
from tests import schemas
from tests.chaos import disk
from tests.conftest import Need
from tests.contract.chain import NOON, WEB, Chain, logs
from tests.unit.store.backing import Site, flip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One."""
    return Site(tmp_path)


def left(directory: Path) -> list[str]:
    """What a backup that was not finished has left there."""
    return [path.name for path in directory.iterdir() if path.name.endswith(PARTIAL)]


# --- backing up --------------------------------------------------------------------------------------


def test_a_backup_is_one_moment_while_records_come_in(tmp_path: Path) -> None:
    """Its rows end where its cursor ends, and its copy ends though the file is written all the time."""
    chain = Chain()
    store = SqliteStore.open(tmp_path / "store")
    for _ in range(40):
        store.commit([chain.work(logs(256, start=chain.next - 1))], NOON)
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            store.commit([chain.work(logs(64, start=chain.next - 1))], NOON)
            store.after_commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        first, second = (
            backup_sqlite.backup(tmp_path / "store", tmp_path / name, "main") for name in ("one", "two")
        )
    finally:
        over.set()
        writer.join()
        store.close()
    assert second.records > first.records >= 40 * 256
    for name, manifest in (("one", first), ("two", second)):
        assert backup_engines.verify(tmp_path / name) == manifest
        with SqliteStore.open(tmp_path / name) as copy:
            solid = copy.load(WEB, LOGS, [chain.epoch])[chain.epoch].ranges.solid
            seqs = copy.connection(RECORDS).execute("SELECT min(seq), max(seq), count(*) FROM log").fetchone()
        assert seqs == (1, solid, solid) == (1, manifest.records, manifest.records)


def test_an_older_store_can_be_backed_up(tmp_path: Path) -> None:
    """That is what one does before an upgrade."""
    schemas.make_sqlite(tmp_path / "store", schemas.versions()[0])
    manifest = backup_sqlite.backup(tmp_path / "store", tmp_path / "backup", "main")
    assert manifest.schema == schemas.versions()[0]
    assert backup_engines.verify(tmp_path / "backup") == manifest


@pytest.mark.parametrize("point", ["backup.copied=kill", "backup.copied=kill@2", "backup.checked=kill"])
def test_a_backup_that_is_killed_is_not_there(site: Site, tmp_path: Path, point: str) -> None:
    """And the next one removes what it has left, whatever name that has."""
    killed = site.run("backup", str(tmp_path / "other"), TABARD_FAILPOINTS=point)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "other").exists()
    assert left(tmp_path)
    assert site.run("backup", str(tmp_path / "third")).returncode == exits.DONE
    assert not left(tmp_path)
    assert site.run("backup", "--verify", str(tmp_path / "third")).returncode == exits.DONE


def test_a_backup_that_has_its_name_is_whole(site: Site, tmp_path: Path) -> None:
    """Whatever happens afterwards."""
    killed = site.run("backup", str(tmp_path / "other"), TABARD_FAILPOINTS="backup.named=kill")
    assert killed.returncode == -signal.SIGKILL
    assert site.run("backup", "--verify", str(tmp_path / "other")).returncode == exits.DONE


def test_a_target_that_is_taken_or_within_the_store_is_refused(site: Site, tmp_path: Path) -> None:
    """Nothing is overwritten, and nothing is made where it would be lost with the store."""
    again = site.run("backup", str(site.backup))
    assert again.returncode == exits.REFUSED
    assert "no backup is overwritten" in again.stderr
    (tmp_path / "link").symlink_to(site.store)
    for inside in (site.store / "b", tmp_path / "link" / "b"):
        with pytest.raises(UsageError, match="would be lost with it"):
            backup_sqlite.backup(site.store, inside, "main")
    assert site.run("backup", str(site.store / "b")).returncode == exits.WRONG_USE
    assert not left(site.store)


def test_a_place_that_cannot_be_written_is_said(site: Site, tmp_path: Path) -> None:
    """No directory, or something that is none."""
    for target in (tmp_path / "no" / "such" / "place", site.backup / MANIFEST / "b"):
        with pytest.raises(StoreError, match="cannot be made there"):
            backup_sqlite.backup(site.store, target, "main")


def test_two_backups_of_one_name_do_not_meet(site: Site, tmp_path: Path) -> None:
    """The second says that there is a first, and leaves it alone."""
    partial = tmp_path / f".other{PARTIAL}"
    partial.mkdir()
    (partial / "records.db").touch()
    with hold_directory(partial, "a test"), pytest.raises(RefusedError, match="another process"):
        backup_sqlite.backup(site.store, tmp_path / "other", "main")
    assert (partial / "records.db").exists()


def test_a_full_disk_is_said_before_and_during(site: Site, tmp_path: Path, need: Need) -> None:
    """And nothing is left on it."""
    need.that(disk.may_mount(tmp_path / "try"), "the right to mount a tmpfs")
    target = tmp_path / "small" / "b"
    with disk.small_disk(target.parent, "100k"), pytest.raises(StoreError, match="no room for the backup"):
        backup_sqlite.backup(site.store, target, "main")
    size = sum(kind.path(site.store).stat().st_size for kind in FILES)
    with disk.small_disk(target.parent, f"{size // 1024 + 24}k"), SqliteStore.open(site.store) as store:
        for _ in range(3):  # into the write-ahead log, which is not counted and is in the copy
            site.add(store, 2000)
        with pytest.raises(StoreError, match=r"cannot be written.*(full|space)"):
            backup_sqlite.backup(site.store, target, "main")
        assert list(target.parent.iterdir()) == []


def test_a_store_that_is_damaged_or_none_is_said(tmp_path: Path) -> None:
    """A backup of it would be worth nothing."""
    site = Site(tmp_path)
    path = RECORDS.path(site.store)
    content = bytearray(path.read_bytes())
    content[8192:20480] = bytes(12288)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"records\.db.*(damaged|cannot be read)"):
        backup_sqlite.backup(site.store, tmp_path / "other", "main")
    with pytest.raises(StoreError, match="store not found"):
        backup_sqlite.backup(tmp_path / "nothing", tmp_path / "other", "main")
    assert not (tmp_path / "other").exists()
    assert not left(tmp_path)


# --- verifying ---------------------------------------------------------------------------------------


def test_what_became_of_a_backup_is_found(site: Site) -> None:
    """A byte that changed, an end that is missing, a file that is gone."""
    path = RECORDS.path(site.backup)
    whole = path.read_bytes()
    flip(path)
    with pytest.raises(StoreError, match=r"damaged: expected SHA-256"):
        backup_engines.verify(site.backup)
    assert site.run("backup", "--verify", str(site.backup)).returncode == exits.FAILED
    path.write_bytes(whole[:-4096])
    with pytest.raises(StoreError, match=rf"damaged: expected {len(whole)} bytes"):
        backup_engines.verify(site.backup)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        backup_engines.verify(site.backup)


def test_a_manifest_is_not_believed_alone(site: Site) -> None:
    """Whose digests fit may still hold other rows than it says."""
    manifest = json.loads((site.backup / MANIFEST).read_text())
    manifest["parts"][1]["rows"]["log"] += 1
    (site.backup / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="does not hold what it says"):
        backup_engines.verify(site.backup)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("kind", "something", "manifest of the backup is damaged"),
        ("format", 2, "newer form"),
        ("engine", "oracle", "manifest of the backup is damaged"),
        ("files", [{"name": "../records.db", "bytes": 1, "sha256": ""}], "manifest of the backup is damaged"),
        ("files", [], "manifest of the backup is damaged"),
        ("parts", 7, "manifest of the backup is damaged"),
        ("made", None, "manifest of the backup is damaged"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(site: Site, key: str, value: object, error: str) -> None:
    """Also one that leads out of its directory."""
    manifest = json.loads((site.backup / MANIFEST).read_text())
    (site.backup / MANIFEST).write_text(json.dumps({**manifest, key: value}))
    with pytest.raises((StoreError, RefusedError), match=error):
        backup_engines.verify(site.backup)


def test_what_is_no_backup_is_said(site: Site, tmp_path: Path) -> None:
    """A directory without a manifest, and one with half of it."""
    with pytest.raises(StoreError, match="not a backup of a store"):
        Manifest.read(site.store)
    (site.backup / MANIFEST).write_text('{"kind": ')
    for words in (["backup", "--verify"], ["restore"]):
        done = site.run(*words, str(site.backup))
        assert done.returncode == exits.FAILED
        assert "manifest of the backup is damaged" in done.stderr
    assert site.run("restore", str(tmp_path / "nothing")).returncode == exits.FAILED


# --- what it is remembered by ------------------------------------------------------------------------


def test_the_last_backup_is_remembered(site: Site, tmp_path: Path) -> None:
    """Beside the store."""
    place = Place(str(site.store))
    home = Home(site.home)
    assert backup_engines.last(place, home) is None
    done = site.run("backup", str(tmp_path / "other"), "-o", "json")
    (row,) = json.loads(done.stdout)
    noted = backup_engines.last(place, home)
    assert noted is not None
    assert (noted.target, noted.bytes) == (row["backup"], row["bytes"])
    (site.store / "backup.json").write_text("{}")
    assert backup_engines.last(place, home) is None
