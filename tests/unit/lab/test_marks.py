"""The processes of a lab, found by what they carry: those of others are never touched."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.ops.lab import marks


def _sleeping(**mark: str) -> subprocess.Popen[bytes]:
    """A process that has begun: until then it carries what its parent does."""
    process = subprocess.Popen(
        ["sh", "-c", "echo; exec sleep 600"], env={**os.environ, **mark}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def others(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One of no lab, and one of a lab whose directory begins with the same letters."""
    found = [_sleeping(), _sleeping(**marks.mark(f"{tmp_path}/lab2"))]
    yield found
    for each in found:
        each.kill()
        each.communicate()


def test_the_processes_of_a_lab_are_found(tmp_path: Path, others: list[subprocess.Popen[bytes]]) -> None:
    """With the host and the cable that they belong to."""
    lab = f"{tmp_path}/lab"
    with _sleeping(**marks.mark(lab, "web1", "p3")) as process:
        (found,) = marks.marked(lab)
        assert (found.pid, found.host, found.cable) == (process.pid, "web1", "p3")
        assert not found.first
        process.kill()
    assert marks.marked(lab) == []


def test_the_end_takes_those_of_the_lab_and_no_other(
    tmp_path: Path, others: list[subprocess.Popen[bytes]]
) -> None:
    """A stopped one too; it returns when they have gone."""
    lab = f"{tmp_path}/lab"
    with _sleeping(**marks.mark(lab)) as one, _sleeping(**marks.mark(lab, "web1")) as two:
        two.send_signal(signal.SIGSTOP)
        assert marks.end_all(lab, 60.0) == []
        assert (one.wait(), two.wait()) == (-signal.SIGKILL, -signal.SIGKILL)
    assert [each.poll() for each in others] == [None, None]


def test_a_number_that_another_process_has_now_is_left_alone(tmp_path: Path) -> None:
    """What was found is known by when it was started as well."""
    lab = f"{tmp_path}/lab"
    with _sleeping(**marks.mark(lab)) as process:
        (found,) = marks.marked(lab)
        assert marks.send([found._replace(began=found.began - 1)], signal.SIGKILL) == 0
        assert process.poll() is None
        assert marks.send([found], signal.SIGKILL) == 1
