"""The audit of a home with real roles: what is done is accounted for once, and whoever alters the store afterwards is found out."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tabard import audit, exits
from tabard.brokers.delivery.ranges import Ranges, decode_ranges
from tabard.home import Home
from tests.integration.test_signed import HERE, ROLES, keys, wait
from tests.integration.upping import Started, tabard

Done = list[dict[str, Any]]


def listed(home: Path, *words: str) -> Done:
    """The entries that are shown."""
    done = tabard(home, "audit", "list", *words, "-o", "json")
    assert done.returncode == exits.DONE, done.stderr
    found: Done = json.loads(done.stdout)
    return found


def verified(home: Path, *words: str) -> tuple[int, list[tuple[str, int]]]:
    """The exit code of a verification, and the faults it found."""
    done = tabard(home, "audit", "verify", *words, "-o", "json")
    rows = json.loads(done.stdout)
    return done.returncode, [(row["what"], row["first"]) for row in rows if row["first"] is not None]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose roles ran and ended, with entries of several kinds in its store."""
    home = tmp_path_factory.mktemp("audited") / "home"
    keys(home)
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        for name in ("web7", "web8", "web9"):
            words = ("node", "add", name, "--zone", "hq", "--out", str(home.parent / f"{name}.tabard"))
            assert tabard(home, *words).returncode == exits.DONE
        again = tabard(
            home, "node", "add", "web9", "--zone", "hq", "--out", str(home.parent / "again.tabard")
        )
        assert again.returncode == exits.REFUSED, again.stderr
        wait(
            lambda: len(listed(home)) >= 4 and not list((home / "audit").iterdir()), "entries are not stored"
        )
        wait(lambda: verified(home) == (exits.DONE, []), "the store is not whole")
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    copy = tmp_path / "home"
    shutil.copytree(kept, copy, ignore=shutil.ignore_patterns("run", "*.sock"))
    return copy


def test_who_did_what_is_shown(kept: Path) -> None:
    """With whom it was done to, and how it ended."""
    found = [
        (row["kind"], row["what"].get("name"), row["outcome"])
        for row in listed(kept)
        if row["kind"] == "node.add"
    ]
    assert found[:3] == [("node.add", name, "done") for name in ("web7", "web8", "web9")]
    assert found[3] == ("node.add", "web9", "refused")
    assert "web9" in listed(kept)[-1]["detail"]
    assert {row["who"] for row in listed(kept)} == {audit.somebody()}
    assert {row["node"] for row in listed(kept)} == {"web1"}
    assert [row["what"]["name"] for row in listed(kept, "--kind", "node.add", "-n", "1")] == ["web9"]
    table = tabard(kept, "audit").stdout
    assert "node.add" in table and "web9" in table


def change(home: Path, *statements: str) -> None:
    """Somebody who can write the file."""
    with sqlite3.connect(home / "store" / "state.db") as db:
        for text in statements:
            assert db.execute(text).rowcount
    db.close()


THIRD = "(SELECT id FROM control WHERE kind = 'audit.node.add' ORDER BY id LIMIT 1 OFFSET 2)"


def flip(home: Path) -> None:
    """One bit of one record."""
    with sqlite3.connect(home / "store" / "state.db") as db:
        (data,) = db.execute(f"SELECT data FROM control WHERE id = {THIRD}").fetchone()
        at = data.index(b"web9")
        db.execute(f"UPDATE control SET data = ? WHERE id = {THIRD}", (data[:at] + b"v" + data[at + 1 :],))
    db.close()


def drop(home: Path) -> None:
    """One record."""
    change(home, f"DELETE FROM control WHERE id = {THIRD}")


def drop_with_its_header(home: Path) -> None:
    """One record, and what says that it was there."""
    change(home, f"DELETE FROM batch WHERE first = (SELECT seq FROM control WHERE id = {THIRD})")
    drop(home)


def cut(home: Path) -> None:
    """The newest records, down to before the end that the last beacon named, their headers, and the cursor that has them."""
    with sqlite3.connect(home / "store" / "records.db") as db:
        (state,) = db.execute("SELECT state FROM presence").fetchone()
    db.close()
    head = json.loads(state)["control"]
    keep = head["last"] - 1
    with sqlite3.connect(home / "store" / "state.db") as db:
        (epoch, ranges) = db.execute(
            "SELECT id, ranges FROM epoch WHERE uid = ?", (bytes.fromhex(head["epoch"]),)
        ).fetchone()
        whole = decode_ranges(ranges).items[-1]
        db.execute("DELETE FROM control WHERE epoch_id = ? AND seq > ?", (epoch, keep))
        db.execute("DELETE FROM batch WHERE epoch_id = ? AND first > ?", (epoch, keep))
        cut_off = Ranges([whole._replace(hi=keep)]).encode()
        db.execute("UPDATE epoch SET ranges = ? WHERE id = ?", (cut_off, epoch))
    db.close()


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        pytest.param(flip, "altered", marks=pytest.mark.threat("audit-altered")),
        pytest.param(drop, "missing", marks=pytest.mark.threat("audit-dropped")),
        pytest.param(drop_with_its_header, "missing", marks=pytest.mark.threat("audit-dropped")),
        pytest.param(cut, "cut", marks=pytest.mark.threat("audit-cut")),
    ],
)
def test_who_alters_the_store_is_found_out(home: Path, attack: Callable[[Path], None], found: str) -> None:
    """By anybody who has the root's certificate."""
    assert verified(home) == (exits.DONE, [])
    attack(home)
    code, faults = verified(home)
    assert code == exits.FAILED
    assert found in {what for what, _first in faults}  # the newest beacon may have named what is gone, too
    assert {what for what, _first in faults} <= {found, "cut"}


def cover_by_a_gap(home: Path) -> None:
    """One record and its header, and a line that it was lost."""
    change(
        home,
        "INSERT INTO gap (node_id, epoch_id, stream, first, last, count, at_least, kind, reason, detail, time, arrived)"
        f" SELECT node_id, epoch_id, 1, seq, seq, 1, 0, 'gap', 'damaged', '', time, arrived FROM control WHERE id = {THIRD}",
    )
    drop_with_its_header(home)


def cover_by_an_erasure(home: Path) -> None:
    """The same, and a line that somebody asked for it."""
    change(
        home,
        "INSERT INTO erasure (uid, made, made_by, reason, node, digests, erased, held)"
        " VALUES ('u', 1, 'ann', 'request 12', 'web1', '', 1, 0)",
    )
    drop_with_its_header(home)


@pytest.mark.threat("audit-dropped")
@pytest.mark.parametrize("attack", [cover_by_a_gap, cover_by_an_erasure])
def test_a_store_that_says_that_it_lost_something_is_not_believed(
    home: Path, attack: Callable[[Path], None]
) -> None:
    """No node signed that, and no entry accounts for it."""
    attack(home)
    done = tabard(home, "audit", "verify", "-o", "json")
    rows = json.loads(done.stdout)
    faults = {row["what"] for row in rows if row["first"] is not None}
    assert "unproven" in {row["what"] for row in rows}
    assert faults <= {"cut"}  # the newest beacon may have named what is gone, too
    assert done.returncode == (exits.FAILED if faults else exits.PARTLY)


@pytest.mark.threat("audit-cut")
def test_a_witness_knows_the_end(home: Path) -> None:
    """Though whoever cut it off took out the beacon as well."""
    heads = tabard(home, "audit", "heads", "-o", "json").stdout
    (row,) = json.loads(heads)
    assert row["node"] == "web1" and row["behind"] == 0 and len(row["head"]) == 64
    witness = home.parent / "heads.json"
    witness.write_text(heads)
    assert verified(home, "--witness", str(witness)) == (exits.DONE, [])
    cut(home)
    with sqlite3.connect(home / "store" / "records.db") as db:
        db.execute("DELETE FROM presence")
    db.close()
    assert verified(home) == (exits.DONE, [])
    assert verified(home, "--witness", str(witness)) == (exits.FAILED, [("cut", row["last"])])


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"node": 1}]', b"[[]]", b"\xff"])
def test_a_witness_that_is_none(home: Path, content: bytes) -> None:
    """It is said what was expected, and where."""
    witness = home.parent / "heads.json"
    witness.write_bytes(content)
    done = tabard(home, "audit", "verify", "--witness", str(witness))
    assert done.returncode == exits.WRONG_USE
    assert "tabard audit heads -o json" in done.stderr and str(witness) in done.stderr


def test_where_no_agent_runs(home: Path) -> None:
    """Entries wait, and are told once when it comes, also if it dies behind the commit."""
    assert (
        tabard(home, "node", "add", "late", "--zone", "hq", "--out", str(home.parent / "l")).returncode
        == exits.DONE
    )
    (row,) = listed(home, "--waiting")
    assert (row["kind"], row["what"]["name"], row["id"]) == ("node.add", "late", None)
    armed = {"TABARD_FAILPOINTS": "audit.committed=kill"}
    done = tabard(home, "agent", *HERE, **armed)
    assert done.returncode == -9, done.stderr
    assert len(audit.waiting(Home(home))) == 1
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        wait(lambda: not list((home / "audit").iterdir()), "the entry is not taken up")
        wait(lambda: "late" in [each["what"].get("name") for each in listed(home)], "it is not stored")
        wait(lambda: verified(home) == (exits.DONE, []), "the store is not whole")
    assert [each["what"].get("name") for each in listed(home)].count("late") == 1


@pytest.mark.threat("audit-unwritten")
def test_what_cannot_be_written_down_is_not_done(home: Path) -> None:
    """The key stays as it is."""
    shutil.rmtree(home / "audit")
    (home / "audit").write_text("in the way")
    before = tabard(home, "keys", "list", "-o", "json").stdout
    done = tabard(home, "node", "add", "web5", "--zone", "hq", "--out", str(home.parent / "web5"))
    assert done.returncode == exits.FAILED
    assert "cannot be accounted for" in done.stderr
    assert tabard(home, "keys", "list", "-o", "json").stdout == before
