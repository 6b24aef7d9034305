"""What ``shell`` is given, checked before anything is started: a call that makes no sense is an error of its own."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from tabard.errors import UsageError

SHELL: Final = "/bin/sh"
_NAMED: Final = 200

Word = str | os.PathLike[str]


def words_of(argv: Sequence[Word] | str, *, script: bool) -> list[str]:
    """The words of the command."""
    if script:
        if not isinstance(argv, str):
            raise UsageError(
                "not a script", expected="one string with script=True", found=type(argv).__name__
            )
        return [SHELL, "-c", argv]
    if isinstance(argv, (str, bytes)) or not isinstance(argv, Iterable):
        raise UsageError(
            "a string is not split into words" if isinstance(argv, (str, bytes)) else "not a command",
            expected='a list such as ["ls", "-l", folder]',
            found=repr(argv)[:_NAMED],
            hint="Give the words one by one; script=True hands a string to /bin/sh",
        )
    return [text_of(word, f"argv[{number}]") for number, word in enumerate(argv)]


def text_of(given: object, where: str) -> str:
    """``given`` as the system takes it: an argument, a folder, part of the environment."""
    text = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(text, str) or "\0" in text or not _encodes(text, os.fsencode):
        expected = "text without NUL, or a path"
        raise UsageError("not an argument", expected=expected, found=repr(given)[:_NAMED], where=where)
    return text


def _encodes(text: str, encode: Callable[[str], object]) -> bool:
    try:
        encode(text)
    except UnicodeError:
        return False
    return True


def check_call(words: list[str], timeout: float | None, grace: float, encoding: str) -> None:
    """Raise UsageError for a command without a name, a time that is none, an encoding that is not one of text."""
    if not words or not words[0]:
        raise UsageError("no command", expected="at least its name", found=repr(words))
    for seconds in (timeout, grace):
        if seconds is not None and not (isinstance(seconds, (int, float)) and seconds >= 0):  # nor NaN
            raise UsageError("not a time", expected="seconds", found=repr(seconds)[:_NAMED])
    if timeout == 0:
        raise UsageError("not a time-out", expected="more than 0 seconds, or None", found=repr(timeout))
    try:
        codecs.getincrementaldecoder(encoding)("backslashreplace").decode(b"", final=True)
        "".encode(encoding)
    except (LookupError, TypeError, AssertionError, UnicodeError) as error:  # also "base64", which is no text
        raise UsageError(
            "not an encoding", expected="one of text that Python knows", found=repr(encoding)[:_NAMED]
        ) from error


def check_bounds(keep: int, lines: int, hide: Sequence[str]) -> None:
    """Raise UsageError for a bound or a list of secrets that is none."""
    for what, bound in (("keep", keep), ("lines", lines)):
        if not isinstance(bound, int) or bound < 0:
            raise UsageError("not a bound", expected="0 or more", found=repr(bound)[:_NAMED], where=what)
    if isinstance(hide, (str, bytes)) or not all(isinstance(secret, str) for secret in hide):
        # Neither may the secret be shown here.
        raise UsageError("not a list of secrets", expected="a list of words", found=type(hide).__name__, where="hide")  # fmt: skip


def input_of(stdin: str | bytes | None, encoding: str) -> bytes | None:
    """What the command is to read, as bytes."""
    if stdin is None or isinstance(stdin, (bytes, bytearray, memoryview)):
        return stdin
    if not isinstance(stdin, str):
        raise UsageError("not an input", expected="text or bytes", found=type(stdin).__name__, where="stdin")
    try:
        return stdin.encode(encoding)
    except UnicodeError as error:
        raise UsageError(
            "cannot be written to the command",
            expected=f"text in {encoding}",
            found=str(error),
            where="stdin",
        ) from error


def environment_of(changes: Mapping[str, str | None] | None) -> dict[str, str] | None:
    """The environment with these changes; None for that of this process."""
    if changes is None:
        return None
    environment = dict(os.environ)
    for name, value in changes.items():
        if not isinstance(name, str) or not name or "=" in name:
            raise UsageError("not a variable", expected="a name without =", found=repr(name)[:_NAMED], where="env")  # fmt: skip
        text_of(name, "env")
        if value is None:
            environment.pop(name, None)
        elif isinstance(value, str) and "\0" not in value and _encodes(value, os.fsencode):
            environment[name] = value
        else:  # which may be a secret
            expected, found = "text without NUL, or None", type(value).__name__
            raise UsageError(
                "not the value of a variable", expected=expected, found=found, where=f"env, {name}"
            )
    return environment
