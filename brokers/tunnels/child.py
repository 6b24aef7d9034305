"""The process that has a tunnel: started, heard, ended, swept up with what it started itself."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tabard.brokers.loop import Loop, Timer
from tabard.brokers.tunnels import tied

LINES: Final = 100
_LINE: Final = 1_000
"""Lines that are kept of what it says, and bytes of one."""
GRACE: Final = 2.0
"""Seconds that it has to end when it is asked to."""


class Child:
    """A process in a group of its own that dies with this one. Raises OSError when it cannot be started."""

    def __init__(
        self,
        command: Sequence[str],
        loop: Loop,
        env: Mapping[str, str],
        stdin: bytes,
        directory: Path,
        *,
        on_line: Callable[[str], None],
        on_end: Callable[[Sequence[str], int], None],
    ) -> None:
        self._loop = loop
        self._on_line = on_line
        self._on_end = on_end
        self._rest = b""
        self._lines: deque[str] = deque(maxlen=LINES)
        self._timer: Timer | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", tied.__file__, str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=directory,
            process_group=0,
        )
        assert self._process.stdin is not None and self._process.stderr is not None  # noqa: PT018 -- for the types
        self._said = self._process.stderr.fileno()
        os.set_blocking(self._said, False)
        with contextlib.suppress(BrokenPipeError):  # it has ended: that is heard below
            self._process.stdin.write(stdin)
            self._process.stdin.flush()
        self._gone = os.pidfd_open(self._process.pid)
        loop.add_reader(self._said, self._read)
        loop.add_reader(self._gone, self._ended)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self) -> None:
        """Ask it to end, and make it after a while; `on_end` is called as ever."""
        if self._process.returncode is None and self._timer is None:
            self._process.terminate()
            self._timer = self._loop.call_at(self._loop.now() + GRACE, self._kill)

    def close(self) -> None:
        """End it now and wait for that; nobody is called back."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        # Waited for without taking it away: until then its group's id cannot be another's.
        select.select([self._gone], [], [], GRACE)
        self._sweep()

    def _read(self) -> None:
        try:
            data = os.read(self._said, 65_536)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._said)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:_LINE]
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        # A carriage return at its end stays: by it one knows ssh's own words.
        text = line[:_LINE].decode("utf-8", "replace").rstrip(" \n")
        if text.strip():
            self._lines.append(text)
            self._on_line(text)

    def _ended(self) -> None:
        self._read()
        if self._rest:
            self._hear(self._rest)
        code = self._sweep()
        self._on_end(tuple(self._lines), code)

    def _sweep(self) -> int:
        """Kill what is left of it and of what it started, and take it away."""
        if self._timer is not None:
            self._timer.cancel()
        self._kill()
        code = self._process.wait()
        self._loop.remove_reader(self._said)
        self._loop.remove_reader(self._gone)
        os.close(self._gone)
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return code

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
