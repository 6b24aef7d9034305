"""What is shown of commands: rows for people and for programs, and the output of runs as it comes."""

from __future__ import annotations

import base64
import binascii
import codecs
import shlex
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from tabard import exits
from tabard.brokers.wire.answers import DONE, FAILED, REFUSED
from tabard.consumers.commands.course import summary
from tabard.ops.output import Row, printable

SHORT: Final = 12
"""Digits of an id in a table."""
LIST: Final = ("id", "made", "zone", "node", "what", "state", "exit", "reason")
JSON: Final = (
    "id",
    "group",
    "made",
    "expires",
    "changed",
    "issuer",
    "zone",
    "node",
    "kind",
    "words",
    "timeout",
    "state",
    "reason",
    "exit",
    "attempts",
    "approved",
    "parts",
    "cut",
)
RAN: Final = ("id", "group", "zone", "node", "state", "reason", "exit", "stdout", "stderr", "cut", "missing")
RAN_TABLE: Final = ("id", "zone", "node", "state", "exit", "reason")
CODES: Final = {
    DONE: exits.DONE,
    FAILED: exits.FAILED,
    REFUSED: exits.REFUSED,
    "partly": exits.PARTLY,
    "open": exits.PARTLY,
}
_TIMES: Final = ("made", "expires", "changed")


def code_of(states: list[str]) -> int:
    """The exit code that says what became of commands."""
    return CODES[summary(states)]


def row(command: Mapping[str, Any], output: str) -> Row:
    """A command as a list shows it: a table has its id in short."""
    from tabard.ops.keys import time_of

    shown = {**command, **{name: time_of(int(command[name])) for name in _TIMES}}
    if output == "table":
        shown["id"] = str(command["id"])[:SHORT]
        shown["what"] = what(command["kind"], command["words"])
    return shown


def what(kind: str, words: list[str]) -> str:
    """A command as one would type it."""
    text = shlex.join(words)
    return text if kind == "run" else f"{kind} {text}"


def data_of(event: Mapping[str, Any]) -> bytes:
    """The bytes of a piece of output; nothing where they are none."""
    try:
        return base64.b64decode(str(event.get("data", "")), validate=True)
    except (binascii.Error, ValueError):
        return b""


def descriptor_of(event: Mapping[str, Any]) -> int:
    """1 for standard output, 2 for standard error."""
    return 2 if event.get("fd") == 2 else 1


def missing_of(event: Mapping[str, Any]) -> int:
    """How many parts are said to be missing."""
    first, last = event.get("first"), event.get("last")
    return max(0, last - first + 1) if isinstance(first, int) and isinstance(last, int) else 0


class Texts:
    """What runs print as text: a character whose bytes came in two pieces is one."""

    def __init__(self) -> None:
        self._decoders: dict[tuple[str, int], codecs.IncrementalDecoder] = {}

    def of(self, uid: str, event: Mapping[str, Any]) -> str:
        """The text that a piece ends."""
        return self._decoder(uid, event).decode(data_of(event))

    def rest(self, uid: str, descriptor: int) -> str:
        """What the last piece began and did not end."""
        decoder = self._decoders.get((uid, descriptor))
        return decoder.decode(b"", final=True) if decoder else ""

    def _decoder(self, uid: str, event: Mapping[str, Any]) -> codecs.IncrementalDecoder:
        key = (uid, descriptor_of(event))
        if key not in self._decoders:
            self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        return self._decoders[key]


class Printer:
    """What runs print: by lines, with the node in front where there are several, and made visible what could drive a terminal.

    With `raw` what goes into a file or a pipe is the bytes themselves, as they come.
    """

    def __init__(self, *, several: bool, raw: bool = False) -> None:
        self._several = several
        self._raw = {fd: raw and not stream.isatty() for fd, stream in _streams().items()}
        self._rest: dict[tuple[str, int], bytes] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """A piece came."""
        key = (str(event["node"]), descriptor_of(event))
        if self._raw[key[1]]:
            _write(_streams()[key[1]], data_of(event))
            return
        *lines, self._rest[key] = (self._rest.get(key, b"") + data_of(event)).split(b"\n")
        for line in lines:
            self._print(key, line)

    def miss(self, event: Mapping[str, Any]) -> None:
        """Pieces were lost on their way: what comes next does not follow what came before."""
        node = str(event["node"])
        for key in [each for each in self._rest if each[0] == node]:
            self._print(key, self._rest.pop(key))
        sys.stderr.write(
            f"tabard: of what {printable(node)} printed {missing_of(event)} of its parts are missing here\n"
        )

    def end(self) -> None:
        """What came without an end of its line."""
        for key, rest in self._rest.items():
            if rest:
                self._print(key, rest)
        self._rest.clear()

    def _print(self, key: tuple[str, int], line: bytes) -> None:
        node, fd = key
        text = "\t".join(map(printable, line.decode("utf-8", "replace").split("\t")))
        stream = _streams()[fd]
        stream.write(f"{printable(node)} | {text}\n" if self._several else f"{text}\n")
        stream.flush()


def _streams() -> dict[int, TextIO]:
    return {1: sys.stdout, 2: sys.stderr}


def _write(stream: TextIO, data: bytes) -> None:
    """Bytes as they are, behind what was written as text."""
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
