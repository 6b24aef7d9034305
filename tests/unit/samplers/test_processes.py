"""Process samples: everything at first, then what changed; real processes of this host among them."""

from __future__ import annotations

import os
import subprocess
import sys

import msgpack
import pytest

from tabard.agents.samplers.linux_processes import LinuxProcesses, parse_stat
from tabard.agents.samplers.portable import PortableProcesses
from tabard.agents.samplers.ports import ProcessStat
from tabard.agents.samplers.processes import PART_BYTES, ProcessSampler
from tabard.agents.samplers.systems import sources
from tabard.agents.samplers.users import Users

FIELDS = ("pid", "start", "ppid", "user", "name", "cmdline", "state", "cpu", "rss", "threads")


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self):
        self.seconds = 1_000.0

    def monotonic(self):
        """Seconds."""
        return self.seconds

    def wall(self):
        """Nanoseconds."""
        return 0


class Table:
    """A source whose processes are listed by the test."""

    def __init__(self):
        self.stats_by_pid = {}
        self.argv = {}
        self.described = []

    def put(self, pid, **changes):
        """Add or change a process."""
        base = self.stats_by_pid.get(pid) or ProcessStat(pid, 100 + pid, 1, f"p{pid}", "S", 0.0, 1_000_000, 1)
        self.stats_by_pid[pid] = base._replace(**changes)

    def refresh(self):
        """Nothing changes by itself."""

    def stats(self):
        """What was put."""
        return iter(list(self.stats_by_pid.values()))

    def start_time(self, stat):
        """A made-up time."""
        return stat.start * 10

    def describe(self, pid):
        """Remember that it was asked."""
        self.described.append(pid)
        return "alice", self.argv.get(pid, [f"/bin/p{pid}"])


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def sampler(clock, table):
    return ProcessSampler(clock, table)


def rows(samples):
    return {row[0]: dict(zip(FIELDS, row, strict=True)) for sample in samples for row in sample["procs"]}


def test_the_first_scan_is_full(sampler, table):
    """Every process with all its fields; the layout is that of the protocol."""
    table.put(1)
    table.put(2, ppid=1, threads=3)
    (sample,) = sampler.scan()
    assert {name: sample[name] for name in ("full", "scan", "part", "parts", "gone")} == {
        "full": True,
        "scan": 1,
        "part": 0,
        "parts": 1,
        "gone": [],
    }
    assert rows([sample])[2] == {
        "pid": 2,
        "start": 1020,
        "ppid": 1,
        "user": "alice",
        "name": "p2",
        "cmdline": "/bin/p2",
        "state": "S",
        "cpu": 0.0,
        "rss": 1_000_000,
        "threads": 3,
    }


def test_later_scans_hold_what_changed(sampler, table, clock):
    """New, gone, busy, grown, and in another state; the rest is not repeated, nor its command line read again."""
    for pid in range(1, 8):
        table.put(pid)
    sampler.scan()
    table.described.clear()
    clock.seconds += 10
    table.put(2, cpu=0.04)
    table.put(3, cpu=0.1)
    table.put(4, rss=1_040_000)
    table.put(5, rss=1_060_000)
    table.put(6, state="Z")
    table.put(7, state="R")
    del table.stats_by_pid[1]
    table.put(8)
    (sample,) = sampler.scan()
    assert not sample["full"]
    assert sample["scan"] == 2
    found = rows([sample])
    assert sorted(found) == [3, 5, 6, 8]
    assert found[3]["cpu"] == 1.0
    assert sample["gone"] == [[1, 1010]]
    assert table.described == [8]


def test_a_process_that_calms_down_is_sent_once_more(sampler, table, clock):
    """Or it would be shown as busy until the next full scan."""
    table.put(1)
    sampler.scan()
    for cpu, sent in ((5.0, [50.0]), (5.0, [0.0]), (5.0, [])):
        clock.seconds += 10
        table.put(1, cpu=cpu)
        assert [row["cpu"] for row in rows(sampler.scan()).values()] == sent


def test_memory_that_creeps_is_noticed(sampler, table, clock):
    """Growth counts from what was last sent, not from the last scan."""
    table.put(1)
    sampler.scan()
    sent = []
    for step in range(1, 9):
        clock.seconds += 10
        table.put(1, rss=1_000_000 + step * 20_000)
        sent += [row["rss"] for row in rows(sampler.scan()).values()]
    assert sent == [1_060_000, 1_120_000]


def test_an_id_used_again_is_another_process(sampler, table, clock):
    """The start time tells them apart: one is gone, one is new, and its processor time counts from nothing."""
    table.put(1, cpu=100.0)
    sampler.scan()
    clock.seconds += 10
    table.put(1, start=999, cpu=0.5)
    (sample,) = sampler.scan()
    assert sample["gone"] == [[1, 1010]]
    assert rows([sample])[1]["start"] == 9990
    assert rows([sample])[1]["cpu"] == 5.0


def test_a_process_that_became_another_program_is_read_anew(sampler, table, clock):
    """After exec the name differs."""
    table.put(1)
    sampler.scan()
    clock.seconds += 10
    table.put(1, name="other")
    table.argv[1] = ["/bin/other", "--password=hunter2"]
    assert rows(sampler.scan())[1]["cmdline"] == "/bin/other --password=***"


def test_full_scans_come_at_their_interval_and_see_new_titles(sampler, table, clock):
    """Everything is sent and read again; who went meanwhile is simply not in it."""
    table.put(1)
    table.put(2)
    sampler.scan(full_every=30)
    table.argv[1] = ["p1: idle"]
    del table.stats_by_pid[2]
    full = []
    for _ in range(6):
        clock.seconds += 10
        (sample,) = sampler.scan(full_every=30)
        full.append(sample["full"])
        if sample["full"]:
            assert rows([sample])[1]["cmdline"] == "p1: idle"
            assert sample["gone"] == []
    assert full == [False, False, True, False, False, True]


def test_many_processes_come_in_parts(sampler, table):
    """Each part stays small enough for a batch, and together they are all processes."""
    for pid in range(1, 2_001):
        table.put(pid)
        table.argv[pid] = ["/bin/x", "y" * 900]
    samples = sampler.scan()
    assert len(samples) > 5
    assert [(sample["part"], sample["parts"]) for sample in samples] == [
        (part, len(samples)) for part in range(len(samples))
    ]
    assert all(len(msgpack.packb(sample)) < PART_BYTES + 1_000 for sample in samples)
    assert len(rows(samples)) == 2_000


SOURCES = pytest.mark.parametrize("source", [LinuxProcesses, PortableProcesses])


@SOURCES
def test_a_real_process_is_seen_from_start_to_end(source, clock):
    """A child of this test appears with its arguments, masked, and is reported gone when it ended."""
    sampler = ProcessSampler(clock, source())
    sampler.scan()
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--password=hunter2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        clock.seconds += 10
        row = rows(sampler.scan())[child.pid]
        assert row["ppid"] == os.getpid()
        assert "--password=***" in row["cmdline"]
        assert "hunter2" not in row["cmdline"]
        assert row["rss"] > 1_000_000
        assert row["threads"] == 1
        assert row["user"] in {Users().name(os.geteuid()), str(os.geteuid())}
        child.stdin.close()
        child.wait()
    clock.seconds += 10
    assert [child.pid, row["start"]] in sampler.scan()[0]["gone"]


def test_both_sources_agree(clock):
    """What /proc says is what psutil says, for this very process."""
    linux, portable = LinuxProcesses(), PortableProcesses()
    here = [next(stat for stat in source.stats() if stat.pid == os.getpid()) for source in (linux, portable)]
    assert here[0].ppid == here[1].ppid
    assert here[0].name == here[1].name
    assert abs(linux.start_time(here[0]) - portable.start_time(here[1])) < 1_500_000_000
    assert abs(here[0].cpu - here[1].cpu) < 1
    assert linux.describe(os.getpid()) == portable.describe(os.getpid())


def test_linux_needs_no_library():
    """Psutil costs memory and is not imported where /proc has everything."""
    code = (
        "import sys; from tabard.agents.samplers.systems import sources; sources('linux'); "
        "sys.exit('psutil' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert isinstance(sources("darwin")[0], PortableProcesses)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"x", "x"),
        (b"a) R 1 (b", "a) R 1 (b"),
        (b"caf\xe9", "caf\\xe9"),
        (b"kworker/1:2-events", "kworker/1:2"),
    ],
)
def test_names_may_hold_anything(name, shown):
    """Brackets and blanks in a name do not shift the fields; workers of the kernel keep one name."""
    raw = b"7 (" + name + b") S 1 7 7 0 -1 4194560 1 2 3 4 100 50 0 0 20 0 5 0 777 1000 25 " + b"0 " * 25
    stat = parse_stat(7, raw)
    assert (stat.name, stat.state, stat.ppid, stat.threads, stat.start) == (shown, "S", 1, 5, 777)
    assert stat.rss == 25 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"7 (x) S 1 2", b"7 (x) S a b c d e f g h i j k l m n o p q r s t u"]
)
def test_a_process_that_cannot_be_read_is_left_out(content, tmp_path):
    """It ended between being listed and being read, or /proc is not what it should be."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_bytes(content)
    (tmp_path / "8").mkdir()
    source = LinuxProcesses(root=str(tmp_path))
    assert list(source.stats()) == []
    assert source.describe(7) == ("", [])
    assert list(LinuxProcesses(root=str(tmp_path / "none")).stats()) == []
