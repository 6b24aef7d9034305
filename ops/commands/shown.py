"""What is shown of commands: rows for people and for programs, and the output of runs as it comes."""

from __future__ import annotations

import base64
import binascii
import shlex
import sys
from collections.abc import Mapping
from typing import Any, Final

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
)
RAN: Final = ("id", "group", "zone", "node", "state", "reason", "exit", "stdout", "stderr")
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


class Printer:
    """What runs print, for a person: that of one node as it is, that of several by lines, with the node in front."""

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._rest: dict[tuple[str, int], bytes] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """A piece came."""
        fd = 2 if event.get("fd") == 2 else 1
        key = (str(event["node"]), fd)
        *lines, self._rest[key] = (self._rest.get(key, b"") + data_of(event)).split(b"\n")
        for line in lines:
            self._print(key, line)

    def end(self) -> None:
        """What came without an end of its line."""
        for key, rest in self._rest.items():
            if rest:
                self._print(key, rest)
        self._rest.clear()

    def _print(self, key: tuple[str, int], line: bytes) -> None:
        node, fd = key
        text = "\t".join(map(printable, line.decode("utf-8", "replace").split("\t")))
        stream = sys.stderr if fd == 2 else sys.stdout
        stream.write(f"{node} | {text}\n" if self._several else f"{text}\n")
        stream.flush()
