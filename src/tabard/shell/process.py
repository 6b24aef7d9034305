"""One process and its three pipes: fed, read and, when its time is over, ended with all it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final, NamedTuple

from tabard.shell.family import Member, members, tell

LINGER: Final = 0.5
"""Seconds that output is read on after the command has ended, while something it left running holds the pipe."""
UNKNOWN: Final = 255
"""Code of a command whose code was taken by somebody else in this process; Popen would say 0."""
_CHUNK: Final = 65_536
_LOOK: Final = 0.05
"""Seconds between two looks at a process where the kernel cannot announce its end."""
_LONGEST: Final = 3_600.0
"""Most seconds of one wait: an endless time-out is more than the kernel takes."""
_ROUNDS: Final = 20
"""Looks at who is still alive after a SIGKILL: some may just have started another."""

Take = Callable[[bytes], None]
Signal = Callable[[int], None]
"""Sends a signal to the whole process group."""
Left = Callable[[Sequence[tuple[int, Take]]], None]
"""Is given the pipes that something the command left running still holds, each with who takes what comes out of it."""


class Ending(NamedTuple):
    """How a process ended: ``code`` as in ``subprocess``, whether by time-out, whether its output was still held."""

    code: int
    timed_out: bool
    held: bool


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    timeout: float | None,
    grace: float,
    take_out: Take,
    take_err: Take,
    inherit: bool = False,
    started: Callable[[int, Signal], None] | None = None,
    left: Left | None = None,
) -> Ending:
    """Run ``argv`` in a process group of its own until it ends, or until ``timeout`` seconds have passed.

    The group is then sent SIGTERM, and SIGKILL ``grace`` seconds later, and so are its descendants in sessions of
    their own. Output goes to ``take_out`` and ``take_err`` as it comes. An exception out of them, or Ctrl-C, ends all
    of these in the same way. Raises OSError when there is no such command.

    With ``inherit`` the command reads the standard input of this process. ``started`` is told the process id as soon as
    there is one, and how to send a signal to the group; ``left`` what it left running, before the pipes are closed.
    """
    # It stays a zombie until the end of this block: while it is one, its group's number cannot be another's.
    process = subprocess.Popen(
        list(argv),
        stdin=None if inherit else subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
        start_new_session=True,
        bufsize=0,
    )
    running = _Running(process, grace)
    try:
        if process.stdin is not None:
            running.feed(process.stdin, stdin or b"")
        if process.stdout is not None and process.stderr is not None:  # both are pipes, always
            running.read(process.stdout, take_out)
            running.read(process.stderr, take_err)
        if started is not None:
            started(process.pid, running.signal)
        ending = running.wait(timeout)
        if left is not None and running.held:
            left(running.held)
        return ending
    finally:
        running.close()


class _Running:
    """The loop round a process. Not for more than one thread."""

    def __init__(self, process: subprocess.Popen[bytes], grace: float) -> None:
        self._process = process
        self._grace = grace
        self._selector = selectors.DefaultSelector()
        self.held: list[tuple[int, Take]] = []
        """Output pipes not yet at their end, and who takes what they bring."""
        self._finished = False
        self._unknown = False
        """Whether somebody else has taken its exit code."""
        self._deaf = False
        """Whether what it still says is read for its sake only: whoever took it has raised."""
        self._family: set[Member] = set()
        """Who was alive of all it started, when that was last asked."""
        self._pidfd = -1
        with contextlib.suppress(
            OSError, AttributeError
        ):  # an old kernel, no free descriptor, another system
            self._pidfd = os.pidfd_open(process.pid)
            self._selector.register(self._pidfd, selectors.EVENT_READ, self._note_end)

    def feed(self, pipe: IO[bytes], data: bytes) -> None:
        """Write ``data`` to the process as it takes it, then close its standard input."""
        rest = memoryview(data)
        os.set_blocking(pipe.fileno(), False)

        def write() -> None:
            nonlocal rest
            try:
                rest = rest[os.write(pipe.fileno(), rest[:_CHUNK]) :]
            except BlockingIOError:
                return
            except OSError:
                rest = rest[:0]  # it does not want to read: its own business
            if not rest:
                self._selector.unregister(pipe)
                pipe.close()

        if rest:
            self._selector.register(pipe, selectors.EVENT_WRITE, write)
        else:
            pipe.close()

    def read(self, pipe: IO[bytes], take: Take) -> None:
        """Hand what the process writes to ``take``."""
        os.set_blocking(pipe.fileno(), False)
        opened = (pipe.fileno(), take)
        self.held.append(opened)

        def drain() -> None:
            try:
                chunk = os.read(pipe.fileno(), _CHUNK)
            except BlockingIOError:
                return
            if chunk:
                if not self._deaf:
                    take(chunk)
                return
            self.held.remove(opened)
            self._selector.unregister(pipe)

        self._selector.register(pipe, selectors.EVENT_READ, drain)

    def wait(self, timeout: float | None) -> Ending:
        """Turn until the process has ended and its output is read."""
        end = None if timeout is None else time.monotonic() + timeout
        timed_out = not self._turn(end, until_read=False)
        if timed_out:
            self._ask(time.monotonic() + self._grace)
            self._kill()
        held = not self._turn(time.monotonic() + LINGER, until_read=True)
        code = self._process.wait() if self._finished else -signal.SIGKILL
        if self._unknown:
            code = UNKNOWN
        return Ending(code, timed_out, held or not self._finished)

    def signal(self, number: int) -> None:
        """Send a signal to the group; not once the command was waited for, when its number may be another's."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or has become another user
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End what still runs, and give everything back."""
        if not self._finished:
            self._deaf = True
            try:
                self._ask(time.monotonic() + self._grace)
            finally:  # also when whoever waits has had enough
                self._kill()
        if self._finished:
            self._process.wait()
        self._selector.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _turn(self, end: float | None, *, until_read: bool) -> bool:
        """Serve the pipes until the process has ended (and all is read); False when ``end`` comes first."""
        while not self._finished or (until_read and self.held):
            wait = None if end is None else end - time.monotonic()
            if wait is not None and wait <= 0:
                return False
            if wait is not None:
                wait = min(wait, _LONGEST)
            if self._pidfd < 0:
                wait = _LOOK if wait is None else min(wait, _LOOK)
                self._note_end()
            for key, _ in self._selector.select(wait):
                key.data()
        return True

    def _note_end(self) -> None:
        try:
            how = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            self._finished = how is not None
        except ChildProcessError:  # the application ignores SIGCHLD, or waits for any child
            self._finished = self._unknown = True
        if self._finished and self._pidfd >= 0:
            self._selector.unregister(self._pidfd)  # it would be ready for ever

    def _ask(self, end: float) -> None:
        """Ask all of them to end, and give them until ``end`` to do so."""
        self._look()
        self._tell_all(signal.SIGTERM)
        self._tell_all(signal.SIGCONT)  # one that was stopped could not heed it
        self._turn(end, until_read=True)
        # What has redirected its output may still be at its work when the command itself is gone.
        while (wait := end - time.monotonic()) > 0 and self._look():
            time.sleep(min(wait, _LOOK))

    def _kill(self) -> None:
        """End all of them now. Who has become another user's cannot be ended, and is left behind."""
        self._look()
        self._tell_all(signal.SIGKILL)
        self._turn(time.monotonic() + max(self._grace, LINGER), until_read=False)
        for _ in range(_ROUNDS):
            if not self._look():
                return
            self._tell_all(signal.SIGKILL)
            time.sleep(_LOOK)

    def _look(self) -> bool:
        """Find out who is alive, and whether anybody is."""
        if self._process.returncode is None:
            self._family = members(None if self._unknown else self._process.pid, self._family)
        return bool(self._family)

    def _tell_all(self, number: int) -> None:
        self.signal(number)
        tell(self._family, number, told=self._process.pid)
