"""Tailed files on a real file system: growth, rotation, truncation, restarts, odd files."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import tempfile
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.defaults import Defaults
from tabard.agents.intake.tail import tailer as tailer_module
from tabard.agents.intake.tail.beside import Parked
from tabard.agents.intake.tail.file import PARTIAL_SECONDS
from tabard.agents.intake.tail.specs import TailSpec, default_specs
from tabard.agents.intake.tail.tailer import Tailer
from tabard.errors import JournalError
from tabard.records import LOG_INDEX
from tests.integration.bridging import agent, journaled, said, wait_until
from tests.unit.intake.fakes import FakeClock, FakeLoop, ListJournal

MESSAGE = LOG_INDEX["message"]
LONG = 200.0
"""Seconds of virtual time after which everything that can be read is read, and old files are let go of."""


class Host:
    """A directory of logs and an agent's tailer over it, in virtual time."""

    def __init__(self, directory, *specs, **options):
        self.directory = directory
        self.specs = [
            TailSpec(str(directory / spec), "plain") if isinstance(spec, str) else spec for spec in specs
        ]
        self.options = options
        self.loop = FakeLoop()
        self.clock = FakeClock(self.loop)
        self.journal = ListJournal()
        self.start()

    def start(self):
        """Start an agent on what the journal has."""
        self.batcher = Batcher(self.journal, self.loop, linger=0.01)
        self.tailer = Tailer(
            self.loop, self.batcher, self.clock, self.specs, marks=dict(self.journal.marks), **self.options
        )
        self.tailer.start()

    def take(self, *specs):
        """The running agent is given other files to follow."""
        self.specs = [
            TailSpec(str(self.directory / spec), "plain") if isinstance(spec, str) else spec for spec in specs
        ]
        self.tailer.take(self.specs, backlog=self.options.get("backlog", 262_144))

    def crash(self):
        """The agent is killed: what was not journaled is gone from its memory."""
        self.tailer.close()
        self.loop.timers.clear()

    def restart(self):
        """Kill and start again."""
        self.crash()
        self.start()

    def write(self, name, text):
        """Append to a file."""
        with open(self.directory / name, "ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def settle(self, seconds=LONG):
        """Let time pass."""
        self.loop.advance(seconds)

    def messages(self):
        """The messages journaled so far, in order."""
        return [record[MESSAGE] for record in self.journal.records()]

    def source(self, name):
        """The listing's row of a path."""
        (row,) = [row for row in self.tailer.sources() if row["path"] == str(self.directory / name)]
        return row


@pytest.fixture
def make(tmp_path):
    hosts = []

    def host(*specs, **options):
        hosts.append(Host(tmp_path, *specs, **options))
        return hosts[-1]

    yield host
    for found in hosts:
        found.crash()


# --- other settings while it runs ----------------------------------------------------------------------


def offset_of(home, path):
    """How far a real agent has read a file; None while it holds back what it read, for a line that may belong to it."""
    rows = (row for row in said(home)["sources"] if row["path"] == str(path))
    return next((row["offset"] for row in rows if not row["lag"]), None)


def test_a_running_agent_takes_other_files_on_sighup(tmp_path):
    """With no restart, nothing doubled; and says what needs one."""
    home, settings = tmp_path / "home", tmp_path / "home" / "tabard.toml"
    home.mkdir(mode=0o700)
    table = f'[[intake.tail]]\npath = "{tmp_path}/%s.log"\nformat = "plain"\n'
    settings.write_text(table % "a")
    for name in "ab":
        (tmp_path / f"{name}.log").write_text(f"{name} 1\n")
    with agent(home) as started:
        wait_until(lambda: said(home)["accepted"] >= 1, "the first is not read")
        settings.write_text(
            table % "b" + '[intake]\notlp = "127.0.0.1:1"\n' + table.replace("plain", "auto") % "a"
        )
        started.signal(signal.SIGHUP)
        wait_until(lambda: offset_of(home, tmp_path / "b.log") == 4, "the second is not read")
        with (tmp_path / "a.log").open("a") as file:
            file.write("a 2\n")
        wait_until(lambda: offset_of(home, tmp_path / "a.log") == 8, "the first is not read on")
        started.signal(signal.SIGTERM)
        assert started.rest() == 0
    assert ("WARNING", "settings read again: intake.tail changed; intake.otlp needs a restart") in [
        (each["level"], each["message"]) for each in journaled(home, own=True)
    ]
    assert sorted(each["message"] for each in journaled(home)) == ["a 1", "a 2", "b 1"]


def test_a_file_that_is_asked_for_later_is_followed(make):
    """From its beginning, like one that came while others were followed; what was followed goes on."""
    host = make("a.log")
    host.write("a.log", "a 1\n")
    host.write("b.log", "b 1\n")
    host.settle(5)
    host.take("a.log", "b.log")
    host.write("a.log", "a 2\n")
    host.settle(5)
    assert host.messages() == ["a 1", "b 1", "a 2"]
    assert host.source("b.log")["state"] == "reading"


def test_the_first_files_that_are_asked_for_are_read_from_near_their_end(make):
    """As at a first start: the journal knows no file yet."""
    host = make(backlog=20)
    host.write("a.log", "".join(f"line {number:03}\n" for number in range(50)))
    host.take("a.log")
    host.settle(5)
    assert host.messages() == ["line 048", "line 049"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_file_that_is_not_asked_for_any_more_is_let_go_of_and_read_on_when_it_is(make, tmp_path, restarted):
    """Wherever rotation has put it meanwhile. What was held back for more lines is a record at once."""
    host = make(TailSpec(str(tmp_path / "app.log"), multiline="^n"), "other.log")
    host.write("app.log", "n 1\nn 2\n")
    host.settle(2)
    host.write("app.log", "n 3\n")
    host.settle(0.3)
    host.take("other.log")
    assert [row["path"] for row in host.tailer.sources()] == [str(tmp_path / "other.log")]
    host.write("app.log", "n 4\n")
    host.settle(20)
    assert host.messages() == ["n 1", "n 2", "n 3"]
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    host.write("app.log", "n 5\n")
    if restarted:
        host.restart()
    host.take("app.log", "other.log")
    host.settle()
    assert host.messages() == ["n 1", "n 2", "n 3", "n 4", "n 5"]


def test_a_rotated_file_is_read_on_after_its_path_was_not_asked_for_for_a_while(make, tmp_path):
    """Its mark is known by more than the path; and a pattern may be asked for in place of it."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    late = open(tmp_path / "app.log", "a")  # noqa: SIM115 -- a daemon that has not yet opened the new one
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    host.write("app.log", "two\n")
    host.settle(5)
    host.take()
    with late:
        late.write("late\n")
    host.take("app.*")
    host.settle()
    assert sorted(host.messages()) == ["late", "one", "two"]


def test_lines_are_read_otherwise_from_where_records_end(make, tmp_path):
    """The pattern of a record's first line is another one; what had been begun by the old one is a record."""
    host = make("app.log")
    host.write("app.log", "one\n  two\n")
    host.settle(2)
    host.take(TailSpec(str(tmp_path / "app.log"), multiline="^[a-z]", service="shop"))
    host.write("app.log", "three\n  four\nfive")
    host.settle(0.3)
    host.take(TailSpec(str(tmp_path / "app.log"), multiline="^[a-z]", service="till"))
    host.write("app.log", " six\n")
    host.settle(20)
    assert host.messages() == ["one", "  two", "three\n  four", "five six"]
    services = [record[LOG_INDEX["service"]] for record in host.journal.records()]
    assert services == ["app", "app", "shop", "till"]


def test_what_is_asked_for_while_nothing_can_be_stored_is_read_afterwards(make):
    """And nothing before."""
    host = make("a.log")
    host.write("a.log", "a 1\n")
    host.journal.error = JournalError("full")
    host.settle(5)
    host.write("b.log", "b 1\n")
    host.take("a.log", "b.log")
    host.settle(5)
    assert host.messages() == []
    host.journal.error = None
    host.settle()
    assert host.messages() == ["a 1", "b 1"]


def test_lines_get_the_system_of_the_node(make):
    """A file cannot name one."""
    host = make("a.log", defaults=Defaults(system="orders"))
    host.write("a.log", "one\n")
    host.settle()
    assert [record[LOG_INDEX["system"]] for record in host.journal.records()] == ["orders"]


def test_lines_are_records_as_they_are_written(make):
    """A file that appears is read from its beginning and followed; the record says where it is from."""
    host = make("*.log")
    host.write("app.log", "one\ntwo\n")
    host.settle(5)
    host.write("app.log", "three\n")
    host.settle(5)
    assert host.messages() == ["one", "two", "three"]
    source, mark, origin, _ = host.journal.groups()[-1]
    path = str(host.directory / "app.log")
    assert source == f"file:{path}"
    assert origin == f"file {path}"
    assert mark[1:3] == [os.stat(path).st_ino, 14]
    assert host.source("app.log") == {
        "path": path,
        "state": "reading",
        "why": "",
        "offset": 14,
        "size": 14,
        "lag": 0,
    }


def test_a_file_that_was_there_is_read_from_near_its_end(make, tmp_path):
    """At the first start of all only the backlog is read, from the start of a line."""
    (tmp_path / "app.log").write_text("".join(f"line {number:03}\n" for number in range(100)))
    host = make("app.log", backlog=25)
    host.settle(5)
    assert host.messages() == ["line 098", "line 099"]


def test_a_restart_goes_on_where_the_journal_ends(make):
    """What was journaled is not read again, what was not is; lines written meanwhile are read."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    host.journal.error = JournalError("the disk is full")
    host.write("app.log", "two\n")
    host.settle(5)
    host.journal.error = None
    host.restart()
    host.write("app.log", "three\n")
    host.settle(5)
    assert host.messages() == ["one", "two", "three"]


def test_a_restart_before_the_first_line_reads_it(make):
    """The position of a file that had no new line is journaled too, with the records of others."""
    host = make("*.log")
    host.write("quiet.log", "")
    host.write("busy.log", "busy\n")
    host.settle(5)
    host.crash()
    host.write("quiet.log", "x" * 300_000 + "\nquiet\n")
    host.start()
    host.settle(5)
    assert sum(map(len, host.messages())) == len("busy") + 300_000 + len("quiet")


def test_rotation_by_rename_loses_nothing(make):
    """The old file is read to its end, also what is written to it after the rename."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    with open(host.directory / "app.log", "a") as writer:
        writer.write("two\n")
        writer.flush()
        os.rename(host.directory / "app.log", host.directory / "app.log.1")
        host.write("app.log", "four\n")
        writer.write("three\n")
    host.settle()
    assert sorted(host.messages()) == sorted(["one", "two", "three", "four"])
    assert host.messages().index("two") < host.messages().index("four")


def test_a_late_writer_to_a_rotated_file_is_heard(make):
    """A daemon that keeps its file open after rotation is read for as long as it is not quiet for a minute."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    os.rename(host.directory / "app.log", host.directory / "app.log.1")
    for number in range(5):
        host.settle(50)
        host.write("app.log.1", f"late {number}\n")
    host.settle()
    assert host.messages() == ["one", *(f"late {number}" for number in range(5))]


def test_a_rotated_file_that_matches_the_pattern_is_not_read_twice(make):
    """It is the same file under another path, now and after it was let go of."""
    host = make("*.log")
    host.write("app.log", "one\n")
    host.settle(5)
    os.rename(host.directory / "app.log", host.directory / "app-1.log")
    host.write("app.log", "two\n")
    host.settle(10)
    assert host.source("app-1.log")["why"].startswith("the same file as")
    host.settle()
    host.write("app-1.log", "three\n")
    host.settle()
    host.restart()
    host.settle()
    assert host.messages() == ["one", "two", "three"]


@pytest.mark.parametrize(
    "names", [("app.log.1",), ("app.log.2", "app.log.1"), ("app-20251121.log", "app.log-2")]
)
def test_rotation_while_no_agent_runs_loses_nothing(make, names):
    """The file is found beside its path, and so are files that were rotated without having been seen."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    host.crash()
    expected = ["one"]
    for number, name in enumerate(names):
        host.write("app.log", f"unread {number}\n")
        expected.append(f"unread {number}")
        os.rename(host.directory / "app.log", host.directory / name)
        later = time.time_ns() + number * 10**9
        os.utime(host.directory / name, ns=(later, later))
    host.write("app.log", "current\n")
    host.write("app-other.log", "another program's\n")
    host.start()
    host.settle()
    assert host.messages() == [*expected, "current"]
    host.restart()
    host.settle()
    assert host.messages() == [*expected, "current"]


def test_a_file_gone_while_no_agent_ran_is_said(make, caplog):
    """What cannot be known is not passed over."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    host.crash()
    os.unlink(host.directory / "app.log")
    host.write("other", "")  # takes the inode
    host.write("app.log", "two\n")
    host.start()
    host.settle()
    assert host.messages() == ["one", "two"]
    assert "byte 4 is gone" in caplog.text


def test_copytruncate_loses_nothing(make):
    """What was written between the last read and the copy is read from the copy."""
    head = "a first line that is long enough to tell this file from any other one\n"
    host = make("app.log")
    host.write("app.log", head)
    host.settle(5)
    host.write("app.log", "unread\n")
    shutil.copy2(host.directory / "app.log", host.directory / "app.log.1")
    os.truncate(host.directory / "app.log", 0)
    host.write("app.log", "new\n")
    host.settle()
    assert host.messages() == [head.strip(), "unread", "new"]


@pytest.mark.parametrize("pattern", ["app.log", "*.log"])
def test_copytruncate_while_no_agent_runs_loses_nothing(make, pattern):
    """The copy is known by its first bytes, also when it matches the pattern itself."""
    head = "a first line that is long enough to tell this file from any other one\n"
    host = make(pattern)
    host.write("app.log", head)
    host.settle(5)
    host.crash()
    host.write("app.log", "unread\n")
    shutil.copy2(host.directory / "app.log", host.directory / "app-1.log")
    os.truncate(host.directory / "app.log", 0)
    host.write("app.log", "new\n")
    host.start()
    host.settle()
    host.restart()
    host.settle()
    assert sorted(host.messages()) == sorted([head.strip(), "unread", "new"])


def test_a_copy_that_matches_the_pattern_is_not_read_while_its_original_is(make):
    """Until the original is emptied it may be the copy of a rotation; then it is read from where that was."""
    head = "a first line that is long enough to tell this file from any other one\n"
    host = make("*.log")
    host.write("app.log", head)
    host.settle(5)
    host.write("app.log", "unread\n")
    shutil.copy2(host.directory / "app.log", host.directory / "app-1.log")
    host.settle(5)
    assert host.source("app-1.log")["why"].startswith("perhaps a copy of")
    os.truncate(host.directory / "app.log", 0)
    host.write("app.log", "new\n")
    host.settle()
    assert sorted(host.messages()) == sorted([head.strip(), "unread", "new"])


def test_a_file_emptied_and_filled_beyond_where_it_was_is_read_anew(make):
    """Its first bytes are not the same: nothing of the new content is skipped."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    (host.directory / "app.log").write_text("other content, longer than before\n")
    host.settle(5)
    (host.directory / "app.log").write_text("OTHER content, of the very same size\n"[:33] + "\n")
    host.settle(5)
    assert host.messages() == [
        "one",
        "other content, longer than before",
        "OTHER content, of the very same s",
    ]


def test_a_writer_that_leaves_a_hole_is_read(make):
    """Emptied under a writer that does not append: the file begins with NULs."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    os.truncate(host.directory / "app.log", 0)
    host.settle(5)
    host.write("app.log", b"\0" * 100_000 + b"two\n")
    host.settle(5)
    assert host.messages() == ["one", "two"]


def test_a_deleted_file_is_read_to_its_end(make):
    """The open descriptor still has it; one of the same name that comes later is another."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    host.write("app.log", "two\n")
    os.unlink(host.directory / "app.log")
    host.settle(5)
    assert host.messages() == ["one", "two"]
    host.write("app.log", "three\n")
    host.settle()
    assert host.messages() == ["one", "two", "three"]


def test_a_line_without_its_newline_is_waited_for(make):
    """For some seconds; then it is a record, and what follows on the line another."""
    host = make("app.log")
    host.write("app.log", "one\nhal")
    host.settle(1)
    host.write("app.log", "f\n")
    host.settle(3)
    assert host.messages() == ["one", "half"]
    host.write("app.log", "tw")
    host.settle(PARTIAL_SECONDS + 3)
    host.write("app.log", "o\n")
    host.settle(5)
    assert host.messages() == ["one", "half", "tw", "o"]
    assert [record[LOG_INDEX["attributes"]] for record in host.journal.records()[2:]] == [
        '{"intake.piece":1}',
        '{"intake.piece":2}',
    ]


def test_a_trace_is_one_record_also_over_a_restart(make, tmp_path):
    """While it is held back its mark is not journaled, so that it is read again whole."""
    host = make(TailSpec(str(tmp_path / "app.log")))
    trace = "2025-11-21 22:55:24 ERROR boom\nTraceback:\n  File x\nValueError: y"
    host.write("app.log", trace + "\n")
    host.settle(0.3)
    host.restart()
    host.settle(5)
    host.write("app.log", "2025-11-21 22:55:25 INFO on\n")
    host.settle(5)
    assert host.messages() == [trace, "2025-11-21 22:55:25 INFO on"]


def test_lines_that_are_held_back_count_as_unread(make, tmp_path):
    """So that an agent that runs once does not end before they are records; blank lines at the end are none."""
    host = make(TailSpec(str(tmp_path / "app.log")))
    host.write("app.log", "2025-11-21 22:55:24 one\n\n\n")
    host.settle(2.1)
    assert (host.messages(), host.source("app.log")["lag"]) == ([], 26)
    host.settle(2)
    assert (host.messages(), host.source("app.log")["lag"]) == (["2025-11-21 22:55:24 one"], 0)


def test_files_that_cannot_be_read_are_listed_with_the_reason(make, tmp_path):
    """Binary, compressed, a directory, a pipe, a link to nothing, a missing file: said, not passed over."""
    (tmp_path / "wtmp").write_bytes(b"")
    (tmp_path / "data.log").write_bytes(bytes(range(256)))
    (tmp_path / "old.log").write_bytes(b"\x1f\x8b\x08" + b"x" * 50)
    (tmp_path / "dir.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    os.symlink(tmp_path / "nothing", tmp_path / "link.log")
    host = make("*.log", "wtmp", "missing.txt")
    host.settle(5)
    found = {row["path"].rpartition("/")[2]: (row["state"], row["why"]) for row in host.tailer.sources()}
    assert found == {
        "wtmp": ("skipped", "binary"),
        "data.log": ("skipped", "binary"),
        "old.log": ("skipped", "compressed"),
        "dir.log": ("skipped", "not a regular file"),
        "pipe.log": ("skipped", "not a regular file"),
        "link.log": ("waiting", "a symbolic link to nothing"),
        "missing.txt": ("waiting", "no file matches"),
    }


def test_a_file_that_is_read_stays_readable(make):
    """What turned up in it later does not make it a binary file after a restart: its mark says what it is."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    host.write("app.log", b"8=FIX\x019=1\x0135=A\x01\x01\x01\n" * 8)
    host.settle(5)
    host.restart()
    host.write("app.log", "two\n")
    host.settle(5)
    assert host.source("app.log")["state"] == "reading"
    assert host.messages()[-1] == "two"


def test_a_file_may_be_insisted_on(make, tmp_path):
    """``binary = true`` in its table: it is read whatever its first bytes look like."""
    path = tmp_path / "fix.log"
    path.write_bytes(b"\x01\x02\x03\x04\n")
    host = make(TailSpec(str(path), "plain", binary=True))
    host.settle(5)
    assert host.messages() == ["\x01\x02\x03\x04"]


@pytest.fixture
def plain_user():
    """Be a user whom permissions bind, for root is not; undone at the end."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    yield
    os.seteuid(0)


def test_a_forbidden_file_is_listed_and_read_once_it_may_be(plain_user):
    """The reason is the system's own."""
    with tempfile.TemporaryDirectory() as directory:
        host = Host(pathlib.Path(directory), "app.log")
        host.write("app.log", "one\n")
        os.chmod(host.directory / "app.log", 0)
        host.settle(5)
        row = host.source("app.log")
        assert (row["state"], row["why"]) == ("unreadable", "Permission denied")
        os.chmod(host.directory / "app.log", 0o600)
        host.settle(5)
        assert host.messages() == ["one"]
        host.crash()


def test_a_link_and_its_file_are_read_once(make):
    """The one that comes first is followed; the other is said to be the same."""
    host = make("b.log", "a.log")
    host.write("a.log", "one\n")
    os.symlink(host.directory / "a.log", host.directory / "b.log")
    host.settle(10)
    assert host.messages() == ["one"]
    assert sorted(row["state"] for row in host.tailer.sources()) == ["reading", "waiting"]


def test_what_tabard_writes_itself_is_not_tailed(make, tmp_path):
    """Neither below its home, nor where its own output goes: each record would make another."""
    home = tmp_path / "home"
    home.mkdir()
    os.symlink(home, tmp_path / "link")
    output = tmp_path / "output.log"
    saved = os.dup(2)
    fd = os.open(output, os.O_CREAT | os.O_WRONLY)
    try:
        os.dup2(fd, 2)
        host = make("*.log", "home/*.log", "link/*.log", exclude=[str(home)])
    finally:
        os.dup2(saved, 2)
        os.close(fd)
        os.close(saved)
    for name in ("output.log", "home/agent.log", "app.log"):
        host.write(name, f"{name}\n")
    host.settle(10)
    assert host.messages() == ["app.log"]


def test_too_many_files_are_said(make, monkeypatch):
    """Those beyond the most are counted in the listing."""
    monkeypatch.setattr(tailer_module, "MOST_FILES", 3)
    host = make("*.log")
    for number in range(5):
        host.write(f"{number}.log", "x\n")
    host.settle(10)
    assert len(host.messages()) == 3
    assert "2 more files match" in host.tailer.sources()[-1]["why"]


def test_of_too_many_files_those_that_changed_last_are_followed(make, monkeypatch):
    """And binary ones do not count; one that was left out takes the place of a quiet one when it grows."""
    monkeypatch.setattr(tailer_module, "MOST_FILES", 2)
    host = make("*.log")
    for number in range(4):
        host.write(f"{number}.log", f"{number}\n")
        os.utime(host.directory / f"{number}.log", (1_000 + number, 1_000 + number))
    host.write("z.log", bytes(range(32)))
    host.settle(10)
    assert sorted(host.messages()) == ["2", "3"]
    assert [fault[0] for fault in host.tailer.faults()] == ["tail"]
    host.write("0.log", "more\n")
    host.settle(10)
    host.write("3.log", "more of 3\n")
    os.utime(host.directory / "3.log", (9e9, 9e9))
    host.settle(10)
    assert sorted(host.messages()) == ["0", "2", "3", "more", "more of 3"]
    for number in (0, 1):
        os.unlink(host.directory / f"{number}.log")
    host.settle(LONG)
    assert host.tailer.faults() == []


def test_rotating_more_files_than_may_be_open_loses_nothing(make):
    """Those that were read give way to those that were not, and are looked at once more."""
    host = make("*.log", open_files=12)
    names = [f"{number:02}.log" for number in range(10)]
    for name in names:
        host.write(name, f"{name} one\n")
    host.settle(10)
    writers = [open(host.directory / name, "a") for name in names]  # noqa: SIM115 - they write on after the rename
    for name in names:
        os.rename(host.directory / name, host.directory / f"{name}.1")
        host.write(name, f"{name} two\n")
    host.settle(20)
    assert sum(watch.open for watch in host.tailer._watches.values()) <= 12
    for name, writer in zip(names, writers, strict=True):
        writer.write(f"{name} late\n")
        writer.close()
    host.settle()
    host.restart()
    host.settle()
    assert sorted(host.messages()) == sorted(
        f"{name} {what}" for name in names for what in ("one", "two", "late")
    )


def test_a_file_that_came_while_no_agent_ran_is_read_whole(make):
    """However large: only at the first start of all the beginning is left out, and that is said."""
    host = make("*.log", backlog=20)
    host.write("a.log", "one\n")
    host.settle(5)
    host.crash()
    host.write("b.log", "".join(f"line {number:03}\n" for number in range(100)))
    host.start()
    host.settle()
    assert host.messages() == ["one", *(f"line {number:03}" for number in range(100))]


def test_what_is_left_out_at_the_first_start_is_said(make, tmp_path, caplog):
    """In the listing and in a record, with the byte at which reading begins."""
    (tmp_path / "app.log").write_text("".join(f"line {number:03}\n" for number in range(100)))
    host = make("app.log", backlog=25)
    host.settle(5)
    assert "882 bytes before byte 882 were left out" in caplog.text
    assert host.source("app.log")["why"].startswith("882 bytes before byte 882 were left out")


def test_a_file_written_anew_behind_the_same_banner_is_read(make):
    """Its first bytes are the same, what was read last is not; also over a restart."""
    host = make("job.log")
    banner = "=" * 70 + "\n"
    for number in range(3):
        (host.directory / "job.log").write_text(
            banner * 5 + "".join(f"run {number} {line}\n" for line in range(9))
        )
        host.settle(5)
        if number == 1:
            host.crash()
            (host.directory / "job.log").write_text(
                banner * 5 + "".join(f"down {line}\n" for line in range(20))
            )
            host.start()
            host.settle(5)
    found = [message for message in host.messages() if message[0] != "="]
    expected = [f"run {number} {line}" for number in range(3) for line in range(9)]
    assert sorted(found) == sorted([*expected, *(f"down {line}" for line in range(20))])


def test_a_new_file_is_not_lost_when_it_is_renamed_while_it_waits(make):
    """It begins like its neighbour, so it might be a copy; the file is kept open meanwhile."""
    host = make("a.txt", "b.txt")
    banner = "=" * 70 + "\n"
    host.write("a.txt", banner * 5 + "first\n")
    host.settle(5)
    host.write("b.txt", banner * 5)
    host.settle(5)
    assert host.source("b.txt")["why"].startswith("perhaps a copy of")
    host.write("b.txt", "second\n")
    os.rename(host.directory / "b.txt", host.directory / "b.txt.1")
    host.write("b.txt", "third\n")
    host.settle()
    assert [message for message in host.messages() if message[0] != "="] == ["first", "second", "third"]


def test_several_copytruncates_between_two_looks_lose_nothing(make):
    """Every copy in between is read whole, also when nothing had been read of the emptied file."""
    host = make("app.log")

    def rotate():
        for number in range(5, 0, -1):
            if (host.directory / f"app.log.{number}").exists():
                os.rename(host.directory / f"app.log.{number}", host.directory / f"app.log.{number + 1}")
        shutil.copyfile(host.directory / "app.log", host.directory / "app.log.1")
        os.truncate(host.directory / "app.log", 0)

    expected: list[str] = []

    def write(tag):
        expected.extend(f"{tag} {line:03} " + "y" * 40 for line in range(100))
        host.write("app.log", "\n".join(expected[-100:]) + "\n")

    write("a")
    host.settle(5)
    for tag in "bcd":
        write(tag)
        rotate()
    host.settle()
    host.crash()
    for tag in "ef":  # the journal knows the file as an empty one
        write(tag)
        rotate()
    write("g")
    host.start()
    host.settle()
    assert sorted(host.messages()) == sorted(expected)


def test_a_file_emptied_without_a_copy_is_said(make, caplog):
    """What had not been read of it is gone: the byte is named, in a record and in the listing."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    os.truncate(host.directory / "app.log", 0)
    host.write("app.log", "2\n")
    host.settle(5)
    assert host.messages() == ["one", "2"]
    assert "after byte 4 had been read" in caplog.text
    assert "after byte 4 had been read" in host.source("app.log")["why"]


def test_an_inode_used_again_hides_nothing(make):
    """A file deleted by rotation and one made later may have the same inode."""
    host = make("app.log")
    banner = "=" * 70 + "\n"
    for number in range(1, 4):
        host.write(f"app.log.{number}", f"{banner * 5}old {number}\n")
    host.write("app.log", "start\n")
    host.settle(5)
    expected = ["start"]
    for turn in range(12):
        for step in range(2):  # twice between two looks
            (host.directory / "app.log.3").unlink(missing_ok=True)
            for number in (2, 1):
                if (host.directory / f"app.log.{number}").exists():
                    os.rename(host.directory / f"app.log.{number}", host.directory / f"app.log.{number + 1}")
            os.rename(host.directory / "app.log", host.directory / "app.log.1")
            host.write("app.log", f"{banner * 5}new {turn} {step}\n")
            expected.append(f"new {turn} {step}")
        host.settle(3)
    host.settle()
    assert [message for message in host.messages() if message[0] != "="] == expected


def test_the_mark_of_a_deleted_file_does_not_take_the_place_of_that_with_its_inode(make, tmp_path):
    """The deleted one had waited for a descriptor; the other one was read since, and is not read again."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    (watch,) = host.tailer._watches.values()
    deleted = watch._current.mark()._replace(digest=b"another", tail=b"another")
    watch.away._parked.append(Parked(deleted, host.loop.now() + 150, deleted.offset))
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    host.settle()
    host.write("app.log", "two\n")  # marks are journaled with records
    host.settle()
    host.crash()
    (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    os.utime(tmp_path / "app.log.2")
    host.write("app.log", "three\n")
    host.start()
    host.settle()
    assert host.messages() == ["one", "two", "three"]


def test_a_rotated_file_whose_time_was_set_back_is_read(make):
    """It lies between the file that was read and the current one, and that says when it was written."""
    host = make("app.log")
    head = "a first line that is long enough to tell this file from any other one\n"
    host.write("app.log", head)
    host.settle(5)
    host.crash()
    host.write("app.log", "b\n")
    os.rename(host.directory / "app.log", host.directory / "app.log.2")
    host.write("app.log.1", "c\n")
    os.utime(host.directory / "app.log.1", (1e9, 1e9))
    host.write("app.log", "d\n")
    host.start()
    host.settle()
    assert sorted(host.messages()) == sorted([head.strip(), "b", "c", "d"])


def test_a_numbered_file_that_is_left_out_is_said(make, caplog):
    """Nothing tells whether it is newer than what was read, and it was touched since."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    host.crash()
    os.unlink(host.directory / "app.log")
    host.write("app.log.1", "unknown\n")
    os.utime(host.directory / "app.log.1", (1e9, 1e9))
    host.start()
    host.settle()
    assert host.messages() == ["one"]
    assert "app.log.1 was never read" in caplog.text


def test_a_rotated_file_that_is_gone_after_a_restart_is_said(make, caplog):
    """Compressed or deleted meanwhile; but not when it had been let go of."""
    host = make("app.log")
    host.write("app.log", "one\n")
    host.settle(5)
    os.rename(host.directory / "app.log", host.directory / "app.log.1")
    host.write("app.log", "two\n")
    host.settle(5)
    host.crash()
    os.unlink(host.directory / "app.log.1")
    host.start()
    host.settle()
    assert "a rotated file that was read up to byte 4 is gone" in caplog.text
    caplog.clear()
    os.rename(host.directory / "app.log", host.directory / "app.log.1")
    host.write("app.log", "three\n")
    host.settle()
    host.write("app.log", "four\n")
    host.settle()
    host.crash()
    os.unlink(host.directory / "app.log.1")
    host.start()
    host.settle()
    assert caplog.text == ""


def test_reading_stops_while_the_journal_cannot_be_written(make):
    """The file is the buffer: memory stays bounded, and nothing is lost."""
    host = make("app.log")
    host.journal.error = JournalError("the disk is full")
    lines = [f"{number:06} " + "x" * 93 for number in range(20_000)]
    host.write("app.log", "\n".join(lines) + "\n")
    host.settle(60)
    assert host.batcher.waiting < 1_000
    assert host.source("app.log")["lag"] > 1_900_000
    host.journal.error = None
    host.settle(60)
    assert host.messages() == lines


def test_a_path_that_is_no_utf8_is_followed(make):
    """Its name is shown with escapes."""
    host = make("*.log")
    with open(os.path.join(os.fsencode(host.directory), b"caf\xe9.log"), "wb") as file:
        file.write(b"one\n")
    host.settle(5)
    assert host.messages() == ["one"]
    assert host.journal.groups()[0][2].endswith("caf\\xe9.log")


def test_the_default_files_of_a_host_are_found(make, tmp_path):
    """The syslog and its kin, and every *.log directly below or one directory down; nothing is said of absent ones."""
    host = make(*default_specs(str(tmp_path)))
    (host.directory / "nginx").mkdir()
    for name in ("syslog", "dpkg.log", "nginx/error.log", "wtmp", "notes.txt"):
        host.write(name, "Nov 21 22:55:24 host prog[1]: hello\n" if name == "syslog" else "hello\n")
    host.settle(5)
    services = {record[LOG_INDEX["service"]] for record in host.journal.records()}
    assert services == {"prog", "dpkg", "nginx"}
    assert len(host.tailer.sources()) == 3


class Rotations(RuleBasedStateMachine):
    """Whatever happens to a log and to the agent, every line is a record exactly once."""

    pattern = "app.log"

    @initialize()
    def begin(self):
        """A log with one line, and an agent that has read it."""
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tail"))
        self.host = Host(self.directory, self.pattern)
        self.count = 0
        self.written = []
        self.running = True
        self.host.settle(5)
        self.first_line()
        self.host.settle(5)

    def first_line(self):
        """Begin a file with a line that tells it from any other."""
        self.line("first line of a file, long enough that a copy of it is told from any other")

    def teardown(self):
        """Everything written is journaled once, also after one more restart."""
        if not hasattr(self, "host"):
            return
        try:
            if not self.running:
                self.host.start()
            self.host.settle()
            self.host.restart()
            self.host.settle()
            assert sorted(self.host.messages()) == sorted(self.written)
        finally:
            self.host.crash()
            shutil.rmtree(self.directory)

    def line(self, text="line"):
        """Write one line that is like no other."""
        self.count += 1
        self.written.append(f"{self.count:06} {text}")
        self.host.write("app.log", self.written[-1] + "\n")

    @rule(lines=st.integers(1, 5))
    def append(self, lines):
        """Write some lines, to a new file if there is none."""
        if not os.path.exists(self.directory / "app.log"):
            self.first_line()
        for _ in range(lines):
            self.line()

    @rule()
    def append_much(self):
        """Write more than is read at a turn."""
        for _ in range(3):
            self.line("x" * 30_000)

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 3.0, 100.0]))
    def wait(self, seconds):
        """Let time pass."""
        self.host.settle(seconds)

    def shift(self):
        """Make room for another rotated file."""
        for number in range(25, 0, -1):
            if os.path.exists(self.directory / f"app.log.{number}"):
                os.rename(self.directory / f"app.log.{number}", self.directory / f"app.log.{number + 1}")

    @rule(create=st.booleans())
    def rename(self, create):
        """Rotate by renaming, as logrotate does by default."""
        if os.path.exists(self.directory / "app.log"):
            self.shift()
            os.rename(self.directory / "app.log", self.directory / "app.log.1")
            if create:
                self.host.write("app.log", "")

    @precondition(lambda self: self.running and os.path.exists(self.directory / "app.log"))
    @rule(unread=st.integers(0, 3))
    def copytruncate(self, unread):
        """Rotate by copying and emptying, with lines the agent has not read."""
        self.host.settle(20)
        if os.path.getsize(self.directory / "app.log") < 64:
            return  # too little to tell the copy by, as the documentation says
        for _ in range(unread):
            self.line()
        self.shift()
        shutil.copy2(self.directory / "app.log", self.directory / "app.log.1")
        os.truncate(self.directory / "app.log", 0)
        self.first_line()

    @precondition(lambda self: self.running and os.path.exists(self.directory / "app.log"))
    @rule()
    def truncate(self):
        """Empty the file when it is read."""
        self.host.settle(20)
        os.truncate(self.directory / "app.log", 0)

    @rule()
    def crash(self):
        """Kill the agent, or start it again."""
        if self.running:
            self.host.crash()
        else:
            self.host.start()
        self.running = not self.running


TestRotations = Rotations.TestCase
TestRotations.settings = settings(
    max_examples=100, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
