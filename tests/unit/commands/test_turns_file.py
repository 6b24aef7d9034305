"""The file by which a dispatcher sees that its store was put back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tabard import files
from tabard.consumers.commands.asked import AskedTables
from tabard.consumers.commands.course import SECOND, SENT, Rules
from tabard.consumers.commands.desk import Desk
from tabard.consumers.commands.ports import Marks
from tabard.consumers.commands.role import TurnsFile
from tabard.consumers.store.place import Place
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON
from tests.unit.commands.test_tables import document, order


@pytest.mark.threat("restored-dispatcher-store")
def test_a_store_from_before_a_sending_is_noticed(tmp_path: Path) -> None:
    """What it does not tell may have happened: what had not ended by then is doubtful."""
    live, kept = tmp_path / "live", tmp_path / "kept"
    SqliteStore.open(live).close()
    witness = TurnsFile(tmp_path / "turns")
    tables = AskedTables(Place(str(live)))
    assert tables.open()
    (item,) = tables.add([(order(document()), document(), "operator ada of hq")], 0, NOON)
    tables.close()
    shutil.copytree(live, kept)

    assert tables.open()
    Desk(tables, Rules(SECOND), witness).start(NOON)
    tables.commit([item._replace(course=item.course._replace(state=SENT, attempts=1))], [], Marks(0, 1), NOON)
    witness.write(1)
    tables.close()
    for place, restored in ((live, False), (kept, True), (kept, False)):
        again = AskedTables(Place(str(place)))
        assert again.open()
        desk = Desk(again, Rules(SECOND), witness)
        desk.start(NOON)
        assert desk.restored == restored
        assert again.unfinished()[0].course.doubtful == (place == kept)
        again.close()


@pytest.mark.parametrize("text", ["", "x", "-1", "9" * 40, "\u00b2"])
def test_a_file_that_says_nothing_is_none(tmp_path: Path, text: str) -> None:
    """It was damaged, or never written."""
    path = tmp_path / "turns"
    path.write_text(text, encoding="utf-8")
    assert TurnsFile(path).read() == 0
    assert TurnsFile(tmp_path / "none").read() == 0


def test_what_was_written_outlasts_a_power_cut_once_it_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all that was written since, and never for nothing."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync", synced.append)
    turns = TurnsFile(tmp_path / "turns")
    turns.settle()
    turns.write(1)
    turns.write(2)
    assert synced == []
    turns.settle()
    turns.settle()
    assert (turns.read(), synced) == (2, [tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == ["turns"]


def test_a_number_is_written_over_in_place(tmp_path: Path) -> None:
    """Over that of an earlier version too, whatever its length; the file stays the same, so no rename waits for the disk."""
    path = tmp_path / "turns"
    path.write_text("1234567890\n", encoding="ascii")
    before = path.stat().st_ino
    witness = TurnsFile(path)
    for turns in (1234567891, 7, 10**18 - 1, 8):
        witness.write(turns)
        assert witness.read() == turns
    assert path.stat().st_ino == before
    assert [each.name for each in tmp_path.iterdir()] == ["turns"]
