"""Processes of a peer: started, killed, frozen, ended whatever happens, and what memory and CPU they use."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from tabard.errors import TabardError
from tabard.ops.bench import usage
from tabard.ops.bench.postgres import Postgres
from tabard.ops.bench.surroundings import environment, unbroken

SEARCH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
"""Debian keeps daemons outside a plain user's PATH."""
_STARTING: Final = 20.0
_ENDING: Final = 5.0
_LOOK: Final = 0.01


class Victim(Protocol):
    """Something that can be struck."""

    def kill(self) -> None:
        """End it without a word, and wait until it is gone."""

    def hang(self) -> None:
        """Stop it where it is."""

    def resume(self) -> None:
        """Let it go on."""

    def start(self) -> None:
        """Start it, again if need be. Raises TabardError when it does not start."""


class Process:
    """A program that is ready once its port takes connections. Its output is in `log`."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        name: str,
        port: int,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [*_dying_with_this(), *command]
        self._directory = directory
        self._name = name
        self._port = port
        self._extra = dict(extra or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.log = directory / f"{name}.log"

    def start(self) -> None:
        """Start it and wait until it listens. Raises TabardError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it."""
        with unbroken(), self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(), **self._extra},
                process_group=0,  # a Ctrl-C reaches the bench, which then ends this in order
            )

    def wait_ready(self) -> None:
        """Wait until it listens. Raises TabardError when it does not."""
        deadline = time.monotonic() + _STARTING
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port)).close()
                return
            if time.monotonic() > deadline or not self.pids():
                raise TabardError(
                    "a peer does not start",
                    expected=f"it to listen on port {self._port}",
                    found=self._last_words(),
                    where=self._name,
                )
            time.sleep(_LOOK)

    def pids(self) -> list[int]:
        """Its process id while it runs."""
        return [] if self._process is None or self._process.poll() is not None else [self._process.pid]

    def kill(self) -> None:
        """SIGKILL, also to a frozen one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def hang(self) -> None:
        """SIGSTOP."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        self.resume()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self.kill()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1] if lines else "silence"


class Server:
    """A PostgreSQL server as a victim."""

    def __init__(self, server: Postgres) -> None:
        self.server = server

    def pids(self) -> list[int]:
        """Of the postmaster and all it has started; none while it is down."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            first = int((self.server.socket / "postmaster.pid").read_text().split()[0])
            return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]
        return []

    def kill(self) -> None:
        """All its processes die without a word, as when the machine kills for memory; wait until they are gone."""
        pids = self.pids()
        _signal(pids, signal.SIGKILL)
        deadline = time.monotonic() + _ENDING
        while any(map(_lives, pids)) and time.monotonic() < deadline:
            time.sleep(_LOOK)
        # Its locks: where nobody waits for the dead at once, a process id stays for a while, and would be believed.
        for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self.server.socket / lock).unlink(missing_ok=True)

    def hang(self) -> None:
        """All its processes, the postmaster first so that it starts no more."""
        _signal(self.pids()[:1], signal.SIGSTOP)
        _signal(self.pids()[1:], signal.SIGSTOP)

    def resume(self) -> None:
        """All of them."""
        _signal(self.pids(), signal.SIGCONT)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        try:
            self.server.start()
        except subprocess.CalledProcessError as error:
            raise TabardError("the database server does not start", found=str(error)) from error


def pss(pids: Iterable[int]) -> int:
    """Bytes of memory, a page that n processes share counted as one n-th in each."""
    return _sum(pids, lambda pid: usage.memory(pid).pss)


def rss(pids: Iterable[int]) -> int:
    """Bytes of memory, shared pages counted in each."""
    return _sum(pids, lambda pid: usage.memory(pid).rss)


def _sum(pids: Iterable[int], of: Callable[[int], int]) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, KeyError):
            total += of(pid)
    return total


def _lives(pid: int) -> bool:
    """Whether it is more than a name that its parent has not asked after."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _dying_with_this() -> list[str]:
    """A prefix by which the kernel ends the command when this process is killed, where there is such a tool."""
    tool = shutil.which("setpriv", path=SEARCH)
    return [tool, "--pdeathsig", "KILL", "--"] if tool else []
