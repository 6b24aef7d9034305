"""The judge of the chaos runs: it sees each way in which a store can be wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tabard.brokers.delivery.ports import NodeKey
from tabard.consumers.store.sqlite import SqliteStore
from tests.chaos.oracle import Sent, Verdict, judge
from tests.contract.chain import NOON, Chain, log

NODE = NodeKey("n1", "plant")
SENT = {"app": Sent("n1", accepted=30, given=31)}


def said(*numbers: int) -> list[tuple[object, ...]]:
    """Records of the source ``app``."""
    return [log(SENT["app"].text("app", number)) for number in numbers]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two epochs: numbers 1 to 20 in the first, of which 9 to 12 gave way to a gap, and 21 to 30 in the second."""
    old, new = Chain(NODE, name="old"), Chain(NODE, name="new")
    with SqliteStore.open(tmp_path) as store:
        store.commit([old.open()], NOON)
        store.commit([old.work(said(*range(1, 9)))], NOON)
        store.commit([old.lose(4)], NOON)
        old.cursor.ended = old.next + 7
        store.commit([old.work(said(*range(13, 21)))], NOON)
        store.commit([new.open(old.epoch, old.next - 1)], NOON)
        store.commit([new.work(said(*range(21, 31)), [log("own", service="tabard-agent")])], NOON)
    return tmp_path


def verdict(store: Path, *, may_lose: bool = True) -> Verdict:
    """What the judge finds."""
    nodes = frozenset({"n1"}) if may_lose else frozenset()
    return judge(store, SENT, may_lose=nodes, ignore=frozenset())


def test_a_store_that_is_right_is_found_right(store: Path) -> None:
    """A loss that is said is no wrong on a node that may lose."""
    found = verdict(store)
    assert (found.wrong, found.rows, found.missing) == ([], 27, {"app": 4})


def test_a_loss_is_wrong_on_a_node_that_has_no_reason_to_lose(store: Path) -> None:
    """A kill, a freeze or a full disk is none."""
    assert any("losses without a reason" in wrong for wrong in verdict(store, may_lose=False).wrong)


def test_a_number_that_is_a_guess_is_wrong_where_nothing_hides_it(store: Path) -> None:
    """On a node whose files nobody damaged or put back."""
    with sqlite3.connect(store / "records.db") as db:
        db.execute("UPDATE gap SET at_least = 1")
    db.close()
    nodes = frozenset({"n1"})
    told = judge(store, SENT, may_lose=nodes, ignore=frozenset(), exact=nodes)
    assert any("counts 4 at least" in wrong for wrong in told.wrong), told.wrong
    assert not judge(store, SENT, may_lose=nodes, ignore=frozenset()).wrong


_COPY_OF_GAP = """
INSERT INTO gap (node_id, stream, epoch_id, first, last, count, at_least, kind, reason, detail, time, arrived)
SELECT node_id, stream, epoch_id, first, last, count, at_least, kind, reason, detail, time, arrived FROM gap
"""
_SWAP = f"""
UPDATE log SET message = CASE WHEN message LIKE 'app 2 %' THEN '{SENT["app"].text("app", 5)}'
ELSE '{SENT["app"].text("app", 2)}' END WHERE message LIKE 'app 5 %' OR message LIKE 'app 2 %'
"""
_QUARANTINED = """
INSERT INTO quarantine (node_id, stream, epoch_id, first, count, reason, header, signature, body, time, arrived)
VALUES (1, 2, 1, 1, 1, 'x', x'', x'', x'', 0, 0)
"""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("DELETE FROM log WHERE message LIKE 'app 5 %'", "lacks 1 numbers that no gap names"),
        ("DELETE FROM log WHERE message LIKE 'app 5 %'", "app 5..5 are not stored"),
        ("DELETE FROM log WHERE message LIKE 'app 30 %'", "app 30..30 are not stored"),
        ("DELETE FROM gap", "app 9..12 are not stored, and gaps there name 0 of 4"),
        ("UPDATE gap SET count = 3", "counts wrong"),
        ("UPDATE gap SET last = last + 1, count = 5", "claims stored records"),
        (_COPY_OF_GAP, "claims what another gap claims"),
        ("UPDATE log SET message = 'app 4 ' WHERE message LIKE 'app 5 %'", "did not say like this"),
        ("UPDATE log SET message = 'app 99 ' WHERE message LIKE 'app 5 %'", "did not say like this"),
        ("UPDATE log SET message = 'elf 1' WHERE message LIKE 'app 5 %'", "nobody said"),
        (
            f"UPDATE log SET message = '{SENT['app'].text('app', 4)}' WHERE message LIKE 'app 5 %'",
            "app 4 is stored twice",
        ),
        (_SWAP, "is stored after 5"),
        ("UPDATE epoch SET ended = NULL", "has a successor and no end"),
        ("UPDATE epoch SET ended = ended + 1", "ends at"),
        (_QUARANTINED, "is in quarantine"),
        ("DELETE FROM node", "its node is not in the store"),
    ],
)
def test_a_store_that_is_wrong_is_found_wrong(store: Path, change: str, complaint: str) -> None:
    """Lost, doubled, changed, moved, never said, claimed twice: each is named."""
    with sqlite3.connect(store / "records.db") as db:
        db.execute(change)
    db.close()
    wrong = verdict(store).wrong
    assert any(complaint in each for each in wrong), wrong


def _lose_around(store: Path, *, first: int, last: int, count: int) -> None:
    """Take the records 5 and 15 out of the middle, and say that they are lost in a range that holds others, too."""
    with sqlite3.connect(store / "records.db") as db:
        db.execute("DELETE FROM log WHERE message LIKE 'app 5 %' OR message LIKE 'app 15 %'")
        db.execute(
            "INSERT INTO gap (node_id, stream, epoch_id, first, last, count, at_least, kind, reason, detail, time, arrived)"
            " SELECT node_id, stream, epoch_id, ?, ?, ?, 1, kind, reason, detail, time, arrived FROM gap",
            (first, last, count),
        )
    db.close()


def test_a_loss_may_reach_over_stored_records_and_losses_told_before(store: Path) -> None:
    """It counts what of its range is neither stored nor told, wherever in it that is missing."""
    _lose_around(store, first=4, last=20, count=2)
    assert verdict(store).wrong == []


@pytest.mark.parametrize(
    ("first", "last", "count", "complaint"),
    [
        (4, 20, 3, "counts more than is missing: 2"),
        (4, 14, 1, "app 15..15 are not stored"),
        (8, 20, 1, "app 5..5 are not stored"),
    ],
)
def test_it_does_not_cover_more_than_it_says(
    store: Path, first: int, last: int, count: int, complaint: str
) -> None:
    """Neither more records than are missing, nor those beyond its ends."""
    _lose_around(store, first=first, last=last, count=count)
    wrong = verdict(store).wrong
    assert any(complaint in each for each in wrong), wrong
