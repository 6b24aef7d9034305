"""Lists for people and for programs: ``table``, ``json`` (one array) or ``ndjson`` (one object a line).

Rows are mappings of plain JSON values; all have the listed columns. In JSON, numbers stay numbers and nothing is
cut. In a table, what could move the cursor or colour the terminal is made visible instead.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TextIO

FORMATS: Final = ("table", "json", "ndjson")

Row = Mapping[str, object]


def emit(rows: Iterable[Row], columns: Sequence[str], output: str, stream: TextIO | None = None) -> None:
    """Write ``rows`` to ``stream`` (standard output). ``ndjson`` writes each row as it comes."""
    stream = stream or sys.stdout
    if output == "table":
        _table([[cell(row[column]) for column in columns] for row in rows], columns, stream)
        return
    objects = ({column: row[column] for column in columns} for row in rows)
    if output == "ndjson":
        for item in objects:
            stream.write(json.dumps(item, ensure_ascii=False) + "\n")
        return
    separator = "[\n  "
    for item in objects:
        stream.write(separator + json.dumps(item, ensure_ascii=False))
        separator = ",\n  "
    stream.write("[]\n" if separator == "[\n  " else "\n]\n")


def cell(value: object) -> str:
    """One value as a table shows it: nothing for None, yes and no, local times to the millisecond, text made printable."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(item) for item in value)
    if type(value) is not str and isinstance(value, str):
        from tabard.web.zones import Instant, when  # what shows no time does not pay for it

        value = when(value.time) if isinstance(value, Instant) else value
    return printable(str(value))


def printable(text: str) -> str:
    """``text`` with every control or invisible character written as an escape, safe for any terminal.

    What arrives in a record was written by somebody else and must not steer the reader's terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def width(text: str) -> int:
    """Columns ``text`` takes in a terminal: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _escaped(char: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char) or ascii(char)[1:-1]


def _table(rows: list[list[str]], columns: Sequence[str], stream: TextIO) -> None:
    table = [[column.upper() for column in columns], *rows]
    widths = [max(width(row[number]) for row in table) for number in range(len(columns))]
    for row in table:
        padded = (text + " " * (wide - width(text)) for text, wide in zip(row, widths, strict=True))
        stream.write("  ".join(padded).rstrip() + "\n")
