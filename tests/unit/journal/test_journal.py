"""The journal keeps what it accepted, in order, and says what it could not keep."""

from __future__ import annotations

import errno
from contextlib import suppress
from random import Random

import pytest

from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.recent import Recent
from tabard.agents.journal.segment import HEAD_WINDOW
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import GAP, NO_DIGEST
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.streams import SAMPLES
from tabard.errors import JournalError
from tabard.records import MAX_BODY
from tests.sim.disk import SimFile
from tests.unit.journal.rig import Rig, data, everything, gaps, opening


def test_what_is_appended_is_read_back_byte_for_byte() -> None:
    """Over several segments, by any sequence number inside a batch, and in order."""
    rig = Rig()
    written = [rig.add() for _ in range(100)]
    journal = rig.journal
    assert journal.stats().segments > 3
    assert data(everything(journal)) == written
    for batch in written[::7]:
        for seq in range(batch.header.first, batch.header.last + 1):
            assert journal.read(batch.header.epoch, seq) == batch
    epoch = written[0].header.epoch
    assert journal.read(epoch, written[-1].header.last + 1) is None
    assert journal.read(b"x" * 16, 1) is None


def test_every_start_opens_a_new_epoch_that_names_the_one_before() -> None:
    """The chain previous, previous_last is exact after an orderly end, and after a kill."""
    rig = Rig()
    last = rig.add(5)
    rig.journal.close()
    journal = rig.open()
    facts = opening(journal)
    assert (facts["previous"], facts["previous_last"]) == (last.header.epoch, last.header.last)
    assert (facts["previous_digest"], facts["clean"], facts["reason"]) == (last.digest, True, "start")
    assert (facts["node"], facts["zone"], facts["boot"], facts["version"]) == ("web1", "hq", "boot 1", "1.0")
    second = journal.spans()[-1].epoch
    facts = opening(rig.open())
    assert (facts["previous"], facts["previous_last"], facts["clean"]) == (second, 1, False)
    assert "power" not in facts and "lost" not in facts
    assert len({span.epoch for span in rig.journal.spans()}) == 3
    assert len(data(everything(rig.journal))) == 5


def test_the_first_epoch_names_none() -> None:
    """A new journal begins a chain."""
    facts = opening(Rig().open())
    assert (facts["previous"], facts["previous_last"], facts["clean"]) == (None, 0, True)


def test_a_renewed_journal_goes_on_in_an_epoch_that_says_the_doubt() -> None:
    """It chains to the one before, of which nothing is lost; the epoch after it doubts nothing."""
    rig = Rig()
    written = [rig.add() for _ in range(40)]
    old = written[-1].header
    rig.journal.renew("a sink has another history")
    facts = opening(rig.journal)
    assert (facts["previous"], facts["previous_last"]) == (old.epoch, old.last)
    assert facts["previous_digest"] == written[-1].digest
    assert (facts["clean"], facts["doubt"]) == (True, "a sink has another history")
    assert [span.last for span in rig.journal.spans()] == [old.last, 1], "both are durable, and may be shown"
    after = rig.add()
    assert after.header.epoch == rig.journal.spans()[-1].epoch
    kept = everything(rig.open())
    assert data(kept) == [*written, after] and gaps(kept) == []
    assert opening(rig.journal)["doubt"] is None


@pytest.mark.parametrize("operation", ["create", "write", "sync"])
def test_renewing_on_a_failing_disk_is_refused_and_not_forgotten(operation: str) -> None:
    """The next append is in an epoch that says the doubt, and nothing is lost by the attempt."""
    rig = Rig()
    before = rig.add()
    rig.journal.sync()
    rig.disk.fail(operation)
    with pytest.raises(DiskRefused):
        rig.journal.renew("two histories")
    rig.disk.heal()
    after = rig.add()
    assert after.header.epoch != before.header.epoch
    rig.journal.sync()
    facts = opening(rig.journal)
    assert (facts["previous"], facts["doubt"]) == (before.header.epoch, "two histories")
    assert data(everything(rig.open())) == [before, after]


def test_an_unclean_end_before_another_boot_says_power() -> None:
    """Then nobody knows how much was lost after the last sync."""
    rig = Rig()
    rig.add(3)
    rig.journal.sync()
    rig.power_cut()
    facts = opening(rig.open())
    assert facts["power"] is True
    assert facts["previous_last"] == 1 + 9
    rig.journal.close()
    rig.power_cut()
    assert "power" not in opening(rig.open())


def test_marks_come_back_as_of_the_last_frame() -> None:
    """From the snapshot at the segment's beginning and the frames after it, the newest last."""
    rig = Rig()
    rig.add(marks={"a": 1, "b": [1, 2]})
    rig.fill(3)
    rig.add(marks={"c": 7})
    rig.add(marks={"a": 2})
    journal = rig.open()
    assert journal.marks == {"b": (1, 2), "c": 7, "a": 2}
    assert list(journal.marks) == ["b", "c", "a"]


def test_the_number_of_marks_is_bounded() -> None:
    """The source not heard of for longest is forgotten."""
    rig = Rig()
    for number in range(4_100):
        rig.add(size=10, marks={str(number): number})
    assert len(rig.journal.marks) == 4_096
    assert "3" not in rig.journal.marks and "4" in rig.journal.marks
    assert len(rig.open().marks) == 4_096


@pytest.mark.parametrize("source", ["file:/var/log/quiet.log", "journal:auto", "journal-file:0123"])
def test_a_crowd_of_producers_does_not_push_out_the_marks_of_files(source: str) -> None:
    """A file or journal that is forgotten would be read again, and stored twice; a producer of one record never comes back."""
    rig = Rig()
    rig.add(size=10, marks={source: [1, 2]})
    for start in range(0, 5_000, 250):
        rig.add(size=10, marks={f"socket:log-{number}": 1 for number in range(start, start + 250)})
    assert len(rig.journal.marks) == 4_096
    assert rig.journal.marks[source] == [1, 2]
    assert "socket:log-4999" in rig.journal.marks and "socket:log-0" not in rig.journal.marks
    assert rig.open().marks[source] == (1, 2)


def test_the_bytes_of_marks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sources have however long ones, the journal opens again; what is forgotten is said."""
    monkeypatch.setattr("tabard.agents.journal.marks.MAX_BYTES", 100_000)
    monkeypatch.setattr("tabard.agents.journal.marks._READ_LIMIT", 200_000)
    rig = Rig(limits=Limits(recent=0))
    for number in range(100):
        rig.add(marks={str(number): "x" * 5_000})
    assert "forgotten" not in rig.kinds()
    rig.journal.renew("another segment")
    assert "forgotten" in rig.kinds()
    assert list(rig.journal.marks)[-1] == "99" and 10 <= len(rig.journal.marks) < 20
    rig.add(marks={f"all {number}": "y" * 5_000 for number in range(100)})
    assert list(rig.open().marks)[-1] == "all 99"
    assert all(len(mark) == 5_000 for mark in rig.journal.marks.values())
    rig.journal.renew("another segment")
    rig.open()
    assert 10 <= len(rig.journal.marks) < 20


def test_marks_that_cannot_be_read_do_not_keep_the_journal_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other frames are kept."""
    rig = Rig()
    rig.add(marks={"a": 1})
    rig.add(marks={"b": "x" * 500})
    rig.add(marks={"c": 3})
    monkeypatch.setattr("tabard.agents.journal.marks._READ_LIMIT", 100)
    assert rig.open().marks == {"a": 1, "c": 3}
    assert "forgotten" in rig.kinds()


def test_a_removed_segment_is_gone_for_good_with_the_next_sync() -> None:
    """No power cut brings it back, so that no hole is seen behind it."""
    for seed in range(20):
        rig = Rig(rng=Random(seed))
        rig.fill(6)
        rig.store_all()
        rig.add()
        rig.journal.sync()
        left = rig.files()
        rig.power_cut()
        assert rig.files() == left


def test_batches_are_in_memory_for_a_sender_that_keeps_up_and_not_for_longer() -> None:
    """What was there at the last but one look at the bounds has gone; it is read from the disk as it was."""
    recent = Recent(limit=1_000_000)
    rig = Rig()
    batches = [rig.add() for _ in range(5)]
    for batch in batches[:2]:
        recent.add(batch)
    recent.age()
    for batch in batches[2:]:
        recent.add(batch)
    assert [recent.get(batch.header.epoch, batch.header.first) for batch in batches] == batches
    recent.age()
    held = [recent.get(batch.header.epoch, batch.header.first) for batch in batches]
    assert held == [None, None, *batches[2:]]
    recent.age()
    assert [recent.get(batch.header.epoch, batch.header.first) for batch in batches] == [None] * 5
    small = Recent(limit=batches[0].size + batches[1].size)
    for batch in batches:
        small.add(batch)
    small.age()  # more were added than are here: nothing of that is old yet
    assert [small.get(batch.header.epoch, batch.header.first) for batch in batches[3:]] == batches[3:]
    small.age()
    assert [small.get(batch.header.epoch, batch.header.first) for batch in batches] == [None] * 5


def test_a_journal_whose_bounds_are_looked_at_holds_nothing_of_an_old_burst() -> None:
    """Whether a sink has it or not: who lags that far reads the files."""
    rig = Rig()
    journal = rig.open(recent=1 << 20)
    kept = [rig.add() for _ in range(10)]
    rig.disk.fail("read", times=99)
    rig.disk.fail("open", times=99)
    assert [journal.read(batch.header.epoch, batch.header.first) for batch in kept] == kept
    for _ in range(2):
        journal.enforce(rig.clock.monotonic())
    assert [journal.read(batch.header.epoch, batch.header.first) for batch in kept] == [None] * 10


def test_recent_batches_are_served_without_the_disk() -> None:
    """The live sender never waits for it."""
    rig = Rig()
    rig.open(recent=100_000)
    batch = rig.add(3)
    rig.disk.fail("read", times=99)
    rig.disk.fail("open", times=99)
    assert rig.journal.read(batch.header.epoch, batch.header.first) is batch


def test_what_gave_way_to_a_gap_is_not_served_from_memory() -> None:
    """One number never reads as a record now and as part of a gap later."""
    rig = Rig()
    rig.open(bytes=40_000, recent=1 << 20)
    rig.add(100)
    rig.journal.enforce(rig.clock.monotonic())
    batches = everything(rig.journal)
    assert len(gaps(batches)) == 1
    rig.limits = Limits(recent=0)
    assert everything(rig.open())[: len(batches)] == batches


def test_a_full_disk_accepts_nothing_and_recovers_by_itself() -> None:
    """The failed append leaves no trace; when there is room again the chain goes on without a break."""
    rig = Rig()
    rig.add(2, marks={"s": 1})
    rig.disk.capacity = rig.disk.used + 300
    with pytest.raises(DiskRefused, match="No space left") as refused:
        rig.add(marks={"s": 2})
    assert refused.value.retry is True
    assert rig.journal.marks == {"s": 1}
    assert rig.kinds() == {"full"}
    rig.disk.heal()
    rig.add(marks={"s": 3})
    rig.journal.sync()
    assert rig.kinds() == set()
    assert len(data(everything(rig.journal))) == 3
    assert gaps(everything(rig.open())) == []


def test_a_failed_write_that_cannot_be_undone_ends_the_epoch() -> None:
    """What may stand behind the last frame is never taken for a frame, and its number is not used again."""
    rig = Rig()
    first = rig.add()
    rig.disk.fail("write")
    rig.disk.fail("truncate")
    with pytest.raises(DiskRefused):
        rig.add()
    second = rig.add()
    assert second.header.epoch != first.header.epoch
    assert opening(rig.journal)["reason"] == "error"
    assert opening(rig.journal)["previous_last"] == first.header.last
    assert data(everything(rig.journal)) == [first, second]


def test_a_small_disk_full_of_what_is_stored_goes_on() -> None:
    """Even when the segment being written fills it: the reserve makes room for the next one."""
    rig = Rig()
    rig.open(segment=1 << 20, bytes=1 << 30)
    rig.journal.sync()
    rig.disk.capacity = rig.disk.used + 20_000
    for _ in range(5):
        with pytest.raises(DiskRefused):
            rig.add(100)
        assert rig.journal.stats().segments == 1
        rig.journal.sync()
        rig.store_all()
        rig.add()
    assert gaps(everything(rig.journal)) == []
    kept = everything(rig.open())
    assert gaps(kept) == []


def test_a_read_only_disk_is_read_and_appends_are_refused_until_it_is_writable() -> None:
    """Reading goes on; the new epoch begins with the first append that succeeds."""
    rig = Rig()
    rig.add(20)
    rig.journal.sync()
    before = rig.journal.spans()
    rig.disk.read_only = True
    journal = rig.open()
    assert list(journal.spans()) == list(before)
    assert len(data(everything(journal))) == 20
    with pytest.raises(DiskRefused, match="Read-only"):
        rig.add()
    assert rig.kinds() == {"read-only"}
    journal.enforce(rig.clock.monotonic())
    journal.sync()
    rig.disk.heal()
    rig.add()
    assert len(data(everything(journal))) == 21
    assert opening(journal)["previous"] == before[-1].epoch


def test_a_directory_that_cannot_be_used_is_an_error_that_says_so() -> None:
    """The owner tries again."""
    rig = Rig()
    rig.disk.fail("mkdir", errno.EACCES)
    with pytest.raises(DiskRefused, match=r"Permission denied.*give the agent") as refused:
        rig.open()
    assert refused.value.where == "/j/logs"
    assert rig.open().spans()


def test_a_failed_sync_is_said_and_written_again() -> None:
    """After fsync failed the kernel drops what was dirty; a second fsync alone would lie."""
    rig = Rig()
    rig.journal.sync()
    batch = rig.add(3)
    assert rig.journal.spans()[-1].last == 1
    rig.disk.fail("sync")
    with pytest.raises(DiskRefused, match="sync failed"):
        rig.journal.sync()
    assert rig.journal.unsynced > 1500
    assert rig.journal.spans()[-1].last == 1
    rig.journal.sync()
    assert rig.journal.spans()[-1][1:] == (1, batch.header.last, batch.digest)
    rig.power_cut()
    assert len(data(everything(rig.open()))) == 3


def test_syncs_run_beside_appends() -> None:
    """What is appended while a sync runs, in the same segment or a new one, is not taken for durable."""
    rig = Rig()
    batch = rig.add(2)
    job = rig.journal.sync_job()
    assert job is not None
    job.run()
    rig.fill(3)
    assert rig.journal.spans()[-1].last == 1
    rig.journal.finish_sync(job)
    assert rig.journal.spans()[-1].last == batch.header.last
    assert rig.journal.unsynced > 0
    rig.journal.sync()
    assert rig.journal.unsynced == 0
    assert rig.journal.sync_job() is None
    rig.power_cut()
    kept = data(everything(rig.open()))
    assert kept[-1].header.last == rig.journal.spans()[0].last


def test_what_a_killed_process_left_unsynced_is_synced_before_it_is_shown() -> None:
    """All segments that were not durable, not only the last: a power cut soon after takes nothing shown."""
    rig = Rig()
    rig.open()
    rig.fill(4)
    rig.open()
    shown = everything(rig.journal)
    assert rig.journal.spans()[-1].last == 1
    rig.power_cut()
    assert everything(rig.open())[: len(shown)] == shown


def test_what_could_not_be_synced_at_the_start_is_not_shown() -> None:
    """Until a later sync succeeds."""
    rig = Rig()
    rig.add(3)
    rig.disk.fail("sync", times=9)
    rig.open()
    assert rig.journal.spans() == ()
    rig.disk.heal()
    rig.journal.sync()
    assert [span.last for span in rig.journal.spans()] == [10, 1]


def test_a_file_is_not_closed_under_a_sync() -> None:
    """A segment may be let go while another thread syncs it."""
    rig = Rig()
    rig.open(bytes=40_000)
    rig.fill(6)
    job = rig.journal.sync_job()
    assert job is not None
    rig.journal.enforce(rig.clock.monotonic())
    assert gaps(everything(rig.journal))
    job.run()
    rig.journal.finish_sync(job)
    assert rig.journal.unsynced == 0


def test_segments_stored_everywhere_are_removed_oldest_first() -> None:
    """But for those kept for a sink that comes back older, and the one being written."""
    rig = Rig()
    rig.fill(6)
    rig.store_all()
    assert rig.journal.stats().segments == 1
    span = rig.journal.spans()[0]
    assert span.oldest > 1
    everything(rig.journal)
    rig.open(keep_acked=2 * 12_288)
    rig.fill(7)
    rig.store_all()
    assert rig.journal.stats().segments == 3
    everything(rig.open())


def test_the_last_durable_segment_is_never_removed() -> None:
    """A power cut may take the newer ones, and the next epoch must still know which one it follows."""
    for seed in range(20):
        rig = Rig(rng=Random(seed))
        rig.add(5)
        rig.journal.sync()
        span = rig.journal.spans()[-1]
        rig.fill(2)
        rig.journal.release({span.epoch: Ranges([Range(1, 999, NO_DIGEST, NO_DIGEST)])})
        assert rig.journal.stats().segments == 2
        rig.power_cut()
        facts = opening(rig.open())
        assert facts["previous"] == span.epoch
        assert facts["previous_last"] >= span.last


def test_a_hole_in_the_cursor_holds_what_is_after_it() -> None:
    """Only whole segments from the oldest on are removed; and a lower cursor takes a release back."""
    rig = Rig()
    rig.open(keep_acked=1 << 20)
    rig.fill(5)
    rig.store_all()
    assert rig.journal.stats().segments == 5
    rig.journal.sync()
    span = rig.journal.spans()[0]
    rig.journal.release({span.epoch: Ranges()})
    assert rig.journal.stats().segments == 5
    rig.open(keep_acked=0)
    rig.journal.release({span.epoch: Ranges([Range(30, span.last, NO_DIGEST, span.digest)])})
    assert rig.journal.spans()[0].oldest == 1
    assert rig.journal.stats().segments == 6
    rig.journal.release({span.epoch: Ranges([Range(1, 60, NO_DIGEST, NO_DIGEST)])})
    assert 1 < rig.journal.spans()[0].oldest <= 61
    everything(rig.journal)


def test_over_its_bytes_the_oldest_segment_gives_way_to_a_gap() -> None:
    """Neighbouring gaps merge; the gap stands for the exact range and chains with what follows."""
    rig = Rig()
    rig.open(bytes=80_000)
    rig.add(300)
    rig.journal.enforce(rig.clock.monotonic())
    batches = everything(rig.journal)
    assert len(gaps(batches)) == 1
    first, last, reason = gaps(batches)[0]
    assert (first, reason, batches[0].header.kind) == (1, "quota", GAP)
    facts = unpack(batches[0].body)
    assert (facts["count"], facts["at_least"]) == (last - 1, False)
    assert last + 3 * len(data(batches)) == 1 + 900
    assert rig.journal.stats().bytes <= 80_000
    assert rig.journal.stats().dropped == last - 1
    again = everything(rig.open())
    assert again[: len(batches)] == batches


def test_stored_segments_go_before_others() -> None:
    """A gap is put only where something is lost to nobody else."""
    rig = Rig()
    rig.open(bytes=80_000, keep_acked=1 << 20)
    rig.fill(5)
    rig.store_all()
    rig.add(60)
    rig.journal.enforce(rig.clock.monotonic())
    assert rig.journal.stats().bytes <= 80_000
    assert gaps(everything(rig.journal)) == []


def test_age_is_journal_time_and_never_the_wall_clock() -> None:
    """A clock two days off trims nothing; a day of monotonic time does; time between boots does not count."""
    rig = Rig()
    rig.open(age=86_400.0)
    rig.fill(3)
    rig.clock.now += 10 * 86_400 * 10**9
    rig.journal.enforce(rig.clock.monotonic())
    assert gaps(everything(rig.journal)) == []
    rig.clock.seconds += 50_000
    rig.journal.enforce(rig.clock.monotonic())
    rig.add()
    rig.journal.sync()
    rig.power_cut()
    rig.clock.seconds = 3.0
    rig.open()
    rig.journal.enforce(rig.clock.monotonic())
    assert gaps(everything(rig.journal)) == []
    rig.clock.seconds += 40_000
    rig.journal.enforce(rig.clock.monotonic())
    batches = everything(rig.journal)
    assert [reason for _, _, reason in gaps(batches)] == ["age"]
    assert data(batches), "what was appended later is younger"
    assert rig.journal.stats().oldest_age > 86_400


def test_restarts_within_a_boot_keep_journal_time_going() -> None:
    """An agent that is down for a day is a day older afterwards, when the host was up."""
    rig = Rig()
    rig.open(age=86_400.0)
    rig.add(3)
    rig.clock.seconds += 100_000
    rig.open()
    rig.journal.enforce(rig.clock.monotonic())
    assert gaps(everything(rig.journal)) == [(1, 10, "age")]


def test_a_file_replaced_underneath_begins_an_epoch_in_doubt() -> None:
    """What the old file held and the new one lacks is a gap; nothing is read twice."""
    rig = Rig()
    rig.add(5, marks={"s": 5})
    rig.journal.sync()
    snapshot = rig.disk.snapshot()
    last = rig.add(4, marks={"s": 9})
    rig.disk.restore(snapshot)
    rig.journal.sync()
    facts = opening(rig.journal)
    assert facts["reason"] == "doubt" and "replaced" in facts["doubt"]
    assert (facts["previous"], facts["previous_last"]) == (last.header.epoch, last.header.last)
    assert facts["previous_digest"] == last.digest
    batches = everything(rig.journal)
    assert len(data(batches)) == 5
    assert gaps(batches) == [(17, 28, "missing")]
    assert rig.journal.marks == {"s": 9}
    rig.add()
    assert gaps(everything(rig.open())) == [(17, 28, "missing")]


def test_a_file_removed_underneath_is_a_gap() -> None:
    """All of it."""
    rig = Rig()
    rig.add(5)
    rig.journal.sync()
    rig.disk.unlink(rig.files()[0])
    rig.add()
    rig.journal.sync()
    assert gaps(everything(rig.journal)) == [(1, 19, "missing")]
    assert opening(rig.journal)["previous_last"] == 19


def test_ten_thousand_epochs_open_by_their_heads() -> None:
    """Opening reads a bounded part of each file, and keeps no file open."""
    rig = Rig()
    rig.limits = Limits(recent=0)
    for _ in range(300):
        rig.open()
        rig.add(10)
    operations, read = rig.disk.operations, rig.disk.bytes_read
    rig.open()
    assert rig.disk.operations - operations <= 8
    assert rig.disk.bytes_read - read < 310 * HEAD_WINDOW
    assert len(rig.journal.spans()) == 301
    assert len(data(everything(rig.journal))) == 3000


def test_epochs_without_records_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent started every minute without a sink; those with records stay, and those after them."""
    monkeypatch.setattr("tabard.agents.journal.journal.MAX_SEGMENTS", 50)
    rig = Rig()
    for _ in range(60):
        rig.open()
    rig.journal.enforce(rig.clock.monotonic())
    assert rig.journal.stats().segments == 50
    rig.add()
    for _ in range(60):
        rig.open()
    rig.journal.enforce(rig.clock.monotonic())
    assert rig.journal.stats().segments == 61
    assert len(data(everything(rig.journal))) == 1


def test_gaps_that_pile_up_are_let_go_with_their_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first; how many records they stood for is said."""
    monkeypatch.setattr("tabard.agents.journal.journal.MAX_SEGMENTS", 20)
    rig = Rig(limits=Limits(age=10.0, recent=0))
    for _ in range(30):
        rig.open()
        rig.add(2)
        rig.clock.seconds += 100
        rig.journal.enforce(rig.clock.monotonic())
    rig.open()
    rig.journal.enforce(rig.clock.monotonic())
    assert rig.journal.stats().segments == 20
    fault = next(fault for fault in rig.journal.faults() if fault.kind == "forgotten")
    assert "gaps of 6 records" in fault.detail, "since this start"
    everything(rig.journal)


def test_what_could_not_be_synced_on_a_read_only_disk_is_synced_later() -> None:
    """A process died before its sync, the next one began on a read-only disk: once it takes writes, all is durable."""
    rig = Rig()
    rig.journal.sync()
    rig.add(3)
    before = data(everything(rig.journal))
    rig.disk.read_only = True
    rig.open()
    assert rig.journal.unsynced > 0
    rig.disk.heal()
    rig.add(1)
    rig.journal.sync()
    assert rig.journal.unsynced == 0
    rig.power_cut()
    rig.open()
    assert data(everything(rig.journal))[:3] == before


def test_nothing_is_accepted_without_bound_while_no_sync_succeeds() -> None:
    """A power cut would take all of it; as soon as one succeeds it goes on."""
    rig = Rig()
    rig.open()
    accepted = 0
    rig.disk.fail("sync", times=10_000)
    for _ in range(60):
        rig.clock.seconds += 1
        with suppress(DiskRefused):
            rig.add()
            accepted += 1
        with pytest.raises(DiskRefused):
            rig.journal.sync()
    assert 5 <= accepted <= 7
    assert "failing" in rig.kinds()
    with pytest.raises(DiskRefused, match="until a sync succeeds") as refused:
        rig.add()
    assert refused.value.retry and not refused.value.full
    rig.disk.heal()
    rig.journal.sync()
    rig.add()
    assert len(data(everything(rig.journal))) == accepted + 1


def test_a_sync_that_was_late_once_refuses_nothing() -> None:
    """However long ago the last one was, a failure is given time."""
    rig = Rig()
    rig.add()
    rig.clock.seconds += 3600
    rig.disk.fail("sync")
    with pytest.raises(DiskRefused):
        rig.journal.sync()
    rig.add()
    rig.journal.sync()
    rig.clock.seconds += 3600
    rig.add()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_what_may_not_be_durable_is_not_shown_because_a_file_could_not_be_opened(number: int) -> None:
    """Only a disk that takes no writes at all is read as it is."""
    rig = Rig()
    rig.add(5)
    real = rig.disk.open
    fails = [number] * 3

    def opened(path: str, *, write: bool = False) -> SimFile:
        if write and fails and path.endswith(".seg"):
            raise OSError(fails.pop(), "not now", path)
        return real(path, write=write)

    rig.disk.open = opened  # type: ignore[method-assign]
    assert rig.open().spans() == ()
    while fails:
        with pytest.raises(DiskRefused):
            rig.journal.sync()
        assert rig.journal.spans() == ()
    rig.journal.sync()
    shown = [span.last for span in rig.journal.spans()]
    assert shown == [16, 1]
    rig.power_cut()
    assert [span.last for span in rig.open()._catalog.spans()][:2] == shown


def test_a_body_that_no_sink_would_take_is_refused_when_it_is_written() -> None:
    """It is no trouble of the disk, and no second try helps."""
    rig = Rig()
    rig.add()
    with pytest.raises(JournalError, match="too large") as refused:
        rig.journal.append(bytes(MAX_BODY + 1), 1, {"s": 1})
    assert not isinstance(refused.value, DiskRefused)
    assert rig.journal.marks == {}
    assert rig.journal.append(bytes(MAX_BODY), 1, {}).header.first == 5


def test_a_cursor_that_is_taken_back_holds_its_segments_again() -> None:
    """A sink that lost its store names every epoch with nothing in it."""
    rig = Rig()
    rig.open(keep_acked=1 << 20)
    rig.fill(4)
    rig.open()
    rig.fill(7)
    rig.store_all()
    assert rig.journal._catalog.acked_bytes > 0
    rig.journal.release({span.epoch: Ranges() for span in rig.journal.spans()})
    assert rig.journal._catalog.acked_bytes == 0
    assert not any(segment.acked for segment in rig.journal._catalog)


def test_another_stream_gives_way_on_a_full_disk() -> None:
    """Its oldest records leave a gap, a segment at a time, until nothing is left that takes space."""
    limits = Limits(bytes=64 << 20, segment=1 << 16, recent=0)
    samples = Rig(stream=SAMPLES, limits=limits, directory="/j/samples")
    samples.open()
    logs = Rig(disk=samples.disk, limits=limits)
    journal = logs.open()
    journal.when_full = samples.journal.give_way
    samples.disk.capacity = 4 << 20
    with pytest.raises(DiskRefused):
        samples.add(100_000, size=4000, count=1)
    logs.add(20)
    assert samples.journal.stats().dropped > 0
    kept = len(data(everything(samples.journal)))
    assert kept > 500, "no more than is needed"
    with pytest.raises(DiskRefused):
        logs.add(100_000, size=4000)
    assert data(everything(samples.journal)) == []
    assert [reason for _, _, reason in gaps(everything(samples.journal))] == ["disk full"]
    assert journal.stats().bytes > 3 << 20
    assert gaps(everything(journal)) == [], "what is more is for the quota to say"
    everything(samples.open())


def test_what_frees_nothing_is_not_given() -> None:
    """A gap takes a block like the few records that would give way to it."""
    rig = Rig()
    for _ in range(20):
        rig.open()
        rig.add(2)
    assert not rig.journal.give_way()
    assert len(data(everything(rig.journal))) == 40
    rig.add(30)
    rig.open()
    assert rig.journal.give_way()
    assert len(data(everything(rig.journal))) >= 38


def test_a_stream_gives_what_is_stored_before_what_is_not() -> None:
    """And nothing at all when it is not its disk that is full."""
    rig = Rig()
    rig.open(keep_acked=1 << 20)
    rig.fill(4)
    rig.store_all()
    rig.fill(8)
    assert rig.journal.give_way()
    assert gaps(everything(rig.journal)) == []
    rig.disk.read_only = True
    assert not rig.journal.give_way()
