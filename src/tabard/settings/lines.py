"""Where each key of a TOML text stands, which tomllib does not tell.

A scan that knows just enough of TOML: headers, keys, strings and brackets. It is used after tomllib
accepted the text and only to point at lines, so what it does not understand costs precision, not safety.
"""

from __future__ import annotations

import re
from typing import Final

KeyPath = tuple[str | int, ...]

_KEY_PART: Final = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"([^"\n]*)"|'([^'\n]*)')[ \t]*(\.?)""")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_REST_OF_VALUE: Final = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[\[\]{}\n]|[^"'#\[\]{}\n]+|.''',
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line numbers, counted from 1, by path; elements of arrays of tables are counted from 0 in the path."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    line, counted = 1, 0
    position = _skip_blank(text, 0)
    while position < len(text):
        line += text.count("\n", counted, position)
        counted = position
        if text[position] == "[":
            repeated = text.startswith("[[", position)
            parts, position = _key(text, position + 1 + repeated)
            table = _resolved(parts, counts, repeated)
        else:
            parts, position = _key(text, position)
            for length in range(1, len(parts) + 1):
                lines.setdefault(table + parts[:length], line)
        for length in range(1, len(table) + 1):
            lines.setdefault(table[:length], line)
        position = _skip_blank(text, _skip_value(text, position))
    return lines


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of ``path``, or of the nearest thing that holds it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _resolved(parts: KeyPath, counts: dict[KeyPath, int], repeated: bool) -> KeyPath:
    """The path of a header: every array of tables on the way stands for its latest element."""
    path: KeyPath = ()
    for number, part in enumerate(parts, 1):
        path += (part,)
        if repeated and number == len(parts):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path += (counts[path],)
    return path


def _key(text: str, position: int) -> tuple[KeyPath, int]:
    parts: list[str | int] = []
    while match := _KEY_PART.match(text, position):
        parts.append(next(group for group in match.groups() if group is not None))
        position = match.end()
        if not match[4]:
            break
    return tuple(parts), position


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _skip_value(text: str, position: int) -> int:
    """The end of the statement: the newline outside of strings and brackets."""
    depth = 0
    while match := _REST_OF_VALUE.match(text, position):
        piece = match[0]
        position = match.end()
        if piece in {"[", "{"}:
            depth += 1
        elif piece in {"]", "}"}:
            depth -= 1
        elif piece == "\n" and depth <= 0:
            break
    return position
