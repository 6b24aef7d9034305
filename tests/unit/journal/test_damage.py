"""Whatever is found on disk, the journal opens, reads what can be read, and says what cannot."""

from __future__ import annotations

import errno
from contextlib import suppress

import pytest

from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.frames import (
    PREFIX_BYTES,
    Damage,
    Found,
    encode_batch,
    read_frame,
    read_prefix,
    walk,
)
from tabard.brokers.wire.batch import seal_batch
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.streams import SAMPLES
from tests.unit.journal.rig import Rig, data, everything, gaps, opening


def frame_offsets(image: bytes) -> list[int]:
    """Where the batches of a segment begin."""
    return [piece.offset for piece in walk(image, 8) if isinstance(piece, Found) and piece.batch]


def filled() -> Rig:
    """Several synced segments."""
    rig = Rig()
    rig.fill(4)
    rig.add(3)
    rig.journal.sync()
    return rig


@pytest.mark.threat("damage")
@pytest.mark.parametrize("part", ["prefix", "header", "body"])
@pytest.mark.parametrize("segment", [0, 1, -1])
@pytest.mark.parametrize("reopened", [False, True], ids=["running", "reopened"])
def test_a_ruined_frame_is_a_gap_and_its_neighbours_are_kept(part: str, segment: int, reopened: bool) -> None:
    """Exact count, from the frame after it; the original goes to the quarantine, and it is said."""
    rig = filled()
    before = everything(rig.journal)
    path = rig.files()[segment]
    offset = frame_offsets(rig.disk.get(path))[1]
    where = {"prefix": 10, "header": PREFIX_BYTES + 5, "body": PREFIX_BYTES + 300}[part]
    rig.disk.corrupt(path, offset + where, b"\xff\x00ruined")
    if reopened:
        rig.open()
    after = everything(rig.journal)
    ruined = [batch for batch in before if batch not in after]
    assert len(ruined) == 1
    assert gaps(after) == [(ruined[0].header.first, ruined[0].header.last, "damaged")]
    assert rig.quarantined() == [path.rpartition("/")[2]]
    assert "quarantined" in rig.kinds()
    assert rig.disk.get(path) != rig.disk.get(f"/j/logs/quarantine/{rig.quarantined()[0]}")
    rig.add()
    again = everything(rig.open())
    assert gaps(again) == gaps(after)
    assert len(rig.quarantined()) == 1


@pytest.mark.threat("damage")
def test_no_flipped_bit_of_a_frame_goes_unnoticed() -> None:
    """Wherever it is: in the prefix, the header, the signature, the marks of sources or the body."""
    rig = filled()
    image = rig.disk.get(rig.files()[0])
    offset = frame_offsets(image)[1]
    prefix = read_prefix(image, offset)
    assert prefix is not None
    frame = image[offset : offset + prefix.length]
    assert isinstance(read_frame(frame, 0, prefix), Found)
    for place in range(len(frame)):
        bent = bytearray(frame)
        bent[place] ^= 1 << place % 8
        found = read_prefix(bytes(bent))
        assert found is None or isinstance(read_frame(bytes(bent), 0, found), Damage), place


def test_ruined_frames_next_to_each_other_are_one_gap() -> None:
    """Three in a row, the middle one's prefix too."""
    rig = filled()
    path = rig.files()[1]
    offsets = frame_offsets(rig.disk.get(path))
    for offset in (offsets[2] + 80, offsets[3] + 1, offsets[4] + 200):
        rig.disk.corrupt(path, offset, b"ruin")
    ((first, last, reason),) = gaps(everything(rig.journal))
    assert (last - first + 1, reason) == (9, "damaged")


@pytest.mark.threat("damage")
@pytest.mark.parametrize(
    "content", [b"", bytes(5000), b"not ours at all", b"TABARDJ1", b"TABARDJ9" + bytes(99)]
)
@pytest.mark.parametrize("segment", [0, 1, -1])
def test_a_segment_of_nonsense_is_set_aside_and_its_records_are_a_gap(content: bytes, segment: int) -> None:
    """Empty, zeros, foreign, cut after its first bytes, of another version."""
    rig = filled()
    before = everything(rig.journal)
    lost = unpack_range(rig, segment)
    rig.disk.put(rig.files()[segment], content)
    rig.open()
    after = everything(rig.journal)
    if segment == -1:
        assert [gap[:2] for gap in gaps(after)] == [lost]
        assert opening(rig.journal)["previous_last"] == lost[1]
        assert opening(rig.journal)["clean"] is False
        assert opening(rig.journal)["lost"] == {"at_least": 0, "reason": "torn"}, "what was not synced"
    elif segment == 0:
        assert rig.journal.spans()[0].oldest == lost[1] + 1
    else:
        assert gaps(after) == [(*lost, "damaged")]
    assert set(data(after)) < set(data(before))
    assert (content in (b"", b"TABARDJ1") and segment == -1) or len(rig.quarantined()) == 1


def unpack_range(rig: Rig, segment: int) -> tuple[int, int]:
    """First and last sequence number in a segment."""
    image = rig.disk.get(rig.files()[segment])
    headers = [piece.batch.header for piece in walk(image, 8) if isinstance(piece, Found) and piece.batch]
    return headers[0].first, headers[-1].last


def test_a_ruined_head_loses_nothing_but_itself() -> None:
    """The frames after it say where they belong."""
    rig = filled()
    before = everything(rig.journal)
    for path in rig.files():
        rig.disk.corrupt(path, 0, b"XXXXXXXXXXXXXXXXXXXX")
    rig.open()
    after = everything(rig.journal)
    assert after[: len(before)] == before
    assert gaps(after) == []
    assert len(rig.quarantined()) == 4
    assert everything(rig.open())[: len(before)] == before


def test_a_ruined_last_head_is_no_power_cut() -> None:
    """In which boot the journal was written is known without it, by the note of the end or the heads before."""
    for note in (True, False):
        rig = filled()
        rig.disk.corrupt(rig.files()[-1], 0, b"XX")
        if not note:
            rig.disk.unlink("/j/logs/tidemark")
        facts = opening(rig.open())
        assert "power" not in facts and "lost" not in facts
        rig.disk.corrupt(rig.files()[-1], 0, b"XX")
        if not note:
            rig.disk.unlink("/j/logs/tidemark")
        rig.boots += 1
        assert opening(rig.open())["power"] is True


def test_marks_survive_a_ruined_last_segment() -> None:
    """They go back to what the segments before it knew."""
    rig = Rig()
    rig.add(marks={"a": 1})
    rig.fill(3)
    rig.add(marks={"a": 2})
    rig.journal.sync()
    rig.disk.put(rig.files()[-1], b"nonsense")
    assert rig.open().marks == {"a": 1}


def test_a_second_copy_of_a_segment_is_set_aside() -> None:
    """Its frames are not taken twice, wherever it stands."""
    rig = filled()
    before = everything(rig.journal)
    image = rig.disk.get(rig.files()[1])
    rig.disk.put("/j/logs/00000000000000aa.seg", image)
    after = everything(rig.open())
    assert after[: len(before)] == before
    assert rig.quarantined() == ["00000000000000aa.seg"]
    rig.disk.put("/j/logs/00000000000000bb.seg", image)
    assert everything(rig.open())[: len(before)] == before


def test_what_two_writers_left_side_by_side_is_all_kept() -> None:
    """An epoch that was written on while a later one was written, too, is put together again."""
    rig = Rig()
    accepted = [rig.add(3)]
    rig.journal.sync()
    first = rig.journal
    second = rig.open()
    for _ in range(6):
        for journal in (first, second):
            for _ in range(8):
                with suppress(DiskRefused):
                    accepted.append(journal.append(rig.rng.randbytes(500), 3, {}))
            journal.sync()
    rig.open()
    kept = everything(rig.journal)
    assert all(batch in kept for batch in accepted)
    assert gaps(kept) == [] and rig.quarantined() == []
    again = everything(rig.open())
    assert again[: len(kept)] == kept


def test_a_copy_that_holds_more_than_what_it_is_a_copy_of_is_missed() -> None:
    """The one that stands first is taken: what only the other held is said to be lost."""
    rig = filled()
    rig.disk.unlink("/j/logs/tidemark")
    path = rig.files()[-1]
    image = rig.disk.get(path)
    rig.disk.put("/j/logs/00000000000000aa.seg", image)
    rig.disk.put(path, image[: frame_offsets(image)[-2]])
    facts = opening(rig.open())
    assert facts["lost"] == {"at_least": 6, "reason": "torn"}
    assert facts["clean"] is False
    assert rig.quarantined() == ["00000000000000aa.seg"]


def test_files_that_are_not_ours_are_left_alone_and_named() -> None:
    """Unless they pretend to be segments."""
    rig = filled()
    rig.disk.put("/j/logs/core", b"dump")
    rig.disk.put("/j/logs/copy of it.seg", b"what")
    rig.disk.put("/j/logs/0000000000000009.seg.tmp", b"half written")
    rig.open()
    assert rig.disk.get("/j/logs/core") == b"dump"
    assert rig.quarantined() == ["copy of it.seg"]
    assert "0000000000000009.seg.tmp" not in rig.disk.names("/j/logs")
    assert "foreign" in rig.kinds()


def test_a_segment_of_another_stream_is_set_aside() -> None:
    """A directory given to two streams must not mix them."""
    rig = filled()
    other = Rig(stream=SAMPLES)
    other.add(3)
    rig.disk.put("/j/logs/00000000000000cc.seg", other.disk.get(other.files()[0]))
    before = everything(rig.journal)
    assert everything(rig.open())[: len(before)] == before
    assert rig.quarantined() == ["00000000000000cc.seg"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
@pytest.mark.parametrize("segment", [1, -1])
def test_a_segment_that_cannot_be_opened_is_left_where_it_is(number: int, segment: int) -> None:
    """Wrong rights and a disk that is away say nothing about its content: the start fails and names the file."""
    rig = filled()
    before = everything(rig.journal)
    path = rig.files()[segment]
    rig.disk.fail("open", number, part=path, times=1)
    with pytest.raises(
        DiskRefused, match=r"belongs to" if number != errno.EIO else "move that file"
    ) as refused:
        rig.open()
    assert refused.value.where == path
    assert everything(rig.open())[: len(before)] == before
    assert rig.quarantined() == []


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_a_read_that_fails_some_times_costs_nothing(times: int) -> None:
    """A block is asked for again before it counts as unreadable, also at the start."""
    rig = filled()
    before = everything(rig.journal)
    rig.disk.fail("read", part=rig.files()[-1], times=times)
    assert everything(rig.open())[: len(before)] == before
    assert rig.quarantined() == []


def test_a_block_that_stays_unreadable_is_a_gap_after_some_patience() -> None:
    """A disk that comes back in between costs nothing; one that does not, keeps nobody waiting for ever."""
    rig = filled()
    before = everything(rig.journal)
    path = rig.files()[1]
    first, last = unpack_range(rig, 1)
    epoch = before[0].header.epoch
    rig.disk.fail("read", part=path, times=40)
    assert rig.journal.read(epoch, first) is None
    assert "failing" in rig.kinds() and rig.quarantined() == []
    rig.disk.heal()
    assert everything(rig.journal) == before
    rig.disk.fail("read", part=path, times=10_000)
    found = [rig.journal.read(epoch, first) for _ in range(5)]
    assert found[0] is None and found[-1] is not None
    assert (found[-1].header.first, found[-1].header.last) == (first, last)
    assert len(rig.quarantined()) == 1


def test_a_segment_whose_place_on_the_disk_is_ruined_is_set_aside() -> None:
    """The file system says so itself, and no second try makes it readable."""
    rig = filled()
    lost = unpack_range(rig, 1)
    rig.disk.fail("open", errno.EBADMSG, part=rig.files()[1], times=1)
    assert gaps(everything(rig.open())) == [(*lost, "damaged")]
    assert len(rig.quarantined()) == 1


def test_a_read_that_fails_once_loses_nothing() -> None:
    """The segment is read again before anything is said to be lost."""
    rig = filled()
    before = everything(rig.journal)
    rig.disk.fail("read")
    assert everything(rig.journal) == before
    rig.disk.fail("open", errno.EACCES)
    assert rig.journal.read(before[0].header.epoch, 1) is None
    assert "read-only" in rig.kinds(), "why it is not sent now"
    assert everything(rig.journal) == before
    assert rig.journal.stats().mended == 0
    assert rig.quarantined() == []


def test_too_many_open_files_blame_no_file() -> None:
    """open() fails, to be tried again; reading returns nothing for now."""
    rig = filled()
    before = everything(rig.journal)
    rig.disk.fail("open", errno.EMFILE)
    with pytest.raises(DiskRefused):
        rig.open()
    rig.open()
    epoch = before[0].header.epoch
    rig.disk.fail("open", errno.EMFILE)
    assert rig.journal.read(epoch, 1) is None
    assert everything(rig.journal)[: len(before)] == before
    assert rig.quarantined() == []


def test_damage_on_a_read_only_disk_is_read_as_a_gap() -> None:
    """Nothing can be mended, nothing is lost beyond it, and the same gap is read each time."""
    rig = filled()
    path = rig.files()[1]
    rig.disk.corrupt(path, 4000, b"ruin")
    rig.disk.read_only = True
    rig.open()
    first = everything(rig.journal)
    assert len(gaps(first)) == 1
    assert everything(rig.journal) == first
    assert "damaged" in rig.kinds()
    rig.disk.heal()
    again = everything(rig.open())
    assert again[: len(first)] == first
    assert len(rig.quarantined()) == 1


@pytest.mark.threat("damage")
def test_a_missing_segment_is_a_gap() -> None:
    """Somebody removed it; a whole missing epoch too."""
    rig = filled()
    lost = unpack_range(rig, 1)
    rig.disk.unlink(rig.files()[1])
    assert gaps(everything(rig.open())) == [(*lost, "missing")]
    rig.add(2)
    rig.open()
    rig.add(2)
    rig.journal.sync()
    middle = rig.files()[-2]
    rig.disk.unlink(middle)
    kept = everything(rig.open())
    assert gaps(kept)[-1] == (1, 7, "missing")


@pytest.mark.parametrize("cut", [1, PREFIX_BYTES - 1, PREFIX_BYTES + 10, 600])
def test_a_torn_tail_is_cut_off(cut: int) -> None:
    """Within one boot an unfinished frame was never accepted; after a power cut it may have been."""
    for power in (False, True):
        rig = filled()
        before = everything(rig.journal)
        path = rig.files()[-1]
        rig.add()
        image = rig.disk.get(path)
        offset = frame_offsets(image)[-1]
        rig.disk.put(path, image[: offset + min(cut, len(image) - offset - 1)])
        rig.boots += power
        facts = opening(rig.open())
        assert facts["previous_last"] == before[-1].header.last
        assert facts["previous_digest"] == before[-1].digest
        assert facts.get("lost") == ({"at_least": 0, "reason": "torn"} if power else None)
        assert facts.get("power", False) == power
        assert everything(rig.journal)[:-1] == before
        assert rig.quarantined() == []


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("cut", [1, 30, PREFIX_BYTES, PREFIX_BYTES + 100, 700, 2_000])
def test_an_end_that_is_cut_off_is_missed(cut: int, closed: bool) -> None:
    """In the same boot, which looks like a write that its process did not live to end: but it was synced."""
    rig = filled()
    before = everything(rig.journal)
    if closed:
        rig.journal.close()
    path = rig.files()[-1]
    rig.disk.put(path, rig.disk.get(path)[:-cut])
    rig.open()
    after = everything(rig.journal)
    facts = opening(rig.journal)
    kept = [batch for batch in before if batch in after]
    first, last = kept[-1].header.last + 1, before[-1].header.last
    assert gaps(after) == ([(first, last, "damaged")] if first <= last else [])
    assert (facts["previous_last"], facts["previous_digest"]) == (last, before[-1].digest)
    assert facts["clean"] is False
    assert facts.get("lost") == (None if closed else {"at_least": 0, "reason": "torn"})
    assert "quarantined" in rig.kinds() and rig.quarantined() == [path.rpartition("/")[2]]
    rig.add()
    assert everything(rig.open())[: len(after)] == after
    assert len(rig.quarantined()) == 1


def test_a_last_segment_that_is_gone_is_missed() -> None:
    """Another one with the newest epoch's beginning, too; and a journal of which nothing else is left."""
    rig = filled()
    lost = unpack_range(rig, -1)
    rig.disk.unlink(rig.files()[-1])
    assert gaps(everything(rig.open())) == [(*lost, "missing")]
    rig.add(3)
    rig.journal.close()
    rig.disk.unlink(rig.files()[-1])
    assert gaps(everything(rig.open())) == [(*lost, "missing"), (1, 10, "missing")]
    facts = opening(rig.journal)
    assert (facts["previous_last"], facts["clean"], facts.get("lost")) == (10, False, None)
    end = rig.journal.spans()[-1]
    for path in rig.files():
        rig.disk.unlink(path)
    facts = opening(rig.open())
    assert (facts["previous"], facts["previous_last"], facts["clean"]) == (end.epoch, end.last, False)


@pytest.mark.parametrize(
    "note", [b"", bytes(512), b"x" * 512, None], ids=["empty", "zeros", "ruined", "gone"]
)
def test_a_ruined_note_of_the_end_costs_nothing(note: bytes | None) -> None:
    """It is only a second witness."""
    rig = filled()
    before = everything(rig.journal)
    rig.disk.unlink("/j/logs/tidemark")
    if note is not None:
        rig.disk.put("/j/logs/tidemark", note)
    assert everything(rig.open())[: len(before)] == before
    assert rig.kinds() == set()
    rig.journal.sync()
    lost = unpack_range(rig, -1)
    rig.disk.unlink(rig.files()[-1])
    assert gaps(everything(rig.open())) == [(*lost, "missing")]


def test_an_older_note_of_the_end_is_a_lower_bound() -> None:
    """A power cut may leave one: it claims nothing that was removed since, and hides nothing that came later."""
    rig = filled()
    old = rig.disk.get("/j/logs/tidemark")
    rig.fill(6)
    rig.store_all()
    before = everything(rig.journal)
    rig.disk.put("/j/logs/tidemark", old)
    after = everything(rig.open())
    assert after[: len(before)] == before
    assert gaps(after) == [] and "lost" not in opening(rig.journal)


@pytest.mark.parametrize("cut", [1, 8, 10, 40, 120])
def test_a_segment_whose_writer_died_in_its_head_lacks_nothing(cut: int) -> None:
    """Nobody was told of anything in it."""
    rig = filled()
    before = everything(rig.journal)
    rig.disk.put("/j/logs/00000000000000ff.seg", rig.disk.get(rig.files()[-1])[:cut])
    facts = opening(rig.open())
    assert "lost" not in facts and rig.quarantined() == []
    assert everything(rig.journal)[: len(before)] == before


def test_a_last_frame_ruined_after_it_was_written_is_counted() -> None:
    """Its prefix says how many; with that ruined too, what was synced is known, and else at least one."""
    rig = filled()
    last = everything(rig.journal)[-1].header
    path = rig.files()[-1]
    offset = frame_offsets(rig.disk.get(path))[-1]
    rig.disk.corrupt(path, offset + 300, b"ruin")
    after = everything(rig.open())
    assert gaps(after) == [(last.first, last.last, "damaged")]
    assert opening(rig.journal)["previous_last"] == last.last
    rig = filled()
    rig.disk.corrupt(path, offset + 3, b"ruin")
    assert gaps(everything(rig.open())) == [(last.first, last.last, "damaged")]
    assert opening(rig.journal)["lost"] == {"at_least": 0, "reason": "torn"}
    rig = filled()
    rig.add()
    rig.disk.corrupt(path, frame_offsets(rig.disk.get(path))[-1] + 3, b"ruin")
    facts = opening(rig.open())
    assert facts["lost"] == {"at_least": 1, "reason": "torn"}
    assert facts["previous_last"] == last.last
    assert len(rig.quarantined()) == 1


def test_a_frame_that_does_not_follow_the_one_before_it_is_damage() -> None:
    """However intact it is: what was restored from another time must not break the chain of digests."""
    rig = filled()
    path = rig.files()[-1]
    image = rig.disk.get(path)
    batch = everything(rig.journal)[-2]
    frame = encode_batch(batch, 0)
    start = image.index(batch.head) - PREFIX_BYTES
    header = batch.header._replace(previous=b"\7" * 32)
    forged = encode_batch(seal_batch(header, batch.body, lambda _: b""), 0)
    rig.disk.put(path, image[:start] + forged + image[start + len(frame) :])
    rig.open()
    assert gaps(everything(rig.journal)) == [(header.first, header.last, "damaged")]


def test_text_that_looks_like_a_frame_is_text() -> None:
    """A record may carry the bytes of a frame; damage before it does not bring it to life."""
    rig = Rig()
    rig.add(2)
    image = rig.disk.get(rig.files()[0])
    frame = image[frame_offsets(image)[-1] :]
    rig.journal.append(b"x" * 50 + frame, 1, {})
    rig.add(2)
    path = rig.files()[0]
    offset = frame_offsets(rig.disk.get(path))[3]
    rig.disk.corrupt(path, offset + PREFIX_BYTES + 150, b"ruin")
    after = everything(rig.journal)
    assert len(gaps(after)) == 1
    assert unpack(next(batch for batch in after if batch.header.kind == 3).body)["count"] == 1


def test_faults_are_bounded() -> None:
    """However much is wrong."""
    rig = filled()
    for number in range(200):
        rig.disk.put(f"/j/logs/file {number}", b"")
    rig.open()
    assert len(rig.journal.faults()) == 64


def test_the_quarantine_is_bounded_and_told_of_at_every_start() -> None:
    """The newest files are kept."""
    rig = filled()
    for number in range(70):
        rig.disk.put(f"/j/logs/{0x100 + number:016x}.seg", b"nonsense")
    rig.open()
    assert len(rig.quarantined()) == 64
    assert rig.quarantined()[-1] == f"{0x100 + 69:016x}.seg"
    rig.open()
    assert [fault.detail for fault in rig.journal.faults()] == [
        "64 damaged files are kept here to be looked at"
    ]


def test_a_ruined_head_does_not_hide_what_is_unsynced() -> None:
    """What a killed process left is synced by the next one, though the newest segment cannot say from where on."""
    rig = Rig()
    rig.add(10)
    rig.journal.sync()
    rig.fill(4)
    shown = everything(rig.journal)
    rig.disk.corrupt(rig.files()[-1], 0, b"XX")
    rig.open()
    rig.power_cut()
    assert everything(rig.open())[: len(shown)] == shown


def test_a_sync_that_failed_before_the_end_is_made_good_by_the_next_process() -> None:
    """A sync of bytes the kernel has given up succeeds and does nothing: they have to be written again."""
    rig = Rig()
    rig.add(10)
    rig.disk.fail("sync")
    with pytest.raises(DiskRefused):
        rig.journal.sync()
    shown = everything(rig.journal)
    rig.open()
    rig.power_cut()
    assert everything(rig.open())[: len(shown)] == shown
