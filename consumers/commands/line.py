"""The line to a dispatcher, on the side of who asks. Nothing here needs a database."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, Self

from tabard import exits
from tabard.consumers.commands.talk import MAX_LINE, NOT_ASKED, SOCKET, decode, encode
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.home import Home

PATIENCE: Final = 60.0
"""Seconds within which a dispatcher answers."""
_SHOWN: Final = 60
_KINDS: Final = {exits.WRONG_USE: UsageError, exits.REFUSED: RefusedError}


class GoneError(TabardError):
    """Raised where the dispatcher was reached, and is not any more: what it took goes on."""


class Line:
    """One connection, used as a context."""

    noise_hint: str | None = None
    """What to do where what comes is not a dispatcher's."""

    def __init__(
        self,
        made: socket.socket,
        where: str,
        *,
        patience: float = PATIENCE,
        clean: Callable[[str], str] = lambda text: text,
    ) -> None:
        """``where`` is named in errors; ``clean`` makes texts of the other end fit for where they are shown."""
        self._socket = made
        self._where = where
        self._clean = clean
        self._heard = False
        """Whether it has answered once."""
        made.settimeout(patience)
        self._in: BinaryIO = made.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._in.close()
        self._socket.close()

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
            raise TabardError(
                "what comes from there is not a dispatcher's",
                expected="lines of JSON",
                found=self._clean(line.decode("utf-8", "replace").strip()[:_SHOWN]),
                where=self._where,
                hint=self.noise_hint,
            ) from error

    def _gone(self, found: str) -> TabardError:
        return GoneError(
            "the dispatcher does not answer any more",
            expected="an answer",
            found=found,
            where=self._where,
            hint="What was given to it goes on: tabard commands list",
        )

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
            name: None if said.get(name) is None else self._clean(str(said[name]))
            for name in ("expected", "found", "where", "hint")
        }
        return kind(self._clean(str(said.get("what", "the dispatcher refused"))), **texts)


def connected(home: Home, patience: float = PATIENCE) -> socket.socket:
    """A connection to the dispatcher of a home. Raises TabardError when none listens."""
    path = home.socket(SOCKET)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(patience)
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
