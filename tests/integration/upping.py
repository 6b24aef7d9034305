"""Running ``tabard up`` and other commands as a user does: real processes with a home of their own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from tabard.home import Home
from tabard.locks import held

TABARD: Final = (sys.executable, "-P", "-m", "tabard.ops.main")


def environment(home: Path, **more: str) -> dict[str, str]:
    """None of this machine's own variables."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(home.parent),
        "TABARD_HOME": str(home),
        "TABARD_INTAKE_TAIL_DEFAULTS": "false",
        "TABARD_LOG_STATUS_EVERY": "200ms",  # which tests wait for all the time
        **more,
    }


def tabard(home: Path, *words: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*TABARD, *words],
        env=environment(home, **env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
    )


def wait_for_end(*pids: int) -> None:
    """Return when none of the processes runs any more. They need not be children of this one."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            select.select([descriptor], [], [])
        finally:
            os.close(descriptor)


class Started:
    """A command that runs until it is ended; what it prints is read as it comes."""

    def __init__(self, home: Path, *words: str, stdin: int = subprocess.DEVNULL, **env: str) -> None:
        self.home = Home(home)
        self.said = ""
        self.process = subprocess.Popen(
            [*TABARD, *words],
            env=environment(home, **env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.rest()

    def wait_for(self, part: str) -> str:
        """Read up to the next line with ``part``, and return it. Fails when the command ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if part in line:
                return line.rstrip("\n")
        raise AssertionError(
            f"{part!r} was not said before the end (code {self.process.wait()}):\n{self.said}"
        )

    def rest(self) -> int:
        """Read to the end, and return the exit code."""
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.said += self.process.stdout.read()
            self.process.stdout.close()
        return self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command itself."""
        self.process.send_signal(number)

    def pids(self, names: Sequence[str]) -> dict[str, int]:
        """The process ids of those roles of its home; all must run."""
        found = {name: held(self.home.lock(name)) for name in names}
        assert all(found.values()), f"not all run: {found}\n{self.said}"
        return {name: pid for name, pid in found.items() if pid}
