"""An epoch that one side rolled back ends, and what it kept goes on in a new one."""

from __future__ import annotations

import errno
from itertools import product
from random import Random

import pytest

from tabard.agents.journal.faults import DiskRefused
from tabard.brokers.wire.batch import NO_DIGEST, Batch
from tabard.brokers.wire.codec import unpack
from tests.sim.disk import Killed
from tests.unit.journal.rig import Rig, data, everything, gaps


def bodies(batches: list[Batch]) -> list[bytes]:
    """What they carry."""
    return [batch.body for batch in data(batches)]


def forked_opening(rig: Rig) -> dict[str, object]:
    """The OPEN of the epoch that carries on, the last but one."""
    batch = rig.journal.read(rig.journal.spans()[-2].epoch, 1)
    assert batch is not None
    facts: dict[str, object] = unpack(batch.body)
    return facts


def test_what_is_kept_from_there_on_goes_into_a_new_epoch() -> None:
    """Bodies byte for byte, in order; the old epoch ends exactly before the place named."""
    rig = Rig()
    written = [rig.add() for _ in range(60)]
    middle = written[33].header
    rig.journal.fork(middle.epoch, middle.first, "the sink has another batch there")
    old, new, current = rig.journal.spans()
    assert (old.epoch, old.oldest, old.last) == (middle.epoch, 1, middle.first - 1)
    assert old.digest == written[32].digest
    facts = forked_opening(rig)
    assert facts["reason"] == "fork" and facts["doubt"] == "the sink has another batch there"
    assert (facts["previous"], facts["previous_last"]) == (old.epoch, old.last)
    assert facts["previous_digest"] == old.digest and "closes" not in facts
    assert new.last == 1 + 27 * 3
    after = rig.add()
    assert after.header.epoch == current.epoch
    assert bodies(everything(rig.journal)) == [batch.body for batch in [*written, after]]
    again = everything(rig.open())
    assert bodies(again) == [batch.body for batch in [*written, after]]
    assert gaps(again) == []


def test_an_older_epoch_is_forked_without_touching_those_after_it() -> None:
    """The new epoch also says where the one written until then ended."""
    rig = Rig()
    rig.add(20)
    rig.open()
    rig.add(10)
    rig.journal.sync()
    first, second = rig.journal.spans()
    before = everything(rig.journal)
    rig.journal.fork(first.epoch, 32, "rolled back")
    facts = forked_opening(rig)
    assert (facts["previous"], facts["previous_last"]) == (first.epoch, 31)
    assert facts["closes"] == (second.epoch, second.last, second.digest)
    kept = everything(rig.open())
    assert sorted(bodies(kept)) == sorted(bodies(before))
    assert gaps(kept) == []
    assert [span.last for span in rig.journal.spans()][:2] == [31, second.last]


def test_a_place_inside_a_batch_carries_all_of_it() -> None:
    """A batch is never split."""
    rig = Rig()
    batch = rig.add(5)
    rig.journal.fork(batch.header.epoch, batch.header.first + 1, "")
    assert rig.journal.spans()[0].last == batch.header.first - 1
    assert len(bodies(everything(rig.journal))) == 5


def test_nothing_beyond_the_end_is_carried() -> None:
    """A cursor beyond the last sequence number only ends the epoch."""
    rig = Rig()
    batch = rig.add(5)
    rig.journal.fork(batch.header.epoch, 900, "a cursor at 899")
    spans = rig.journal.spans()
    assert [span.last for span in spans] == [16, 1]
    opening = rig.journal.read(spans[-1].epoch, 1)
    assert opening is not None
    facts = unpack(opening.body)
    assert (facts["reason"], facts["previous_last"], facts["doubt"]) == ("fork", 16, "a cursor at 899")


def test_an_epoch_that_is_not_kept_is_ended_all_the_same() -> None:
    """Its end is as the caller says, its digest unknown."""
    rig = Rig()
    rig.add()
    rig.journal.fork(b"e" * 16, 50, "who?")
    opening = rig.journal.read(rig.journal.spans()[-1].epoch, 1)
    assert opening is not None
    facts = unpack(opening.body)
    assert (facts["previous"], facts["previous_last"]) == (b"e" * 16, 49)
    assert facts["previous_digest"] == NO_DIGEST
    assert facts["closes"][1] == 4


@pytest.mark.parametrize("place", [1, 2])
def test_all_of_an_epoch_can_be_carried(place: int) -> None:
    """Its own OPEN is not; the epoch ends before or right after it."""
    rig = Rig()
    written = [rig.add() for _ in range(40)]
    rig.open()
    rig.add()
    epoch = written[0].header.epoch
    rig.journal.fork(epoch, place, "")
    ends = {span.epoch: span.last for span in rig.journal.spans()}
    assert ends.get(epoch, 0) == place - 1
    for _ in range(2):
        kept = everything(rig.open())
        assert gaps(kept) == []
        assert len(bodies(kept)) == 41
    rig.store_all()
    assert len(rig.journal.spans()) == 1


def test_gaps_are_carried_as_gaps() -> None:
    """With their count, and the chain of digests goes over them."""
    rig = Rig()
    rig.open(bytes=80_000)
    rig.add(300)
    rig.journal.enforce(rig.clock.monotonic())
    before = everything(rig.journal)
    rig.journal.fork(before[0].header.epoch, 1, "")
    kept = everything(rig.journal)
    ((first, last, reason),) = gaps(kept)
    assert (first, last, reason) == (2, before[0].header.count + 1, "quota")
    assert bodies(kept) == bodies(before)


def test_a_full_disk_forks_nothing() -> None:
    """It is as if nothing had been asked."""
    rig = Rig()
    rig.add(60)
    rig.journal.sync()
    before = everything(rig.journal)
    names = rig.files()
    rig.disk.fail("write", errno.ENOSPC, after=2)
    with pytest.raises(DiskRefused):
        rig.journal.fork(before[0].header.epoch, 10, "")
    assert rig.files() == names
    assert everything(rig.journal) == before
    rig.disk.heal()
    rig.journal.fork(before[0].header.epoch, 10, "")
    assert bodies(everything(rig.journal)) == bodies(before)


@pytest.mark.parametrize("operation", ["write", "sync", "rename", "syncdir", "unlink", "create"])
def test_an_error_at_any_operation_leaves_the_old_or_the_new(operation: str) -> None:
    """And the next append, or the next start, goes on from there."""
    for after in range(12):
        rig = Rig()
        written = [rig.add() for _ in range(60)]
        rig.journal.sync()
        rig.disk.fail(operation, after=after)
        try:
            rig.journal.fork(written[0].header.epoch, 50, "")
        except DiskRefused:
            rig.disk.heal()
        rig.disk.heal()
        assert bodies(everything(rig.journal)) in ([], [batch.body for batch in written])
        written.append(rig.add())
        for journal in (rig.journal, rig.open()):
            kept = everything(journal)
            assert gaps(kept) == []
            assert bodies(kept) == [batch.body for batch in written]


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power cut"])
@pytest.mark.parametrize("older", [False, True], ids=["current", "older"])
def test_death_at_every_operation_leaves_the_old_or_the_new(power: bool, older: bool) -> None:
    """Whatever dies, recovery included: every record is there once."""

    def prepare() -> tuple[Rig, list[Batch]]:
        rig = Rig()
        written = [rig.add() for _ in range(60)]
        rig.journal.sync()
        if older:
            rig.open()
            written.append(rig.add())
            rig.journal.sync()
        return rig, written

    rig, written = prepare()
    start = rig.disk.operations
    rig.journal.fork(written[0].header.epoch, 50, "")
    end = rig.disk.operations
    for fuse, seed in product(range(start + 1, end + 1), range(4 if power else 1)):
        rig, written = prepare()
        rig.rng = Random(100 * fuse + seed)
        rig.disk.fuse = fuse
        with pytest.raises(Killed):
            rig.journal.fork(written[0].header.epoch, 50, "")
        for again in (fuse % 9 + 1, None):
            if power:
                rig.power_cut()
            rig.disk.fuse = again and rig.disk.operations + again
            try:
                rig.open()
            except Killed:
                continue
        kept = everything(rig.journal)
        assert gaps(kept) == []
        assert sorted(bodies(kept)) == sorted(batch.body for batch in written)
        ids = [(batch.header.epoch, batch.header.first) for batch in kept]
        assert len(set(ids)) == len(ids)
