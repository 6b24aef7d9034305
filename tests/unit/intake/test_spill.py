"""Files in a spool: each record once, whatever way and however often it came; what is damaged is put aside."""

from __future__ import annotations

import os

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.sources import Sources
from tabard.agents.intake.spill import SCAN_SECONDS, SpillReader
from tabard.applog.spool import Spool
from tabard.errors import JournalError
from tabard.intake_frames import HELLO, RECORDS, VERSION, frame
from tabard.records import LOG_INDEX
from tests.unit.intake.fakes import FakeLoop, ListJournal
from tests.unit.intake.samples import log_record

MESSAGE = LOG_INDEX["message"]
KEY = f"socket:{os.getuid()}:app-1"


def records_frame(number, *messages):
    """What a client sends."""
    return frame(RECORDS, number, msgpack.packb([log_record(message=message) for message in messages]))


class Rig:
    """A reader, its loop and journal; `restart` is a new agent over the same journal."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.journal = ListJournal()
        self.start()

    def restart(self):
        """The agent dies, and another comes."""
        self.reader.close()
        self.start()

    def start(self):
        """What a new agent has: the marks of the journal and nothing else."""
        self.loop = FakeLoop()  # what the dead one still had to do is never done
        self.batcher = Batcher(self.journal, self.loop, linger=0.01)
        self.sources = Sources(self.journal.marks)
        self.reader = SpillReader(
            self.loop, self.batcher, self.sources, lambda: 1_763_765_724 * 10**9, [self.directory]
        )
        self.reader.open()

    def spool(self, source="app-1", most=10**8):
        """As a process writes it."""
        return Spool(self.directory, source, "app", most)

    def turn(self):
        """Two looks into the directory."""
        self.loop.advance(2 * SCAN_SECONDS)

    def messages(self):
        """What was journaled."""
        return [record[MESSAGE] for record in self.journal.records()]

    def names(self):
        """What is left in the directory."""
        return sorted(os.listdir(self.directory))


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path / "spool")
    yield made
    made.reader.close()


def test_what_a_dead_process_left_is_taken_in_and_removed(rig):
    """In order, under its owner's name, with marks."""
    spool = rig.spool()
    assert spool.append(1, records_frame(1, "a", "b"))
    assert spool.append(2, records_frame(2, "c"))
    spool.close()
    rig.turn()
    assert rig.messages() == ["a", "b", "c"]
    assert rig.journal.marks[KEY] == 2
    assert rig.journal.groups()[0][2].startswith(f"uid {os.getuid()}")
    assert rig.names() == []
    assert (rig.reader.stats.files, rig.reader.stats.records) == (1, 3)
    assert not rig.reader.busy


def test_a_file_is_its_writer_s_as_long_as_it_lives(rig):
    """It sends the frames itself; only when it is gone are they taken in."""
    spool = rig.spool()
    spool.append(1, records_frame(1, "a"))
    rig.turn()
    assert rig.messages() == []
    assert not rig.reader.busy
    assert [number for number, _ in spool.frames(0)] == [1]
    spool.close()
    rig.turn()
    assert rig.messages() == ["a"]


def test_frames_that_came_over_the_socket_as_well_are_known(rig):
    """The numbers are the same, so nothing is stored twice; what is newer is stored."""
    source = rig.sources.get(KEY)
    source.received = source.accepted = 2
    spool = rig.spool()
    for number in range(1, 5):
        spool.append(number, records_frame(number, f"m{number}"))
    spool.close()
    rig.turn()
    assert rig.messages() == ["m3", "m4"]
    assert rig.reader.stats.resent == 2


def test_a_file_is_kept_until_what_came_over_the_socket_is_journaled_too(rig):
    """The agent knows the frame, and has it only in memory: the file is all that would survive it."""
    rig.loop.advance(SCAN_SECONDS - 0.001)
    source = rig.sources.get(KEY)
    source.received = 1

    def accepted():
        source.accepted = 1

    rig.journal.error = JournalError("full")
    rig.batcher.add(KEY, 1, "o", msgpack.packb([log_record(message="m1")]), 1, accepted)
    spool = rig.spool()
    spool.append(1, records_frame(1, "m1"))
    spool.close()
    rig.loop.advance(0.002)
    assert rig.reader.stats.resent == 1
    assert len(rig.names()) == 1
    rig.journal.error = None
    rig.turn()
    assert (rig.messages(), rig.names()) == (["m1"], [])


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_an_agent_that_dies_in_the_middle_goes_on_where_its_journal_is(rig, survives, tmp_path):
    """The file is removed only when all of it is journaled; the next agent skips what is."""
    spool = rig.spool()
    for number in (1, 2, 3):
        spool.append(number, records_frame(number, f"m{number}"))
    spool.close()
    rig.journal.marks = {KEY: survives} if survives else {}
    rig.restart()
    rig.turn()
    assert rig.messages() == [f"m{number}" for number in range(survives + 1, 4)]
    assert rig.names() == []


def test_nothing_is_read_while_the_journal_is_blocked(rig):
    """What cannot be kept stays in the file."""
    rig.journal.error = JournalError("full")
    for name in ("app-1", "app-2"):
        spool = rig.spool(name)
        spool.append(1, records_frame(1, name))
        spool.close()
    rig.turn()
    assert rig.messages() == []
    assert len(rig.names()) == 2
    rig.journal.error = None
    rig.loop.advance(60)
    assert sorted(rig.messages()) == ["app-1", "app-2"]
    assert rig.names() == []


def test_a_torn_end_is_tolerated(rig):
    """Its writer was killed within a write: what is whole is taken in."""
    spool = rig.spool()
    spool.append(1, records_frame(1, "whole"))
    spool.close()
    (name,) = rig.names()
    with open(rig.directory / name, "ab") as file:
        file.write(records_frame(2, "half")[:-3])
    rig.turn()
    assert rig.messages() == ["whole"]
    assert rig.names() == []
    assert rig.reader.stats.torn == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4_000,
        b'{"message": "a line"}\n',
        records_frame(1, "before hello"),
        frame(HELLO, 0, msgpack.packb({"v": VERSION})),
        frame(HELLO, 0, msgpack.packb({"v": 99, "source": "app-1"})),
        frame(HELLO, 0, b"\xc1"),
    ],
)
def test_a_file_that_cannot_be_read_is_put_aside_and_said(rig, content):
    """Once, by name, with the reason; nothing else waits for it."""
    (rig.directory / "bad.spill").write_bytes(content)
    rig.turn()
    rig.turn()
    assert rig.messages() == []
    assert rig.names() == ["bad.damaged"]
    assert rig.reader.stats.damaged == 1
    (row,) = rig.reader.sources()
    assert row["path"].endswith("bad.damaged")
    assert row["why"]
    assert rig.reader.faults()


def test_what_is_whole_before_the_damage_is_taken_in(rig):
    """And a frame that cannot be stored does not cost those behind it."""
    hello = frame(HELLO, 0, msgpack.packb({"v": VERSION, "source": "app-1", "service": "app"}))
    refused = frame(RECORDS, 2, msgpack.packb({"no": "array"}))
    (rig.directory / "x.spill").write_bytes(
        hello + records_frame(1, "a") + refused + records_frame(3, "b") + b"\xff" * 40
    )
    rig.turn()
    assert rig.messages() == ["a", "b"]
    assert rig.names() == ["x.damaged"]


def test_nothing_but_files_is_opened(rig, tmp_path):
    """Links, pipes and directories are put aside or left; none of them is followed or waited for."""
    secret = tmp_path / "secret"
    secret.write_text("root:x")
    os.symlink(secret, rig.directory / "link.spill")
    os.mkfifo(rig.directory / "pipe.spill")
    (rig.directory / "room.spill").mkdir()
    (rig.directory / "readme").write_text("not mine")
    rig.turn()
    assert rig.names() == ["link.damaged", "pipe.damaged", "readme", "room.damaged"]
    assert secret.read_text() == "root:x"


def test_a_directory_that_is_not_there_is_nothing(tmp_path):
    """It appears when it is needed."""
    rig = Rig(tmp_path / "spool")
    (tmp_path / "spool").rmdir()
    rig.turn()
    assert rig.reader.sources() == []
    rig.reader.close()


def test_a_file_that_was_never_begun_is_cleared_away(rig):
    """After an hour: its writer died before it was locked."""
    (rig.directory / "young.new").write_bytes(b"")
    (rig.directory / "old.new").write_bytes(b"")
    now = 1_763_765_724
    os.utime(rig.directory / "young.new", (now, now))
    os.utime(rig.directory / "old.new", (now - 7_200, now - 7_200))
    rig.turn()
    assert rig.names() == ["young.new"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 3))
def test_whatever_is_in_a_file_nothing_is_raised_and_nothing_stays_open(tmp_path_factory, noise, at, copies):
    """Bytes written over a good file anywhere: it is taken in or put aside, and the reader goes on."""
    rig = Rig(tmp_path_factory.mktemp("fuzz") / "spool")
    hello = frame(HELLO, 0, msgpack.packb({"v": VERSION, "source": "app-1", "service": "app"}))
    content = bytearray(hello + records_frame(1, "a") + records_frame(2, "b") * copies)
    content[at : at + len(noise)] = noise
    (rig.directory / "x.spill").write_bytes(content)
    rig.turn()
    good = rig.spool("good-1")
    good.append(1, records_frame(1, "good"))
    good.close()
    rig.turn()
    assert rig.messages()[-1] == "good"
    assert rig.names() in ([], ["x.damaged"])
    rig.reader.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_each_record_is_stored_once_and_in_order_whatever_dies(tmp_path_factory, data):
    """Frames over the socket up to some number, the spool from some number before it, agents that die anywhere."""
    rig = Rig(tmp_path_factory.mktemp("once") / "spool")
    frames = data.draw(st.integers(1, 20))
    over_socket = data.draw(st.integers(0, frames))
    spooled_from = data.draw(st.integers(1, over_socket + 1))
    for number in range(1, over_socket + 1):
        source = rig.sources.get(KEY)
        source.received = number
        rig.batcher.add(KEY, number, "o", msgpack.packb([log_record(message=str(number))]), 1)
        source.accepted = number
    rig.batcher.flush()
    spool = rig.spool()
    for number in range(spooled_from, frames + 1):
        spool.append(number, records_frame(number, str(number)))
    spool.close()
    for _ in range(data.draw(st.integers(0, 3))):
        rig.restart()
        rig.loop.advance(data.draw(st.sampled_from([0.0, 0.001, 0.02])))
    rig.restart()
    rig.turn()
    assert rig.messages() == [str(number) for number in range(1, frames + 1)]
    assert rig.names() == []
    rig.reader.close()
