"""Fail-points do what they are armed for, at the hit they are armed for, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard import failpoints
from tabard.errors import UsageError


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """No test leaves a fail-point armed."""
    yield
    failpoints.arm("")


def test_a_fail_point_strikes_at_the_hit_it_names_only() -> None:
    """error@2 fails the second hit; the first and third pass."""
    failpoints.arm("disk.write=error@2")
    failpoints.hit("disk.write")
    with pytest.raises(OSError, match=r"fail-point disk\.write"):
        failpoints.hit("disk.write")
    failpoints.hit("disk.write")
    failpoints.hit("other")


def test_exit_ends_the_process_in_order() -> None:
    """The action exit unwinds, so that finally blocks run."""
    failpoints.arm("x=exit")
    with pytest.raises(SystemExit):
        failpoints.hit("x")


def test_kill_comes_from_the_environment_and_leaves_no_chance(tmp_path: Path) -> None:
    """A process armed by its environment dies by SIGKILL at the place, and the log has the hit before it."""
    log = tmp_path / "hits"
    code = "from tabard import failpoints as f; f.hit('a'); f.hit('a'); f.hit('b'); print('alive')"
    env = {**os.environ, "TABARD_FAILPOINTS": "b=kill", "TABARD_FAILPOINT_LOG": str(log)}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate()
    assert (process.returncode, output) == (-signal.SIGKILL, b"")
    assert log.read_text() == f"a {process.pid}\nb {process.pid}\n"


def test_stop_freezes_until_continued() -> None:
    """A stopped process goes on where it was after SIGCONT."""
    code = "from tabard import failpoints as f; f.arm('x=stop'); f.hit('x'); print('on')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0] == b"on\n"


@pytest.mark.parametrize("spec", ["x", "x=", "=kill", "x=melt", "x=kill@0", "x=kill@y"])
def test_a_malformed_specification_is_refused(spec: str) -> None:
    """A typing error must not turn a chaos run into a quiet one."""
    with pytest.raises(UsageError, match="NAME=ACTION"):
        failpoints.arm(spec)


def test_declared_points_are_listed() -> None:
    """The coverage report is made of the declarations."""
    assert failpoints.declare("test.point", "where a test stands") == "test.point"
    assert failpoints.declared()["test.point"] == "where a test stands"
