"""A gap says what was dropped, and hands on what nobody else would know."""

from __future__ import annotations

import pytest

from tabard.agents.journal.gaps import QUOTA, Dropped, GapMaker, chain_digest, opening_of
from tabard.brokers.wire.batch import GAP, NO_DIGEST, OPEN
from tabard.brokers.wire.body import decode_gap, decode_open
from tabard.brokers.wire.streams import LOGS
from tests.unit.journal.rig import Rig, everything

EPOCH = b"e" * 16


def test_equal_gaps_have_equal_digests() -> None:
    """Made anew after a restart, it is the same batch: a sink knows it again."""
    maker = GapMaker(LOGS)
    dropped = Dropped(EPOCH, 1, 9, NO_DIGEST, b"d" * 32)
    first, second = (maker.make(dropped, QUOTA, b"opening") for _ in range(2))
    assert first == second
    assert chain_digest(first) == b"d" * 32


def test_the_count_leaves_the_opening_out() -> None:
    """An epoch's opening has a sequence number and is no record."""
    maker = GapMaker(LOGS)
    from_one = decode_gap(maker.make(Dropped(EPOCH, 1, 9, NO_DIGEST, NO_DIGEST), QUOTA).body)
    later = decode_gap(maker.make(Dropped(EPOCH, 2, 9, NO_DIGEST, NO_DIGEST), QUOTA).body)
    assert (from_one.count, later.count) == (8, 8)
    assert not from_one.at_least


def test_a_quota_hands_the_opening_on_however_gaps_merge() -> None:
    """The chain of epochs holds although each epoch's first segment was dropped, once and again."""
    rig = Rig()
    before = rig.journal.spans()[-1]
    rig.add(60)
    rig.open()
    opening = rig.journal.read(rig.journal.spans()[-1].epoch, 1)
    assert opening is not None and opening.header.kind == OPEN
    for _ in range(4):
        rig.add(60)
        rig.journal.sync()
        rig.open(bytes=24 * 1024)
        rig.journal.enforce(rig.clock.monotonic())
    gap = rig.journal.read(opening.header.epoch, 1)
    assert gap is not None and gap.header.kind == GAP
    assert opening_of(gap) == decode_gap(gap.body).open == opening.body
    assert decode_open(opening_of(gap)).previous == before.epoch


@pytest.mark.parametrize("how", ["a bit", "the file"])
def test_a_ruined_opening_is_handed_on_as_far_as_it_is_known(how: str) -> None:
    """Which epoch was before it, from the segment's head or from the order of the files; and that there is a doubt."""
    rig = Rig()
    rig.add(3)
    before = rig.journal._catalog.spans()[-1]
    rig.open()
    rig.fill(4)
    rig.journal.sync()
    epoch = rig.journal.spans()[-1].epoch
    path = rig.files()[1]
    if how == "a bit":
        image = rig.disk.get(path)
        rig.disk.corrupt(path, image.index(b"previous_last"), b"X")
    else:
        rig.disk.unlink(path)
    rig.open()
    gap = rig.journal.read(epoch, 1)
    assert gap is not None and gap.header.kind == GAP
    found = decode_open(opening_of(gap))
    assert (found.previous, found.previous_last, found.previous_digest) == before[0:1] + before[2:4]
    assert found.doubt and not found.clean
    kept = everything(rig.journal)
    assert everything(rig.open())[: len(kept)] == kept


def test_no_other_batch_has_an_opening() -> None:
    """Neither records, nor a gap that begins later."""
    rig = Rig()
    rig.add(2)
    batches = everything(rig.journal)
    assert [bool(opening_of(batch)) for batch in batches] == [True, False, False]
    maker = GapMaker(LOGS)
    assert opening_of(maker.make(Dropped(EPOCH, 5, 9, NO_DIGEST, NO_DIGEST), QUOTA)) == b""
