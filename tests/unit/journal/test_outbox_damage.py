"""An outbox whose files are cut, ruined, replaced or removed says what it lacks."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tabard import failpoints
from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox import Outbox
from tabard.agents.journal.outbox_file import open_outbox
from tabard.brokers.wire.batch import DATA, GAP
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.streams import CONTROL
from tests.authors import author
from tests.unit.journal.rig import SimClock
from tests.unit.journal.test_outbox import everything

LIMITS = Limits(bytes=1 << 20, keep_acked=0)


class Desk:
    """A directory with an outbox in it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "control"
        self.rng = Random(3)
        self.outbox = self.open()

    @property
    def file(self) -> Path:
        """The database."""
        return self.path / "outbox.db"

    def open(self) -> Outbox:
        """Start on what is there, as after a kill: what was open stays as it is."""
        self.outbox = open_outbox(
            str(self.path), author(CONTROL, self.rng.randbytes, clock=SimClock()), LIMITS
        )
        return self.outbox

    def kill(self) -> None:
        """Die: the database is let go, and nothing else happens."""
        self.outbox._database.close()

    def add(self, times: int = 1) -> None:
        """Answers, each committed."""
        for _ in range(times):
            self.outbox.append(self.rng.randbytes(400), 1, {"s": 1})

    def answers(self) -> int:
        """How many are there."""
        return sum(batch.header.kind == DATA for batch in everything(self.outbox))

    def kinds(self) -> set[str]:
        """Kinds of the faults known."""
        return {fault.kind for fault in self.outbox.faults()}

    def opening(self) -> dict[str, Any]:
        """What the newest OPEN says."""
        batch = self.outbox.read(self.outbox.spans()[-1].epoch, 1)
        assert batch is not None
        facts: dict[str, Any] = unpack(batch.body)
        return facts


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """With forty answers."""
    desk = Desk(tmp_path)
    desk.add(40)
    return desk


def cut(size: int) -> Callable[[Path], None]:
    """Cut a file."""
    return lambda path: os.truncate(path, size)


def ruin(offset: int) -> Callable[[Path], None]:
    """Overwrite some bytes."""

    def change(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"\xa5" * 64)

    return change


@pytest.mark.parametrize("closed", [False, True], ids=["killed", "closed"])
@pytest.mark.parametrize(
    "change",
    [cut(0), cut(1), cut(100), cut(4096), cut(8192), cut(24_000), ruin(0), Path.unlink],
    ids=["empty", "1", "100", "4096", "8192", "24000", "ruined", "removed"],
)
def test_a_database_that_lost_what_was_committed_says_so(
    desk: Desk, change: Callable[[Path], None], closed: bool
) -> None:
    """The missing answers are a gap, the epoch says that there may be more, and the file is kept."""
    end = desk.outbox.spans()[-1]
    if closed:
        desk.outbox.close()
    desk.kill()
    change(desk.file)
    desk.open()
    assert desk.answers() < 40
    gaps = [batch.header for batch in everything(desk.outbox) if batch.header.kind == GAP]
    assert (gaps[-1].epoch, gaps[-1].last) == (end.epoch, end.last)
    facts = desk.opening()
    assert (facts["previous"], facts["previous_last"], facts["previous_digest"]) == end[0:1] + end[2:4]
    assert facts["clean"] is False
    assert facts["lost"] == {"at_least": 0, "reason": "torn"} and "lost" in facts["doubt"]
    assert desk.kinds() & {"quarantined", "damaged"}
    assert change is Path.unlink or (desk.path / "quarantine" / "outbox.db.0").exists()
    desk.add()
    before = everything(desk.outbox)
    desk.kill()
    desk.open()
    assert everything(desk.outbox)[:-1] == before
    assert desk.opening()["doubt"] is None


def test_nothing_that_was_committed_waits_beside_the_file(desk: Desk) -> None:
    """The database alone, without any file that lies next to it, holds every answer."""
    desk.kill()
    for path in desk.path.iterdir():
        if path != desk.file:
            path.unlink()
    desk.open()
    assert desk.answers() == 40
    assert desk.kinds() == set() and desk.opening()["doubt"] is None


def test_an_older_copy_of_the_database_is_noticed(desk: Desk) -> None:
    """A whole one, with nothing wrong in it but its age."""
    desk.kill()
    copy = desk.file.with_suffix(".copy")
    shutil.copy(desk.file, copy)
    desk.open()
    desk.add(5)
    end = desk.outbox.spans()[-1]
    desk.kill()
    copy.replace(desk.file)
    desk.open()
    assert desk.answers() == 40
    assert [(b.header.epoch, b.header.first, b.header.last) for b in everything(desk.outbox)][-2] == (
        end.epoch,
        1,
        end.last,
    )
    assert desk.opening()["doubt"] and "damaged" in desk.kinds()


def test_an_older_note_claims_nothing(desk: Desk) -> None:
    """It is a lower bound; so is a ruined one."""
    old = (desk.path / "tidemark").read_bytes()
    desk.kill()
    desk.open()
    desk.add(3)
    desk.kill()
    for note in (old, b"", b"x" * 512):
        (desk.path / "tidemark").write_bytes(note)
        desk.open()
        assert desk.answers() == 43 and desk.opening()["doubt"] is None
        desk.kill()


def test_an_altered_row_is_damage(desk: Desk) -> None:
    """A head that can be read and is not what was committed breaks no chain."""
    rows = desk.outbox._database.connection()
    (head,) = rows.execute("SELECT head FROM outbox_batch WHERE first = 9").fetchone()
    rows.execute("UPDATE outbox_batch SET head = ? WHERE first = 8", (head,))
    rows.execute(
        "UPDATE outbox_batch SET body = (SELECT body FROM outbox_batch WHERE first = 9) WHERE first = 8"
    )
    kept = everything(desk.outbox)
    assert [batch.header.first for batch in kept if batch.header.kind == GAP] == [8]


def test_a_start_that_was_killed_before_the_first_commit_lost_nothing(tmp_path: Path) -> None:
    """The database gets its name when it is whole."""
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "outbox.db.new").write_bytes(b"half")
    desk = Desk(tmp_path)
    assert desk.opening()["doubt"] is None and desk.kinds() == set()


@pytest.mark.parametrize("how", ["removed", "replaced", "directory"])
def test_a_database_replaced_while_it_is_open_is_put_back(desk: Desk, how: str, tmp_path: Path) -> None:
    """What was committed is still held open: it gets its name again, and a new epoch says what happened."""
    before = everything(desk.outbox)
    if how == "directory":
        shutil.rmtree(desk.path)
    else:
        desk.file.unlink()
    if how == "replaced":
        other = Desk(tmp_path / "other")
        other.outbox.close()
        other.file.replace(desk.file)
    desk.outbox.enforce(0.0)
    assert "replaced" in desk.kinds()
    assert "replaced" in desk.opening()["doubt"]
    desk.add()
    after = everything(desk.outbox)
    assert after[: len(before)] == before and desk.answers() == 41
    assert (desk.path / "quarantine" / "outbox.db.0").exists() == (how == "replaced")
    desk.kill()
    desk.open()
    assert everything(desk.outbox)[: len(after)] == after
    assert desk.opening()["doubt"] is None


def test_a_commit_never_goes_into_a_file_that_lost_its_name(desk: Desk) -> None:
    """Also when nobody looked in between, and when the caller brings more into the transaction."""
    desk.file.unlink()
    with desk.outbox.transaction() as db:
        db.execute("CREATE TABLE work (id INTEGER)")
        desk.add()
    desk.kill()
    desk.open()
    assert desk.answers() == 41
    with desk.outbox.transaction() as db:
        assert db.execute("SELECT count(*) FROM work").fetchone() == (0,)


def test_what_cannot_be_put_back_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it can; nothing is accepted meanwhile, and nothing is lost by it."""
    desk.file.unlink()

    def refuse(path: str) -> None:
        raise OSError(28, "No space left on device", path)

    with monkeypatch.context() as patched:
        patched.setattr("tabard.agents.journal.outbox_file.RealDisk.sync_directory", refuse)
        patched.setattr("tabard.agents.journal.outbox_file.os.rename", lambda *_: refuse(""))
        with pytest.raises(DiskRefused, match="put back"):
            desk.add()
    desk.add()
    assert desk.answers() == 41


def test_an_outbox_of_before_is_taken_over(tmp_path: Path) -> None:
    """One that was written with a log beside it, whose process was killed."""
    desk = Desk(tmp_path)
    rows = desk.outbox._database.connection()
    assert rows.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    desk.kill()
    with sqlite3.connect(desk.file, isolation_level=None) as old:
        old.execute("PRAGMA journal_mode = WAL")
    desk.open()
    desk.add()
    assert not desk.file.with_name("outbox.db-wal").exists()
    assert desk.answers() == 1


def test_a_gap_that_could_not_be_committed_is_not_forgotten(desk: Desk) -> None:
    """The first start after the loss dies or is refused: the next one says it."""
    desk.kill()
    desk.file.unlink()
    try:
        failpoints.arm("outbox.before_commit=error")
        desk.open()
    finally:
        failpoints.arm("")
    desk.add()
    assert [batch.header.kind for batch in everything(desk.outbox)].count(GAP) == 1
    assert desk.opening()["doubt"]
