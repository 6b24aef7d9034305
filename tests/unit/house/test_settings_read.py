"""Settings that change something: one that nobody reads is a promise that is not kept."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tabard.settings.table import SCHEMA

ROOMS: Final = ("src/tabard", "brokers", "agents", "consumers", "web", "ops")
READERS: Final = frozenset({"str", "int", "seconds", "bytes", "flag", "strings"})
"""The methods of the settings that are asked for a value by its name."""
JUDGES: Final = frozenset({"src/tabard/settings/lint.py"})
"""They look at values, and go by none of them."""


def _asked(tree: ast.AST) -> Iterator[ast.expr]:
    """What stands where the name of a setting is given to read its value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
            yield from node.args[:1]
        elif isinstance(node, ast.Subscript):
            yield node.slice


def _pattern(name: ast.expr) -> str | None:
    """A regular expression for the names that an expression can be, None when it is no text."""
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return re.escape(name.value)
    if isinstance(name, ast.JoinedStr):
        return "".join(
            re.escape(part.value)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
            else "[a-z0-9_]+"
            for part in name.values
        )
    return None


def test_every_setting_is_read(root: Path) -> None:
    """Some code asks for it, or another setting follows it."""
    patterns = {row.follows for row in SCHEMA.settings if row.follows}
    for room in ROOMS:
        for path in (root / room).rglob("*.py"):
            if str(path.relative_to(root)) not in JUDGES:
                tree = ast.parse(path.read_text(encoding="utf-8"))
                patterns |= {pattern for name in _asked(tree) if (pattern := _pattern(name))}
    read = re.compile("|".join(sorted(patterns)))
    assert [row.name for row in SCHEMA.settings if not read.fullmatch(row.name)] == []
