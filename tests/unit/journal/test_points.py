"""What a gap under a quota says of the batches that a sink may have stored before it heard of it."""

from __future__ import annotations

import errno
from zlib import crc32

from tabard.agents.journal.behind import IN_FLIGHT, nearest
from tabard.agents.journal.gaps import gap_points
from tabard.agents.journal.limits import BLOCK
from tabard.agents.journal.tidemark import MAX_STOPS, SLOT, Note, Stop, Tidemark
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import GAP, NO_DIGEST, Batch
from tabard.brokers.wire.codec import pack
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


def _stopped(rig: Rig, *stops: int) -> bytes:
    """Two thousand small batches, of which sinks were last heard to have stored up to these; then a batch more."""
    rig.open(bytes=1 << 20, segment=1 << 20)
    rig.add(2_000, size=20, count=1)
    rig.journal.sync()
    epoch = rig.journal.spans()[-1].epoch
    rig.journal.release({epoch: held((1, min(stops)))}, {epoch: set(stops)})
    rig.add()
    rig.journal.sync()
    return epoch


def _named(rig: Rig) -> set[int]:
    """The points of the gap that a quota leaves."""
    rig.journal.enforce(rig.clock.monotonic())
    return {point.seq for point in gap_points(the_gap(rig))}


def test_where_sinks_stopped_is_known_after_a_restart() -> None:
    """The process was killed while they were away, and none of them has said anything since."""
    rig = Rig()
    _stopped(rig, 700, 900)
    rig.open(bytes=100_000)
    named = _named(rig)
    assert {700, 701, 820, 900, 901, 1_020} <= named
    assert 699 not in named


def test_what_one_sink_says_does_not_hide_where_another_had_stopped() -> None:
    """After a restart one is back and has gone on; the other is still away."""
    rig = Rig()
    epoch = _stopped(rig, 700, 900)
    rig.open(bytes=100_000)
    rig.journal.release({epoch: Ranges()}, {epoch: {1_300}})
    rig.add()
    rig.journal.sync()
    rig.open()
    assert {700, 790, 900, 990, 1_300, 1_390} <= _named(rig)


def test_what_every_sink_has_got_beyond_is_not_noted_any_more() -> None:
    """The note has room for few."""
    rig = Rig()
    epoch = _stopped(rig, 700, 900)
    rig.open(bytes=100_000)
    rig.journal.release({epoch: held((1, 1_200))}, {epoch: {1_200}})
    rig.add()
    rig.journal.sync()
    assert rig.journal._pen.tidemark.read()._replace(boot="").stops == (Stop(epoch, 1_200),)  # type: ignore[union-attr]
    rig.journal.release({epoch: held((1, rig.journal.spans()[0].last))}, {})
    rig.add()
    rig.journal.sync()
    assert [stop for stop in rig.journal._stops.notable if stop.epoch == epoch] == []


def test_a_note_without_stops_is_read() -> None:
    """One that an earlier version wrote; and one with as many as there may be fits into its place."""
    rig = Rig()
    mark = Tidemark(rig.disk, "/j/tidemark")
    rig.disk.make_directory("/j")
    note = Note(2**60, b"e" * 16, 2**61, b"d" * 32, "b" * 64, closed=True)
    stops = tuple(Stop(b"s" * 16, 2**61 + number) for number in range(MAX_STOPS))
    mark.write(note._replace(stops=stops))
    assert mark.read() == note._replace(stops=stops)
    assert len(rig.disk.get("/j/tidemark")) <= SLOT
    body = pack(tuple(note)[:-1])
    front = len(body).to_bytes(2, "big")
    image = crc32(front + body).to_bytes(4, "big") + front + body
    rig.disk.put("/j/tidemark", image.ljust(SLOT, b"\0"))
    assert mark.read() == note


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
