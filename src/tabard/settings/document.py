"""Reading ``tabard.toml``: its content, where each key stands, and errors that point there."""

from __future__ import annotations

import os
import re
from typing import Any, Final, NamedTuple

from tabard.errors import SettingsError
from tabard.settings.lines import KeyPath, key_lines, line_of

MAX_FILE: Final = 1_048_576
"""Bytes; a settings file is written by hand."""
_AT_LINE: Final = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
_QUOTES: Final = 'Text, durations and sizes are quoted, as in linger = "10ms"'
_HINTS: Final = {
    "Invalid value": _QUOTES,
    "Expected newline": _QUOTES,
    "Cannot overwrite": "The key stands twice: remove one",
    "Cannot declare": "The table stands twice: put its keys together",
}
"""What to do about the commonest mistakes, by the beginning of what tomllib says."""


class Document(NamedTuple):
    """A settings file that TOML accepts."""

    file: str
    content: dict[str, Any]
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, or of what holds it."""
        return line_of(self.lines, path)


def read_document(path: str | os.PathLike[str]) -> Document:
    """The settings file; an absent one is empty. Raises SettingsError when it cannot be read as TOML."""
    data = read_limited(path)
    return Document(os.fspath(path), {}, {}) if data is None else parse_document(os.fspath(path), data)


def read_limited(path: str | os.PathLike[str]) -> bytes | None:
    """The bytes of a file written by hand, None where there is none. Raises SettingsError."""
    file = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(
            "cannot be read",
            file=file,
            expected="a file this user can read",
            found=error.strerror or str(error),
            hint="Check the path and who may read it",
        ) from error
    if len(data) > MAX_FILE:
        raise SettingsError("too large", file=file, expected=f"at most {MAX_FILE} bytes")
    return data


def decoded(file: str, data: bytes) -> str:
    """``data`` as text with plain line ends. Raises SettingsError with the line of the first byte that is none."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        bad_line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x}"
        hint = "Convert it, as by iconv -f LATIN1 -t UTF-8"
        raise SettingsError(
            "not text", file=file, line=bad_line, expected="UTF-8", found=found, hint=hint
        ) from error


def parse_document(file: str, data: bytes) -> Document:
    """The content of a settings file. Raises SettingsError with the line where TOML breaks."""
    text = decoded(file, data)
    import tomllib  # costs milliseconds, and a plain host may have no settings file

    try:
        return Document(file, tomllib.loads(text), key_lines(text))
    except RecursionError:
        raise SettingsError("nested too deeply", file=file, expected="two or three levels") from None
    except tomllib.TOMLDecodeError as error:
        match = _AT_LINE.search(str(error))
        line = int(match[1]) if match and match[1] else text.count("\n") + 1
        said = _AT_LINE.sub("", str(error))
        hint = next((hint for start, hint in _HINTS.items() if said.startswith(start)), None)
        raise SettingsError(f"not valid TOML: {said}", file=file, line=line, hint=hint) from error
    except ValueError as error:
        raise SettingsError("a number of thousands of digits", file=file, expected="TOML 1.0") from error
