"""The files below the store: kills, replaced and missing files, locks, full and read-only disks."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tabard.brokers.delivery.ports import CursorConflict, EpochWork, Presence, StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.consumers.store import database
from tabard.consumers.store.layout import FILES, RECORDS, STATE
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import StoreError
from tests.contract.chain import NOON, WEB, Chain, again, logs

WRITER = """
import sys
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, Chain, logs
with SqliteStore.open(sys.argv[1]) as store:
    chain = Chain()
    for number in range(6):
        store.commit([chain.work(logs(10, 10 * number))], NOON)
        print(chain.cursor.ranges.solid, flush=True)
"""


def counted(store: SqliteStore) -> int:
    """Records in the log."""
    return int(store.connection(RECORDS).execute("SELECT count(*) FROM log").fetchone()[0])


def fault_of(store: SqliteStore) -> str:
    """Why the store cannot be written, empty when it can."""
    return store.fault or ""


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("store.before_cursor", 20),
        ("store.before_rows", 20),
        ("store.before_commit", 20),
        ("store.after_commit", 30),
    ],
)
def test_a_kill_leaves_rows_and_cursor_together(tmp_path: Path, place: str, kept: int) -> None:
    """Killed within the third commit, the store holds all of it or nothing of it."""
    writer = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        env={**os.environ, "TABARD_FAILPOINTS": f"{place}=kill@3"},
        capture_output=True,
        text=True,
    )
    assert (writer.returncode, writer.stdout) == (-signal.SIGKILL, "10\n20\n"), writer.stderr
    chain = Chain()
    with SqliteStore.open(tmp_path) as store:
        found = store.load(WEB, LOGS, [chain.epoch])[chain.epoch]
        assert (found.ranges.solid, found.version, counted(store)) == (kept, kept // 10, kept)
        # The writer's work goes on where the cursor says.
        for start in range(0, kept, 10):
            chain.work(logs(10, start))
        chain.cursor.version = found.version
        store.commit([chain.work(logs(10, kept))], NOON)
        assert counted(store) == kept + 10


def test_a_store_survives_closing(tmp_path: Path) -> None:
    """What was committed is there when it is opened again."""
    chain = Chain()
    with SqliteStore.open(tmp_path) as store:
        store.commit([chain.work(logs(5))], NOON)
    with SqliteStore.open(tmp_path) as store:
        assert store.load(WEB, LOGS, [chain.epoch]) == {chain.epoch: chain.cursor}
        assert counted(store) == 5


def test_an_image_is_the_whole_store() -> None:
    """A store made from an image goes on where that one was, apart from it."""
    chain, control = Chain(), Chain(stream=CONTROL)
    store = SqliteStore.memory()
    store.commit([chain.work(logs(5)), control.work([(NOON, "answer", {})])], NOON)
    copy = SqliteStore.memory(store.image())
    store.commit([again(chain.work(logs(1, start=5)))], NOON)
    assert (counted(store), counted(copy)) == (6, 5)
    assert copy.load(WEB, CONTROL, [control.epoch]) == {control.epoch: control.cursor}
    store.close()
    copy.close()


@pytest.mark.parametrize("image", [b"", b"\0" * 8 + b"\0" * 8, b"rubbish"])
def test_what_is_no_image_is_refused(image: bytes) -> None:
    """With an error of the store."""
    with pytest.raises(StoreError):
        SqliteStore.memory(image)


def test_a_restored_backup_is_noticed_while_running(tmp_path: Path) -> None:
    """The next commit is a conflict, and what is read from then on is the backup's."""
    chain = Chain()
    store = SqliteStore.open(tmp_path / "store")
    store.commit([chain.work(logs(5))], NOON)
    backup = tmp_path / "backup.db"
    with sqlite3.connect(backup) as target:
        store.connection(RECORDS).backup(target)
    target.close()
    store.commit([chain.work(logs(5, start=5))], NOON)
    os.replace(backup, RECORDS.path(tmp_path / "store"))
    with pytest.raises(CursorConflict, match="replaced"):
        store.commit([chain.work(logs(5, start=10))], NOON)
    found = store.load(WEB, LOGS, [chain.epoch])[chain.epoch]
    assert (found.version, found.ranges.solid, counted(store)) == (1, 5, 5)
    assert store.connection(RECORDS).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()


def test_a_backup_noticed_by_a_reading_is_still_a_conflict(tmp_path: Path) -> None:
    """Whatever asks first opens the new file; what was based on the old one must not be committed to it."""
    chain = Chain()
    store = SqliteStore.open(tmp_path / "store")
    work = chain.work(logs(5))
    shutil.copytree(tmp_path / "store", tmp_path / "empty")
    os.replace(tmp_path / "empty" / "records.db", RECORDS.path(tmp_path / "store"))
    assert store.unfinished(WEB, LOGS) == []
    with pytest.raises(CursorConflict):
        store.commit([work], NOON)
    store.commit([work], NOON)
    assert counted(store) == 5
    store.close()


def test_a_restored_file_that_nothing_is_written_to_is_noticed_by_a_beacon(tmp_path: Path) -> None:
    """Whichever of the two it is, and once: a control stream may be silent for days."""
    store = SqliteStore.open(tmp_path / "store")
    shutil.copytree(tmp_path / "store", tmp_path / "empty")
    beacons = [Presence(WEB, NOON, NOON, 10.0, {}, {})]
    store.presence(beacons)
    for kind in FILES:
        os.replace(kind.path(tmp_path / "empty"), kind.path(tmp_path / "store"))
        with pytest.raises(CursorConflict, match=f"{kind.name}.db was replaced"):
            store.presence(beacons)
        store.presence(beacons)
    store.close()


def test_a_foreign_write_ahead_log_is_not_played_into_a_backup(tmp_path: Path) -> None:
    """A reader keeps the old file's log alive beside the new file; SQLite would take it for the new one's."""
    chain = Chain()
    path = RECORDS.path(tmp_path / "store")
    store = SqliteStore.open(tmp_path / "store")
    shutil.copy(path, tmp_path / "backup.db")
    store.commit([chain.work(logs(500))], NOON)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM log").fetchone() == (500,)
    assert path.with_name("records.db-wal").stat().st_size > 0
    os.replace(tmp_path / "backup.db", path)
    with pytest.raises(CursorConflict):
        store.commit([chain.work(logs(1, start=500))], NOON)
    assert counted(store) == 0
    reader.close()
    store.close()


def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """An empty store in its place would silently begin at nothing; the fault says what to do."""
    chain = Chain()
    store = SqliteStore.open(tmp_path)
    store.commit([chain.work(logs(5))], NOON)
    path = RECORDS.path(tmp_path)
    path.rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="gone"):
            store.commit([chain.work(logs(5, start=5))], NOON)
    assert "put it back" in fault_of(store)
    assert not path.exists()
    (tmp_path / "elsewhere").rename(path)
    found = store.load(WEB, LOGS, [chain.epoch])[chain.epoch]
    assert found.ranges.solid == 5
    chain.cursor.ranges = found.ranges
    store.commit([EpochWork(WEB, LOGS, chain.cursor)], NOON)
    assert fault_of(store) == ""
    store.close()


def test_a_lock_is_waited_for_and_then_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: the same work is committed when the lock is gone."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    chain = Chain()
    store = SqliteStore.open(tmp_path)
    work = chain.work(logs(5))
    other = sqlite3.connect(RECORDS.path(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another process keeps the file locked"):
        store.commit([work], NOON)
    assert "locked" in fault_of(store)
    other.execute("COMMIT")
    other.close()
    store.commit([work], NOON)
    assert (fault_of(store), counted(store)) == ("", 5)
    store.close()


def test_a_full_disk_is_reported_and_survived(tmp_path: Path) -> None:
    """A page limit stands for the disk: the commit has no effect, and succeeds when there is room again."""
    chain = Chain()
    store = SqliteStore.open(tmp_path)
    store.commit([chain.work(logs(5))], NOON)
    connection = store.connection(RECORDS)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    work = chain.work(logs(2000, start=5))
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        store.commit([work], NOON)
    assert counted(store) == 5
    connection.execute("PRAGMA max_page_count = 1000000")
    store.commit([work], NOON)
    assert counted(store) == 2005
    store.close()


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    """The reason names the damage."""
    chain = Chain()
    store = SqliteStore.open(tmp_path)
    store.commit([chain.work(logs(2000))], NOON)
    store.close()
    path = RECORDS.path(tmp_path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size * 3 // 4)  # behind the description of the tables
        file.write(os.urandom(size - size * 3 // 4))
    store = SqliteStore.open(tmp_path)
    with pytest.raises(StoreUnavailable, match="damaged"):
        store.commit([chain.work(logs(2000, start=2000))], NOON)
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_is_refused_at_the_start(tmp_path: Path) -> None:
    """With a sentence that names the file."""
    SqliteStore.open(tmp_path).close()
    RECORDS.path(tmp_path).chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"records\.db"):
            SqliteStore.open(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_failed_file_does_not_stop_the_other(tmp_path: Path) -> None:
    """Logs are stored while the control file is away."""
    web, control = Chain(), Chain(stream=CONTROL)
    store = SqliteStore.open(tmp_path)
    STATE.path(tmp_path).rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable):
        store.commit([web.work(logs(3)), control.work([(NOON, "answer", {})])], NOON)
    assert (web.cursor.version, control.cursor.version, counted(store)) == (1, 0, 3)
    (tmp_path / "elsewhere").rename(STATE.path(tmp_path))
    store.close()


def test_idle_moments_keep_the_write_ahead_log_short(tmp_path: Path) -> None:
    """After it every page is in the file: the file alone is a backup of that moment."""
    store = SqliteStore.open(tmp_path)
    store.commit([Chain().work(logs(2000))], NOON)
    store.idle()
    shutil.copy(RECORDS.path(tmp_path), tmp_path / "copy.db")
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT count(*) FROM log").fetchone() == (2000,)
    copy.close()
    store.close()
    store.idle()


def test_totals_are_kept(tmp_path: Path) -> None:
    """They are committed with the rows they count."""
    store = SqliteStore.open(tmp_path)
    chain = Chain()
    store.commit([chain.work(logs(5), logs(2, start=5))], NOON)
    store.commit([chain.work(logs(3, start=7))], NOON)
    assert store.connection(RECORDS).execute("SELECT stream, rows FROM usage").fetchall() == [(LOGS, 10)]
    store.close()
