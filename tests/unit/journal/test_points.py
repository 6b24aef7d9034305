"""What a gap under a quota says of the batches that a sink may have stored before it heard of it."""

from __future__ import annotations

import errno

from tabard.agents.journal.behind import IN_FLIGHT, nearest
from tabard.agents.journal.gaps import gap_points
from tabard.agents.journal.limits import BLOCK
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import GAP, NO_DIGEST, Batch
from tabard.brokers.wire.points import MAX_POINTS, Point, mark_of
from tests.unit.journal.rig import Rig, everything


def held(*runs: tuple[int, int]) -> Ranges:
    """What a sink has stored."""
    return Ranges([Range(lo, hi, NO_DIGEST, NO_DIGEST) for lo, hi in runs])


def points(batches: list[Batch]) -> list[Point]:
    """What all batches end with, as a gap names them."""
    return [Point(batch.header.last, mark_of(batch.digest)) for batch in batches]


def the_gap(rig: Rig) -> Batch:
    """The gap in the place of the oldest records."""
    oldest = rig.journal.spans()[0]
    gap = rig.journal.read(oldest.epoch, oldest.oldest)
    assert gap is not None and gap.header.kind == GAP
    return gap


def test_what_stands_behind_a_stop_is_named_first() -> None:
    """The fewer others are between, the sooner a sink may have stopped there."""
    ends = range(1, 101)
    assert nearest(ends, Ranges(), (), (), 3) == [1, 2, 3]
    assert nearest(ends, held((1, 40)), {40}, (), 3) == [40, 41, 42]
    assert nearest(ends, held((1, 40)), {40, 70}, (), 4) == [40, 41, 70, 71]
    assert nearest(ends, held((1, 40), (60, 90)), {40, 90}, (), 5) == [40, 41, 42, 90, 91]
    assert nearest(range(1, 4), Ranges(), (), (), 9) == [1, 2, 3]


def test_behind_a_gap_come_those_that_cannot_be_in_flight() -> None:
    """A sink may have stored the gap itself; what followed it takes no room from what is near a stop."""
    ends = range(1, 1_001)
    most = IN_FLIGHT + 51
    named = nearest(ends, held((1, 40)), {40}, {800}, most)
    assert named[:IN_FLIGHT] == list(range(40, 40 + IN_FLIGHT))
    assert {800, 801, 820} <= set(named)
    assert len(named) == most


def test_a_gap_names_the_ends_of_the_batches_in_its_place() -> None:
    """All of them, while there are few; the last one is named by its digest already."""
    rig = Rig()
    rig.open(bytes=24_000)
    rig.add(60)
    rig.journal.sync()
    before = everything(rig.journal)
    rig.journal.enforce(rig.clock.monotonic())
    gap = the_gap(rig)
    inside = [batch for batch in before if batch.header.last < gap.header.last]
    assert len(inside) > 10
    assert list(gap_points(gap)) == points(inside)
    assert gap_points(the_gap(_reopened(rig))) == gap_points(gap)


def _reopened(rig: Rig) -> Rig:
    rig.open()
    return rig


def test_gaps_that_merge_keep_what_each_of_them_knew() -> None:
    """Also the end of each: a sink may have stored the gap before it was merged."""
    rig = Rig()
    rig.open(bytes=24_000)
    before: list[Batch] = []
    ends = []
    for _ in range(4):
        rig.add(20)
        rig.journal.sync()
        known = {batch.header.last for batch in before}
        before += [
            batch
            for batch in everything(rig.journal)
            if batch.header.kind != GAP and batch.header.last not in known
        ]
        rig.journal.enforce(rig.clock.monotonic())
        ends.append(the_gap(rig).header.last)
    gap = the_gap(rig)
    assert gap.header.last == ends[-1] > ends[0]
    named = {point.seq: point.mark for point in gap_points(gap)}
    inside = [batch for batch in before if batch.header.last < gap.header.last]
    assert named == dict(points(inside))
    assert set(ends[:-1]) - {gap.header.last} <= named.keys()


def test_what_every_sink_has_needs_no_point_but_at_its_end() -> None:
    """None of them can have stopped inside of it."""
    rig = Rig()
    rig.open(bytes=24_000)
    rig.add(60)
    rig.journal.sync()
    span = rig.journal.spans()[-1]
    before = everything(rig.journal)
    stop = before[5].header.last
    rig.journal.release({span.epoch: held((1, stop))}, {span.epoch: {stop}})
    rig.journal.enforce(rig.clock.monotonic())
    gap = the_gap(rig)
    inside = [batch for batch in before if stop <= batch.header.last < gap.header.last]
    assert gap.header.first == 1
    assert list(gap_points(gap)) == points(inside)


def test_of_many_batches_those_behind_the_sinks_are_named() -> None:
    """A gap stays small, whatever stood in its place."""
    rig = Rig()
    rig.open(bytes=200_000, segment=1 << 20)
    rig.add(2_000, size=20, count=1)
    rig.journal.sync()
    span = rig.journal.spans()[-1]
    far = 500
    rig.journal.release({span.epoch: Ranges()}, {span.epoch: {far}})
    rig.journal.enforce(rig.clock.monotonic())
    gap = the_gap(rig)
    assert gap.header.last > far + MAX_POINTS
    named = [point.seq for point in gap_points(gap)]
    assert len(named) == MAX_POINTS
    assert {1, 150, far, far + 150} <= set(named)
    assert far - 1 not in named


def test_a_gap_takes_less_than_what_it_stands_for() -> None:
    """By a block, or it would free nothing; rather it names fewer."""
    rig = Rig()
    rig.add(1_500, size=1, count=1)
    rig.journal.sync()
    segment = rig.journal._catalog.epoch(rig.journal.spans()[0].epoch)[0]
    assert segment.footprint >= 2 * BLOCK
    records = segment.end
    for _ in range(9):
        before = rig.journal.stats()
        rig.journal._quota.shrink(before.bytes - 1)
        after = rig.journal.stats()
        assert after.bytes < before.bytes
        assert after.dropped - before.dropped < 2 * records
    assert len(gap_points(the_gap(rig))) == MAX_POINTS


def test_a_gap_whose_name_is_not_known_to_be_durable_is_not_forgotten() -> None:
    """The disk put it in place and then failed: what it named is not to be read anywhere else any more."""
    rig = Rig()
    rig.open(bytes=24_000)
    rig.add(60)
    rig.journal.sync()
    before = everything(rig.journal)
    rig.disk.fail("syncdir", errno.EIO, times=3)
    rig.journal.enforce(rig.clock.monotonic())
    rig.disk.heal()
    rig.journal.enforce(rig.clock.monotonic())
    gap = the_gap(rig)
    inside = [batch for batch in before if batch.header.last < gap.header.last]
    assert list(gap_points(gap)) == points(inside)


def test_nothing_gives_way_while_it_cannot_be_read_for_a_moment() -> None:
    """No descriptor is left: what a sink may have stored would be forgotten for good."""
    rig = Rig()
    rig.open(bytes=24_000)
    rig.add(60)
    rig.journal.sync()
    size = rig.journal.stats().bytes
    rig.disk.fail("open", errno.EMFILE, times=99)
    rig.journal.enforce(rig.clock.monotonic())
    rig.disk.heal()
    assert rig.journal.stats().dropped == 0
    rig.journal.enforce(rig.clock.monotonic())
    assert rig.journal.stats().bytes < size
    assert gap_points(the_gap(rig))
