"""The system clock and the identity of a boot."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from tabard.clock import SHIFT, Clock, SystemClock, boot_id


def test_the_system_clock_reads_seconds_and_nanoseconds() -> None:
    """Monotonic agrees with the kernel's clock, wall with UTC."""
    clock: Clock = SystemClock()
    before = time.monotonic()
    assert before <= clock.monotonic() <= time.monotonic()
    assert abs(clock.wall() - time.time_ns()) < 60_000_000_000


def test_the_boot_id_is_the_same_in_every_process() -> None:
    """A reading kept by one process is understood by the next."""
    command = [sys.executable, "-c", "from tabard.clock import boot_id; print(boot_id())"]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == boot_id() != ""
    )


def test_the_boot_id_is_known_without_a_descriptor_to_spare() -> None:
    """It was read once; an agent that has every descriptor in use still says which boot it runs in."""
    before = boot_id()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unused = os.dup(0)
    os.close(unused)
    resource.setrlimit(resource.RLIMIT_NOFILE, (unused, hard))
    try:
        assert boot_id() == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_clock_of_a_lab_is_wrong_by_what_is_written_down(tmp_path: Path) -> None:
    """At every look, so it jumps under a process that runs; while nothing sensible is written it is right. Timers never change."""
    shift = tmp_path / "clock"
    ask = (
        "import pathlib, sys, time; from tabard.clock import SystemClock; clock = SystemClock()\n"
        "path, *texts = sys.argv[1:]\n"
        "for text in ['', *texts]:\n"
        "    if text: pathlib.Path(path).write_text(text)\n"
        "    off = (clock.wall() - time.time_ns()) / 1e9\n"
        "    print(round(off), abs(clock.monotonic() - time.monotonic()) < 60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask, str(shift), "172800", "-172800.0\n", "nonsense", "inf", "0"],
        env={**os.environ, SHIFT: str(shift)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{off} True" for off in ("0", "172800", "-172800", "0", "0", "0")]
