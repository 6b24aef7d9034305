"""The line to a dispatcher: the socket of this home, or the one of another host by ssh. Nothing here needs a database."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, Self

from tabard import exits
from tabard.consumers.commands.talk import MAX_LINE, SOCKET, decode, encode
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.home import Home

_ANSWER: Final = 60.0
"""Seconds within which a dispatcher answers."""
_VIA: Final = re.compile(r"ssh://((?:[a-z_][a-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*)(?::([0-9]{1,5}))?/?")
_KINDS: Final = {exits.WRONG_USE: UsageError, exits.REFUSED: RefusedError}
_CHUNK: Final = 65_536


class Client:
    """One connection, used as a context."""

    def __init__(self, home: Home, via: str | None = None) -> None:
        """Raises TabardError when nobody answers there."""
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._where = via or str(home.path)
        if via is None:
            self._socket = connected(home)
            self._socket.settimeout(_ANSWER)
            self._in: BinaryIO = self._socket.makefile("rb")
            self._out: BinaryIO = self._socket.makefile("wb")
            return
        self._process = subprocess.Popen(_ssh(via), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._out, self._in = self._process.stdin, self._process.stdout  # type: ignore[assignment]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._out.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._in.close()
        if self._socket is not None:
            self._socket.close()

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The answer to one request. Raises what the dispatcher refuses it with, TabardError when there is no answer."""
        try:
            self._out.write(encode({"op": op, **fields}))
            self._out.flush()
            said = self._read()
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from error
        if said.get("ok") is not True:
            raise _refused(said)
        return said

    def events(self) -> Iterator[dict[str, Any]]:
        """What comes after `follow`, up to its end. Raises TabardError when the dispatcher ends before."""
        if self._socket is not None:
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
        return decode(line)

    def _gone(self, found: str) -> TabardError:
        return TabardError(
            "the dispatcher does not answer any more",
            expected="an answer",
            found=found,
            where=self._where,
            hint="What was given to it goes on: tabard commands list",
        )


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
    with connected(home) as made, selectors.DefaultSelector() as selector:
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


def _ssh(via: str) -> list[str]:
    """The words that reach another host's dispatcher. Raises UsageError."""
    found = _VIA.fullmatch(via)
    if found is None:
        raise UsageError(
            "not a host to go by", expected="ssh://[USER@]HOST[:PORT]", found=repr(via), where="--via"
        )
    host, port = found[1], found[2]
    words = ["ssh", "-T", "-o", "BatchMode=yes", *(["-p", port] if port else [])]
    return [*words, "--", host, "tabard", "dispatcher", "--stdio"]


def _refused(said: dict[str, Any]) -> TabardError:
    kind = _KINDS.get(said.get("code", exits.FAILED), TabardError)
    texts = {
        name: None if said.get(name) is None else str(said[name])
        for name in ("expected", "found", "where", "hint")
    }
    return kind(
        str(said.get("what", "the dispatcher refused")),
        **{name: text for name, text in texts.items() if text},
    )
