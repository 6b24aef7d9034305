"""What reading a pickle works on: its stack, marks and memo, and what may be put there."""

from __future__ import annotations

from typing import Any, Final

from tabard.agents.intake.bridge.opaque import Opaque, called, charged, named, weapon
from tabard.errors import WireError

LONGEST_NUMBER: Final = 64
"""Bytes, or digits, of an integer; longer ones become text."""


MOST_COPIED: Final = 4_194_304
"""Bytes that calls of one pickle may make out of others."""
_LONGEST_KEY: Final = 256


class Unreadable(WireError):
    """Raised when bytes are no pickle of plain values."""


class Hostile(Unreadable):
    """Raised when a pickle would have a function called that executes something. Nothing was looked up or called."""


class Reading:
    """The state of reading one pickle."""

    __slots__ = ("_plain", "copied", "marks", "memo", "named", "stack")

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.named: set[str] = set()
        self._plain: set[str] = set()
        self.copied = 0

    def cut(self) -> list[Any]:
        """Take what lies above the last mark from the stack."""
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def call(self, function: Any, arguments: Any) -> None:
        """Push what the call stands for, see `called`.

        Raises:
            Hostile: it would execute something.
            Unreadable: calls copy too many bytes.
        """
        self.check(function, arguments)
        found = called(function, arguments)
        if isinstance(found, bytes):
            self.copied += len(found)
            if self.copied > MOST_COPIED:
                raise Unreadable("a pickle that multiplies bytes", expected=f"at most {MOST_COPIED}")
        if isinstance(function, Opaque) and not isinstance(found, Opaque):
            self._plain.add(function.name)
        self.stack.append(found)

    @staticmethod
    def check(function: Any, arguments: Any) -> None:
        """Raise Hostile when ``function``, called with ``arguments``, would act on the system."""
        _refuse(weapon(function, arguments))

    @staticmethod
    def check_state(target: Any, state: Any) -> None:
        """Raise Hostile when filling ``target`` from ``state`` would execute something."""
        _refuse(charged(target, state))

    @property
    def opaque(self) -> int:
        """How many different kinds of objects were named and not made."""
        return len(self.named - self._plain)

    def leave(self, name: str) -> None:
        """Push a text in place of an object."""
        self.named.add(name)
        self.stack.append(Opaque(name))

    def name(self, module: Any, name: Any) -> None:
        """Push what stands for an object of that name."""
        found = named(module, name)
        self.named.add(found.name)
        self.stack.append(found)


def _refuse(found: Opaque | None) -> None:
    if found is not None:
        raise Hostile(
            "a pickle that has a function called", expected="plain values", found=_printable(found.name)
        )


def set_items(stack: list[Any], start: int) -> None:
    """Put the keys and values above ``start`` into the dict below it; an opaque object swallows them."""
    if start < 1 or (len(stack) - start) % 2:
        raise IndexError
    target = stack[start - 1]
    if isinstance(target, dict):
        for key, value in zip(stack[start::2], stack[start + 1 :: 2], strict=True):
            target[key if type(key) is str else key_of(key)] = value
    elif not isinstance(target, Opaque):
        raise TypeError
    del stack[start:]


def key_of(key: Any) -> str:
    """Any plain value as the key of a dict. Text alone is hashed: nothing hostile collides or nests."""
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return key[:_LONGEST_KEY].decode("utf-8", "backslashreplace")
    if key is None or isinstance(key, (bool, int, float, Opaque)):
        return str(key)
    return f"<{type(key).__name__}>"


def text(raw: bytes) -> str:
    """UTF-8 as Python's pickles have it: half a surrogate pair is allowed there, and replaced here."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return whole(raw.decode("utf-8", "surrogatepass"))


def whole(found: str) -> str:
    """``found`` with surrogate pairs joined (narrow builds of Python 2 write them), lone halves as U+FFFD."""
    return found.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def old_text(raw: bytes) -> str:
    """A ``str`` of Python 2: bytes whose encoding nobody says."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
