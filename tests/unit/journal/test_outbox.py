"""The outbox keeps control records with the transaction they belong to, and drops none."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tabard import failpoints
from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.gaps import chain_digest
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox import Outbox
from tabard.agents.journal.outbox_file import open_outbox
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import GAP, NO_DIGEST, Batch
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.streams import CONTROL
from tests.authors import author
from tests.unit.journal.rig import SimClock

LIMITS = Limits(bytes=1 << 20, keep_acked=0)


class Box:
    """An outbox in memory whose content survives `restart`, as on a disk."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.rng = Random(1)
        self.limits = limits
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.outbox = self.open()

    def open(self, **changes: Any) -> Outbox:
        """Start anew on what is there."""
        self.outbox = Outbox.open(
            lambda: self.db, author(CONTROL, self.rng.randbytes, clock=SimClock()), self.limits, **changes
        )
        return self.outbox

    def kill(self) -> Outbox:
        """Die, and start again on what was committed."""
        image = self.db.serialize()
        self.db.close()
        self.restore(image)
        return self.outbox

    def restore(self, image: bytes) -> None:
        """Start on the content of another moment."""
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.deserialize(image)
        self.open()

    def add(self, times: int = 1, **marks: Any) -> Batch:
        """Append batches of two records; returns the last."""
        batches = [self.outbox.append(self.rng.randbytes(200), 2, marks) for _ in range(times)]
        return batches[-1]


def everything(outbox: Outbox) -> list[Batch]:
    """All that is kept, with the chain checked."""
    batches = []
    for span in outbox.spans():
        at, chain = span.oldest, None
        for batch in outbox.read_from(span.epoch, span.oldest):
            assert batch.header.first == at
            assert (
                chain is None or NO_DIGEST in (chain, batch.header.previous) or batch.header.previous == chain
            )
            at, chain = batch.header.last + 1, chain_digest(batch)
            batches.append(batch)
        assert (at, chain) == (span.last + 1, span.digest)
    return batches


def stored(outbox: Outbox) -> dict[bytes, Ranges]:
    """Cursors of a sink that has everything."""
    return {span.epoch: Ranges([Range(1, span.last, NO_DIGEST, span.digest)]) for span in outbox.spans()}


def facts(batch: Batch | None) -> dict[str, Any]:
    """What a batch's body says."""
    assert batch is not None
    value: dict[str, Any] = unpack(batch.body)
    return value


def test_what_is_appended_is_there_after_a_kill() -> None:
    """Byte for byte, in a chain of epochs, with the marks."""
    box = Box()
    box.add(3, a=1, b=1)
    last = box.add(a=2)
    before = everything(box.outbox)
    outbox = box.kill()
    assert everything(outbox)[:-1] == before
    opened = facts(outbox.read(outbox.spans()[-1].epoch, 1))
    assert (opened["previous"], opened["previous_last"]) == (last.header.epoch, last.header.last)
    assert opened["clean"] is False and "power" not in opened
    assert list(outbox.marks.items()) == [("b", 1), ("a", 2)]


def test_an_orderly_end_is_told_to_the_next_epoch() -> None:
    """And undone by the start after it."""
    box = Box()
    image = box.db.serialize()
    box.outbox.close()
    box.restore(image)
    assert facts(box.outbox.read(box.outbox.spans()[-1].epoch, 1))["clean"] is False

    class Kept(sqlite3.Connection):
        def close(self) -> None:
            """Stay open: the test opens it again."""

    box.db = sqlite3.connect(":memory:", isolation_level=None, factory=Kept)
    box.open()
    box.outbox.close()
    outbox = box.open()
    assert facts(outbox.read(outbox.spans()[-1].epoch, 1))["clean"] is True


def test_the_caller_extends_the_transaction() -> None:
    """Both are there or neither, and nothing is shown before the commit."""
    box = Box()
    with box.outbox.transaction() as db:
        db.execute("CREATE TABLE work (id INTEGER)")
    before = box.outbox.spans()

    def fail() -> None:
        with box.outbox.transaction() as db:
            db.execute("INSERT INTO work VALUES (1)")
            box.add(s=1)
            assert box.outbox.spans() == before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert box.outbox.spans() == before
    assert box.outbox.marks == {}
    assert box.db.execute("SELECT count(*) FROM work").fetchone() == (0,)
    with box.outbox.transaction() as db:
        db.execute("INSERT INTO work VALUES (1)")
        batch = box.add(s=1)
    assert box.outbox.spans()[-1].last == batch.header.last == 3
    assert box.outbox.marks == {"s": 1}
    assert box.db.execute("SELECT count(*) FROM work").fetchone() == (1,)


def test_an_epoch_whose_beginning_was_rolled_back_is_begun_again() -> None:
    """The records of this run never go into an epoch of an earlier one."""
    box = Box()
    old = box.add().header.epoch
    box.limits = replace(LIMITS, bytes=1 << 20)
    read_only = True
    real = box.db
    image = real.serialize()

    def connect() -> sqlite3.Connection:
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.deserialize(image)
        db.execute(f"PRAGMA query_only = {int(read_only)}")
        return db

    outbox = Outbox.open(connect, author(CONTROL, box.rng.randbytes, clock=SimClock()), LIMITS)
    assert outbox.spans()[-1].epoch == old
    with pytest.raises(DiskRefused, match="readonly"):
        outbox.append(b"x", 1, {})
    read_only = False
    outbox._database.close()

    def fail() -> None:
        with outbox.transaction():
            outbox.append(b"x", 1, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert outbox.append(b"y", 1, {}).header.first == 2
    assert [span.last for span in outbox.spans()] == [1 + 2, 2]


def test_a_part_that_failed_takes_the_whole_with_it() -> None:
    """Even when the caller goes on as if nothing had been."""
    box = Box()
    before = box.outbox.spans()

    def fail_inside() -> None:
        with box.outbox.transaction():
            raise ZeroDivisionError

    def go_on() -> None:
        with box.outbox.transaction():
            box.add()
            with suppress(ZeroDivisionError):
                fail_inside()

    with pytest.raises(DiskRefused, match="part of the transaction"):
        go_on()
    assert box.outbox.spans() == before


@pytest.mark.parametrize("point", ["outbox.before_commit", "outbox.after_commit"])
def test_a_commit_in_doubt_is_read_back(point: str) -> None:
    """After an error the outbox shows what the database holds, not what it hoped for."""
    box = Box()
    box.add()
    try:
        failpoints.arm(f"{point}=error")
        with pytest.raises(DiskRefused) as refused:
            box.add(s=1)
    finally:
        failpoints.arm("")
    assert refused.value.retry
    committed = point == "outbox.after_commit"
    assert box.outbox.spans()[-1].last == (5 if committed else 3)
    assert box.outbox.marks == ({"s": 1} if committed else {})
    box.add(3)
    assert len(everything(box.kill())) == 1 + 4 + committed + 1


def test_it_refuses_when_full_and_never_drops() -> None:
    """Until a sink has stored something."""
    box = Box(replace(LIMITS, bytes=5_000))
    with pytest.raises(DiskRefused, match="no sink has stored") as refused:
        box.add(100)
    assert refused.value.retry
    kept = everything(box.outbox)
    box.outbox.enforce(1e9)
    assert everything(box.outbox) == kept
    assert {fault.kind for fault in box.outbox.faults()} == {"full"}
    box.outbox.release(stored(box.outbox))
    box.outbox.enforce(2e9)
    assert not box.outbox.faults()
    box.add()
    assert [batch.header.kind for batch in everything(box.outbox)].count(GAP) == 0


def test_a_fault_that_is_over_does_not_wait_for_the_next_record() -> None:
    """The disk takes writes again: that is seen at the next look, and not before."""
    box = Box()
    box.add()
    box.db.execute("PRAGMA query_only = ON")
    with pytest.raises(DiskRefused):
        box.add()
    box.outbox.enforce(1e9)
    assert box.outbox.faults()
    box.db.execute("PRAGMA query_only = OFF")
    box.outbox.enforce(2e9)
    assert not box.outbox.faults()
    assert len(everything(box.outbox)) == 2


def test_stored_batches_are_removed_oldest_first_beyond_what_is_kept() -> None:
    """The newest of all stays, so that histories can be compared."""
    box = Box(replace(LIMITS, keep_acked=2_000))
    box.add(20)
    box.kill()
    box.add(20)
    first = box.outbox.spans()[0]
    box.outbox.release({first.epoch: Ranges([Range(9, first.last, NO_DIGEST, first.digest)])})
    assert box.outbox.spans()[0].oldest == 1, "what comes first is not stored"
    box.outbox.release(stored(box.outbox))
    assert len(box.outbox.spans()) == 1
    assert 1_000 < box.outbox.stats().bytes <= 2_600
    everything(box.outbox)
    box.limits = LIMITS
    box.kill()
    box.outbox.release(stored(box.outbox))
    (span,) = box.outbox.spans()
    assert (span.oldest, span.last) == (1, 1)


def test_epochs_without_records_do_not_pile_up() -> None:
    """Stored ones beyond a number are let go whatever their size."""
    box = Box(Limits())
    for _ in range(300):
        box.open()
    assert len(box.outbox.spans()) == 301
    box.outbox.release(stored(box.outbox))
    assert len(box.outbox.spans()) == 1


def test_a_renewed_outbox_goes_on_in_an_epoch_that_says_the_doubt() -> None:
    """It chains to the one before, of which nothing is lost; the epoch after it doubts nothing."""
    box = Box()
    last = box.add(3)
    box.outbox.renew("a sink has another history")
    old, new = box.outbox.spans()
    opened = facts(box.outbox.read(new.epoch, 1))
    assert (opened["previous"], opened["previous_last"]) == (old.epoch, last.header.last)
    assert (opened["previous_digest"], opened["doubt"]) == (last.digest, "a sink has another history")
    after = box.add()
    assert (after.header.epoch, after.header.first) == (new.epoch, 2)
    kept = everything(box.kill())
    assert last in kept and after in kept and len(kept) == 1 + 3 + 1 + 1 + 1
    assert facts(kept[-1])["doubt"] is None


def test_a_ruined_batch_is_a_gap() -> None:
    """It says its range, and what follows still chains."""
    box = Box()
    box.add(5)
    box.db.execute("UPDATE outbox_batch SET body = x'00' WHERE first = 4")
    kept = everything(box.outbox)
    assert [(b.header.first, b.header.last) for b in kept if b.header.kind == GAP] == [(4, 5)]
    assert everything(box.kill())[:-1] == kept


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    """The outbox starts anew and says that something was lost; the old file is kept."""
    rng = Random(2)

    def start() -> Outbox:
        return open_outbox(
            str(tmp_path / "control"), author(CONTROL, rng.randbytes, clock=SimClock()), LIMITS
        )

    outbox = start()
    outbox.append(b"x" * 300, 1, {"s": 1})
    outbox.close()
    outbox = start()
    assert outbox.marks == {"s": 1}
    assert facts(outbox.read(outbox.spans()[-1].epoch, 1))["clean"] is True
    outbox.close()
    path = tmp_path / "control" / "outbox.db"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"nonsense" * 1000)
    outbox = start()
    assert facts(outbox.read(outbox.spans()[-1].epoch, 1))["lost"] == {"at_least": 0, "reason": "torn"}
    assert [fault.kind for fault in outbox.faults()] == ["quarantined"]
    assert (tmp_path / "control" / "quarantine" / "outbox.db.0").read_bytes().startswith(b"nonsense")
    outbox.close()


def test_a_database_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """With the place, to be tried again."""
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "outbox.db").mkdir()
    with pytest.raises(DiskRefused, match=r"outbox\.db"):
        open_outbox(str(tmp_path / "control"), author(CONTROL), LIMITS)
