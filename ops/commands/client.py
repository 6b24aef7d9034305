"""The line to a dispatcher: the socket of this home, or the one of another host by ssh. Nothing here needs a database."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, Self

from tabard import exits
from tabard.consumers.commands.talk import MAX_LINE, NOT_ASKED, SOCKET, decode, encode
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.home import Home
from tabard.ops.commands import via as ways
from tabard.ops.output import printable

_ANSWER: Final = 60.0
"""Seconds within which a dispatcher answers."""
_ENDING: Final = 5.0
"""Seconds in which an ssh that lost its connection says why."""
_SAID: Final = 65_536
_SHOWN: Final = 60
_KINDS: Final = {exits.WRONG_USE: UsageError, exits.REFUSED: RefusedError}
_CHUNK: Final = 65_536


class GoneError(TabardError):
    """Raised where the dispatcher was reached, and is not any more: what it took goes on."""


class Client:
    """One connection, used as a context."""

    def __init__(self, home: Home, via: str | None = None) -> None:
        """Raises TabardError when nobody answers there."""
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: BinaryIO | None = None
        self._via = via
        self._where = via or str(home.path)
        self._heard = False
        """Whether it has answered once."""
        self._socket = connected(home) if via is None else self._by_ssh(via)
        self._socket.settimeout(_ANSWER)
        self._in: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._socket.close()
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

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The answer to one request. Raises what the dispatcher refuses it with, TabardError when there is no answer."""
        try:
            self._socket.sendall(encode({"op": op, **fields}))
            said = self._read()
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from error
        self._heard = True
        if said.get("ok") is not True:
            raise self._refused(said, op)
        return said

    def events(self) -> Iterator[dict[str, Any]]:
        """What comes after `follow`, up to its end. Raises GoneError when the dispatcher ends before."""
        self._socket.settimeout(None)
        while True:
            try:
                said = self._read()
            except OSError as error:
                raise self._gone(error.strerror or str(error)) from error
            if said.get("event") == "end":
                return
            yield said

    def _read(self) -> dict[str, Any]:
        line = self._in.readline(8 * MAX_LINE)
        if not line.endswith(b"\n"):
            raise self._gone("the end of the connection")
        try:
            return decode(line)
        except UsageError as error:
            text = line.decode("utf-8", "replace").strip()[:_SHOWN]
            raise TabardError(
                "what comes from there is not a dispatcher's",
                expected="lines of JSON",
                found=printable(text),
                where=self._where,
                hint="What a shell prints at a login without a terminal (~/.bashrc there) has to go"
                if self._via
                else None,
            ) from error

    def _gone(self, found: str) -> TabardError:
        hint = "What was given to it goes on: tabard commands list"
        if self._via is not None:
            why = self._why(self._via)
            found = why.found
            if not self._heard:
                return TabardError(
                    "the dispatcher of that host cannot be asked",
                    expected="an answer",
                    found=found,
                    where=self._where,
                    hint=why.hint,
                )
            hint += f" --via {self._via}"
        return GoneError(
            "the dispatcher does not answer any more",
            expected="an answer",
            found=found,
            where=self._where,
            hint=hint,
        )

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

    def _refused(self, said: dict[str, Any], op: str) -> TabardError:
        if said.get("what") == NOT_ASKED:
            return TabardError(
                "the dispatcher is older than this command",
                expected=f"one that can be asked to {op}",
                found="one that cannot",
                where=self._where,
                hint="Upgrade Tabard there, and start its dispatcher anew",
            )
        kind = _KINDS.get(said.get("code", exits.FAILED), TabardError)
        texts = {
            name: None if said.get(name) is None else printable(str(said[name]))
            for name in ("expected", "found", "where", "hint")
        }
        return kind(printable(str(said.get("what", "the dispatcher refused"))), **texts)


def connected(home: Home) -> socket.socket:
    """A connection to the dispatcher of a home. Raises TabardError when none listens."""
    path = home.socket(SOCKET)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(os.fspath(path))
    except OSError as error:
        made.close()
        raise TabardError(
            "no dispatcher runs in this home",
            expected=f"one that listens on {path}",
            found=error.strerror or str(error),
            where=str(home.path),
            hint="Start it with tabard up or tabard dispatcher; for that of another host: --via ssh://HOST",
        ) from error
    return made


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
