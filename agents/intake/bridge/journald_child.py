"""One ``journalctl`` in the agent's loop: read when there is room for what it says, ended when nobody wants it.

It ends by itself when the agent is killed: it looks whether somebody is at the other end of its pipe.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Final

from tabard.agents.intake.ports import Loop

READ_BYTES: Final = 131_072
"""Bytes read at a turn."""
_REAP_SECONDS: Final = 0.02
_MOST_SAID: Final = 4_096
_ENVIRONMENT: Final = ("PATH", "HOME", "TZDIR")


class Child:
    """A running journalctl.

    ``take`` gets what it writes, ``complain`` each line it says about itself, ``ended`` its exit code once it is gone
    and all it wrote was taken. None of them is called after `stop`.

    Raises from the constructor:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        *,
        take: Callable[[bytes], None],
        complain: Callable[[str], None],
        ended: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._take = take
        self._complain = complain
        self._ended = ended
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            | {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_URLIFY": "0"},
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out = self._process.stdout.fileno()
        self._err = self._process.stderr.fileno()
        for descriptor in (self._out, self._err):
            os.set_blocking(descriptor, False)
        self._said = b""
        self._reading = False
        self._stopped = self._silent = False
        loop.add_reader(self._err, self._complains)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def resume(self) -> None:
        """Read what it writes."""
        if not self._reading and not self._stopped:
            self._reading = True
            self._loop.add_reader(self._out, self._readable)

    def pause(self) -> None:
        """Read nothing: it waits as soon as its pipe is full."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._out)

    def stop(self) -> None:
        """End it. It has nothing to lose: what was not read is read again."""
        self._silent = True
        if not self._stopped:
            self._let_go()
        if self._process.poll() is not None:
            return
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # then it is stuck in the kernel, and init's
            self._process.wait(2.0)

    def _let_go(self) -> None:
        self._stopped = True
        self.pause()
        self._loop.remove_reader(self._err)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _readable(self) -> None:
        if not self._reading:
            return
        try:
            data = os.read(self._out, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
            return
        self._complains()
        self._let_go()
        self._reap()

    def _complains(self) -> None:
        try:
            data = os.read(self._err, _MOST_SAID)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._err)
        *lines, rest = (self._said + data).split(b"\n")
        self._said = rest[-_MOST_SAID:] if data else b""
        for line in lines if data else [*lines, rest]:
            if line.strip():
                self._complain(line.decode("utf-8", "replace")[:500].strip())

    def _reap(self) -> None:
        """It closed its end: it is about to be gone."""
        if self._silent:
            return
        code = self._process.poll()
        if code is None:
            self._loop.call_at(self._loop.now() + _REAP_SECONDS, self._reap)
        else:
            self._ended(code)
