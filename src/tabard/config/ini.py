"""INI files as Python's configparser reads them, as a `Document` whose values are all text.

One file holds the configuration of one service in one stage. Names of sections and keys are compared without regard
to case, values may refer to others (``%(name)s``), ``[DEFAULT]`` holds for every section.
"""

from __future__ import annotations

import configparser
import os
import re
from typing import Any, Final

from tabard.errors import SettingsError
from tabard.settings.document import Document, decoded, read_limited
from tabard.settings.kinds import Kind
from tabard.settings.lines import KeyPath

_HEADER: Final = re.compile(r"\[(?P<name>.+)\]")
_KEY: Final = re.compile(r"(?P<name>[^\s:=#;\[][^:=]*?)\s*[:=]")
_LONGEST: Final = 65_536
"""Characters of one value."""


class Free(Kind):
    """Text that nobody declared: any, of many lines too."""

    form = f"text of at most {_LONGEST} characters"

    def read(self, raw: object) -> str:
        """The value as it stands."""
        if not isinstance(raw, str) or len(raw) > _LONGEST or "\0" in raw:
            raise self.refuse(raw)
        return raw


def read_ini(path: str | os.PathLike[str]) -> Document:
    """The file, its section and key names in lower case. Raises SettingsError with the line; values are not shown."""
    file = os.fspath(path)
    data = read_limited(path)
    if data is None:
        return Document(file, {}, {})
    text = decoded(file, data)
    parser = _parsed(file, text)
    lines = _lines(text)
    content: dict[str, Any] = {}
    for section in parser.sections():
        name = section.strip().lower()
        if name in content:
            again = text.split("\n").index(f"[{section}]") + 1 if f"[{section}]" in text.split("\n") else None
            raise _wrong(file, again, f"the section [{section}] stands twice, in other letters")
        for key in parser[section]:
            if ("default", key) in lines:
                lines.setdefault((name, key), lines["default", key])
        content[name] = {key: _value(file, parser, section, key, lines) for key in parser[section]}
    return Document(file, content, lines)


def _parsed(file: str, text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text, source=file)
    except configparser.MissingSectionHeaderError as error:
        raise _wrong(file, error.lineno, "a key before any section", "[GLOBAL] or another section") from None
    except configparser.DuplicateSectionError as error:
        raise _wrong(file, error.lineno, f"the section [{error.section}] stands twice") from None
    except configparser.DuplicateOptionError as error:
        key = f"{error.section}.{error.option}".lower()
        raise _wrong(file, error.lineno, "the key stands twice", key=key) from None
    except configparser.ParsingError as error:
        line = error.errors[0][0] if error.errors else None
        raise _wrong(file, line, "not a line of an INI file", "[SECTION] or KEY = VALUE") from None
    except configparser.Error:
        raise _wrong(file, None, "not an INI file", "sections with KEY = VALUE") from None
    return parser


def _value(
    file: str,
    parser: configparser.ConfigParser,
    section: str,
    key: str,
    lines: dict[KeyPath, int],
) -> str:
    try:
        return parser.get(section, key) or ""
    except configparser.InterpolationMissingOptionError as error:
        missing = f"a key {error.reference!r} in [{section}] or [DEFAULT]"
    except configparser.Error:
        missing = "%(NAME)s, or %% for one percent sign"
    place = (section.strip().lower(), key)
    raise _wrong(file, lines.get(place), "a reference that leads nowhere", missing, key=".".join(place))


def _lines(text: str) -> dict[KeyPath, int]:
    """The line of every section and key, counted from 1. A line further in than a key continues its value."""
    lines: dict[KeyPath, int] = {}
    section = ""
    indent: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        said = line.strip()
        inwards = len(line) - len(line.lstrip())
        if not said or said[0] in "#;" or (indent is not None and inwards > indent):
            continue
        if header := _HEADER.match(said):
            section, indent = header["name"].strip().lower(), None
            lines.setdefault((section,), number)
        elif key := _KEY.match(said):
            indent = inwards
            lines.setdefault((section, key["name"].strip().lower()), number)
    return lines


def _wrong(
    file: str, line: int | None, what: str, expected: str | None = None, key: str | None = None
) -> SettingsError:
    return SettingsError(what, file=file, line=line, key=key, expected=expected)
