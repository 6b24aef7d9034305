"""One process of a fleet: started as its operator would, and ended, killed or frozen by a test."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

TAIL_OF_OUTPUT: Final = 4_000
"""Bytes of what a process printed that are shown when it ended by itself."""


class Worker:
    """A role in a process of its own, of which nothing but its end is asked of the operating system.

    An end that nobody caused is remembered in `crashes`, with what the process printed.
    """

    def __init__(self, name: str, words: list[str], output: Path, lifeline: int, log: Path) -> None:
        self.name = name
        self.crashes: list[str] = []
        self.starts = 0
        self._command = [sys.executable, "-P", "-m", "tabard.ops.main", *words]
        self._output = output
        self._lifeline = lifeline
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        self._doomed = False
        """Its end is wanted: by a signal that was sent, or at a fail-point."""
        self._ready: int | None = None

    def run_instead(self, program: Path) -> None:
        """Start another program with the same words."""
        self._command[2:4] = [str(program)]

    # --- life ------------------------------------------------------------------------------

    def start(self, points: str = "", **environment: str) -> None:
        """Start the process, with `points` for TABARD_FAILPOINTS."""
        assert self._process is None, f"{self.name} runs"
        self.starts += 1
        self._doomed = "=kill" in points
        self._close_ready()
        self._ready, ready = os.pipe()
        try:
            with self._output.open("ab") as output:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment(points, ready, environment),
                    pass_fds=(self._lifeline, ready),
                )
        finally:
            os.close(ready)

    def _environment(self, points: str, ready: int, more: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            **more,
            "TABARD_FAILPOINTS": points,
            "TABARD_FAILPOINT_LOG": str(self._log),
            "TABARD_LIFELINE": str(self._lifeline),
            "TABARD_READY": str(ready),
        }

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until the process says that it does its work."""
        assert self._ready is not None
        heard = select.select([self._ready], [], [], timeout)[0] and os.read(self._ready, 16)
        assert heard, f"{self.name} did not become ready: {self.printed()}"

    def poll(self) -> bool:
        """Whether it runs. An end that nobody caused is a crash."""
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return True
        if not (self._doomed and code in (0, -signal.SIGKILL, -signal.SIGTERM)):
            self.crashes.append(f"{self.name} ended by itself with code {code}: {self.printed()}")
        self._process = None
        self._frozen = False
        return False

    @property
    def pid(self) -> int:
        """Its process id; it has to run."""
        assert self._process is not None
        return self._process.pid

    def printed(self) -> str:
        """The end of what it wrote to the terminal it has not."""
        with self._output.open("rb") as output:
            output.seek(max(0, self._output.stat().st_size - TAIL_OF_OUTPUT))
            return output.read().decode("utf-8", "replace").strip()

    # --- what is done to it ------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._send(signal.SIGKILL)
        self._reap()

    def ask_to_end(self) -> None:
        """SIGTERM."""
        self._send(signal.SIGTERM)

    def reload(self) -> None:
        """SIGHUP: read the settings again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """SIGSTOP."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            self._frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self._frozen = False

    def _send(self, number: signal.Signals) -> None:
        self._doomed = True
        if self._process is not None:
            self._process.send_signal(number)
            if self._frozen:
                self.thaw()

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(30)
            self.poll()

    def stop(self, patience: float = 30.0) -> None:
        """End it in order, and wait for it; one that does not end is killed, and that is a crash too."""
        self.ask_to_end()
        deadline = time.monotonic() + patience
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(max(0.0, deadline - time.monotonic()))
        if self.poll():
            self.crashes.append(f"{self.name} did not end within {patience:.0f} s")
            self.kill()
        self._close_ready()

    def destroy(self) -> None:
        """Leave nothing of it, whatever state it is in."""
        if self._process is not None:
            self._send(signal.SIGKILL)
            self._process.wait(30)
            self._process = None
        self._close_ready()

    def _close_ready(self) -> None:
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None

    # --- what can be seen of it --------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """Whether the kernel has it stopped, as after SIGSTOP to itself."""
        if self._process is None:
            return False
        return _status(self.pid).get("State", "").startswith("T")

    @property
    def memory(self) -> int:
        """Bytes of memory it has now (VmRSS)."""
        return int(_status(self.pid)["VmRSS"].split()[0]) * 1024


def _status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
