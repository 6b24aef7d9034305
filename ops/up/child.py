"""One child of ``tabard up``: started, heard, ended, swept up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tabard.brokers.loop import Loop
from tabard.ops.up.born import READY, WORD
from tabard.status import LIFELINE

_CHUNK: Final = 65_536
_CHUNKS: Final = 16
"""How much is read from one child before the others have their turn."""
LINE: Final = 2_000
"""Bytes of a line that a child prints; what is longer is cut into several."""


class Child:
    """A process in a process group of its own, with pipes for its output and for its word that it is ready.

    The group keeps a Ctrl-C in the terminal from it, so that the children end in order, and whatever the
    child started itself can be found when it is gone.
    """

    def __init__(
        self,
        command: Sequence[str],
        loop: Loop,
        lifeline: int,
        env: Mapping[str, str],
        *,
        on_ready: Callable[[], None],
        on_line: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._on_ready = on_ready
        self._on_line = on_line
        self._rest = b""
        self._heard, ready = os.pipe()
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**env, LIFELINE: str(lifeline), READY: str(ready)},
                pass_fds=(lifeline, ready),
                process_group=0,
            )
        except OSError:
            os.close(self._heard)
            os.close(self._output)
            raise
        finally:
            os.close(ready)
            os.close(output)
        self._open = {self._heard, self._output}
        loop.add_reader(self._heard, self._hear)
        loop.add_reader(self._output, self._read)

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's."""
        return self._process.pid

    def ended(self) -> int | None:
        """Its return code (negative: the signal that ended it) once it has ended, None while it runs.

        The first time that it is not None, whatever is left of its group has been killed and its output read.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        # Looked at without reaping: until it is reaped its id, and so its group's, cannot be another's.
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.kill()
        code = self._process.wait()
        self._read()
        if self._rest:
            self._line(self._rest)
        for descriptor in tuple(self._open):
            self._close(descriptor)
        return code

    def ask_to_end(self) -> None:
        """Send SIGTERM to the child itself."""
        self._signal(signal.SIGTERM)

    def ask_to_reload(self) -> None:
        """Send SIGHUP to the child itself."""
        self._signal(signal.SIGHUP)

    def kill(self) -> None:
        """Send SIGKILL to the child and all it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:  # not reaped: the id is still its own
            os.kill(self.pid, number)

    def _hear(self) -> None:
        said = os.read(self._heard, len(WORD))
        self._close(self._heard)
        if said == WORD:
            self._on_ready()

    def _read(self) -> None:
        for _ in range(_CHUNKS):
            if self._output not in self._open:
                return
            try:
                data = os.read(self._output, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                self._close(self._output)
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._line(line)
            while len(self._rest) > LINE:
                self._line(self._rest[:LINE])
                self._rest = self._rest[LINE:]

    def _line(self, line: bytes) -> None:
        for start in range(0, len(line), LINE):
            self._on_line(line[start : start + LINE].decode("utf-8", "replace").rstrip())

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
