"""Host samples: the layout, the arithmetic, and hosts that do not show everything."""

from __future__ import annotations

import os
import time

import msgpack
import pytest

from tabard.agents.samplers.host import DISKS_SECONDS, HostSampler
from tabard.agents.samplers.linux_host import LinuxHost
from tabard.agents.samplers.portable import PortableHost
from tabard.clock import SystemClock

SOURCES = pytest.mark.parametrize("source", [LinuxHost, PortableHost])


class Counters:
    """A source with given counters."""

    def __init__(self):
        self.times = (100.0, 1_000.0)
        self.asked = 0

    def processor(self):
        """Seconds busy and in all."""
        return self.times

    def memory(self):
        """Nothing."""
        return {}

    def disks(self):
        """Count how often it is asked."""
        self.asked += 1
        return {"/": [2, 1]}

    def disk_io(self):
        """Nothing."""
        return [0, 0]

    def net(self):
        """Nothing."""
        return {}

    def uptime(self):
        """A second and a half."""
        return 1.5

    def processes(self):
        """Three."""
        return 3


class Clock:
    """Time that is moved by hand."""

    seconds = 0.0

    def monotonic(self):
        """Seconds."""
        return self.seconds

    def wall(self):
        """Nanoseconds."""
        return 0


@SOURCES
def test_a_sample_of_this_host_has_the_layout_of_the_protocol(source):
    """Every field, in bounds; it can be sent."""
    sample = HostSampler(SystemClock(), source()).sample()
    assert 0 <= sample["cpu"] <= 100
    assert sample["cpus"] == os.cpu_count()
    assert len(sample["load"]) == 3
    assert 0 < sample["mem_used"] < sample["mem_total"]
    assert sample["mem_available"] + sample["mem_used"] == sample["mem_total"]
    assert 0 <= sample["swap_used"] <= sample["swap_total"] or sample["swap_total"] == 0
    assert all(0 <= used <= total for total, used in sample["disks"].values())
    assert len(sample["disk_io"]) == 2
    assert all(len(counts) == 4 for counts in sample["net"].values())
    assert "lo" in sample["net"]
    assert sample["uptime"] > 0
    assert sample["procs"] > 1
    assert msgpack.unpackb(msgpack.packb(sample)) == sample


def test_both_sources_agree():
    """What /proc says is what psutil says."""
    linux, portable = LinuxHost(), PortableHost()
    assert linux.memory()["mem_total"] == portable.memory()["mem_total"]
    assert sorted(linux.net()) == sorted(portable.net())
    assert abs(linux.uptime() - portable.uptime()) < 3
    assert linux.processor()[1] == pytest.approx(portable.processor()[1], rel=0.05)
    assert "/" in linux.disks()


def test_processor_use_is_of_the_time_between_two_samples():
    """Percent of all processors; nothing when no time passed, and never out of bounds."""
    counters = Counters()
    sampler = HostSampler(Clock(), counters)
    assert sampler.sample()["cpu"] == 0.0
    counters.times = (105.0, 1_020.0)
    assert sampler.sample()["cpu"] == 25.0
    counters.times = (205.0, 1_030.0)
    assert sampler.sample()["cpu"] == 100.0
    counters.times = (200.0, 1_040.0)
    assert sampler.sample()["cpu"] == 0.0


def test_file_systems_are_asked_now_and_then():
    """Each sample has them, few ask."""
    counters, clock = Counters(), Clock()
    sampler = HostSampler(clock, counters)
    for _ in range(6):
        assert sampler.sample()["disks"] == {"/": [2, 1]}
        clock.seconds += DISKS_SECONDS / 3
    assert counters.asked == 2


def test_a_busy_processor_shows():
    """Work done between two samples is counted."""
    sampler = HostSampler(SystemClock())
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert sampler.sample()["cpu"] > 0


def test_a_host_that_shows_nothing_gives_zeros(tmp_path):
    """A container without /proc is no reason to fail."""
    host = LinuxHost(str(tmp_path))
    assert host.processor() == (0.0, 0.0)
    assert host.memory()["mem_total"] == 0
    assert host.disk_io() == [0, 0]
    assert host.net() == {}
    assert host.uptime() == 0.0
    assert host.processes() == 0
    assert list(host.disks()) == ["/"]


def test_mounts_are_local_and_counted_once(tmp_path, monkeypatch):
    """No network, virtual or image file systems; a device with several mounts is shown where the path is shortest."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "filesystems").write_text(
        "nodev\tproc\nnodev\ttmpfs\nnodev\tnfs4\nnodev\toverlay\n\text4\n"
    )
    (tmp_path / "proc" / "self" / "mounts").write_text(
        "overlay / overlay rw 0 0\n"
        "proc /proc proc rw 0 0\n"
        "/dev/sda1 /srv/very/deep ext4 rw 0 0\n"
        "/dev/sda1 /srv ext4 rw 0 0\n"
        "/dev/sdb1 /with\\040blank ext4 rw 0 0\n"
        "server:/x /nfs nfs4 rw 0 0\n"
        "sshfs /fuse fuse.sshfs rw 0 0\n"
        "/dev/loop1 /snap squashfs ro 0 0\n"
        "broken\n"
    )
    asked = []

    def statvfs(path):
        asked.append(path)
        return os.statvfs_result((4_096, 4_096, 100, 40, 30, 1, 1, 1, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert LinuxHost(str(tmp_path)).disks() == {
        point: [409_600, 245_760] for point in ("/", "/srv", "/with blank")
    }
    assert sorted(asked) == ["/", "/srv", "/with blank"]


def test_disk_counters_are_of_whole_disks(tmp_path):
    """Partitions, loops and mapped devices are parts of what is counted already."""
    for name in ("sda", "dm-0", "loop0"):
        (tmp_path / "sys" / "block" / name).mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    line = "8 0 {} 1 2 {} 4 5 6 {} 8 9 10 11\n"
    (tmp_path / "proc" / "diskstats").write_text(
        "".join(line.format(name, 10, 20) for name in ("sda", "sda1", "dm-0", "loop0"))
    )
    assert LinuxHost(str(tmp_path)).disk_io() == [5_120, 10_240]
