"""The line of a command to a dispatcher: that of this home, or that of another host by ssh. Nothing here needs a database."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from typing import BinaryIO, Final

from tabard.consumers.commands.line import GoneError, Line, connected
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.commands import via as ways
from tabard.ops.output import printable

__all__ = ["Client", "GoneError", "bridge", "connected"]

_ENDING: Final = 5.0
"""Seconds in which an ssh that lost its connection says why."""
_SAID: Final = 65_536
_CHUNK: Final = 65_536


class Client(Line):
    """One connection, used as a context."""

    def __init__(self, home: Home, via: str | None = None) -> None:
        """Raises TabardError when nobody answers there."""
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: BinaryIO | None = None
        self._via = via
        if via is not None:
            self.noise_hint = "What a shell prints at a login without a terminal (~/.bashrc there) has to go"
        made = connected(home) if via is None else self._by_ssh(via)
        super().__init__(made, via or str(home.path), clean=printable)

    def close(self) -> None:
        """End the connection, and the ssh that it goes through."""
        super().close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        if self._errors is not None:
            self._errors.close()

    def _by_ssh(self, via: str) -> socket.socket:
        words = ways.words(via)
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- as long as the connection
        try:
            self._process = subprocess.Popen(
                words, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._errors
            )
        except OSError as error:
            ours.close()
            self._errors.close()
            raise TabardError(
                "ssh cannot be started",
                expected="the program ssh in the PATH",
                found=error.strerror or str(error),
                hint="Install it (the package openssh-client)",
            ) from error
        finally:
            theirs.close()
        return ours

    def _gone(self, found: str) -> TabardError:
        if self._via is None:
            return super()._gone(found)
        why = self._why(self._via)
        if not self._heard:
            return TabardError(
                "the dispatcher of that host cannot be asked",
                expected="an answer",
                found=why.found,
                where=self._where,
                hint=why.hint,
            )
        error = super()._gone(why.found)
        error.hint = f"{error.hint} --via {self._via}"
        return error

    def _why(self, via: str) -> ways.Reason:
        assert self._process is not None
        assert self._errors is not None
        self._socket.close()
        self._in.close()
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_ENDING)
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _SAID))
        return ways.reason(via, code, self._errors.read().decode("utf-8", "replace"))


def bridge(home: Home) -> None:
    """Hand standard input to the dispatcher of a home, and what it says to standard output, until either ends. Raises TabardError."""
    # epoll takes no file and no /dev/null, which standard input may be.
    with connected(home) as made, selectors.PollSelector() as selector:
        selector.register(made, selectors.EVENT_READ)
        selector.register(sys.stdin.buffer, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is made:
                    data = made.recv(_CHUNK)
                    if not data:
                        return
                    sys.stdout.buffer.write(data)
                    sys.stdout.buffer.flush()
                else:
                    data = os.read(sys.stdin.fileno(), _CHUNK)
                    if not data:
                        return
                    made.sendall(data)
