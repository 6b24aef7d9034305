"""How wide text is, and where it is broken: estimated on the wide side, since the reader's font is not known here."""

from __future__ import annotations

import unicodedata
from typing import Final

_NARROW: Final = "ijl.,:;'|!`Il "
_SLIM: Final = 'ftr()[]{}-/\\"_*^'
_BROAD: Final = "mwMWQO@%&+=<>~#—"
_BREAKS: Final = " _-./:,"
ELLIPSIS: Final = "…"


def width(text: str, size: float) -> float:
    """About how wide ``text`` is in a sans-serif font of ``size``."""
    return sum(map(_em, text)) * size


def broken(text: str, size: float, room: float, lines: int) -> list[str]:
    """``text`` in at most ``lines`` lines no wider than ``room``; what does not fit becomes an ellipsis."""
    rows: list[str] = []
    row = ""
    for word in _words(text):
        piece = word
        if row and width((row + piece).rstrip(), size) > room:
            rows.append(row.strip())
            row = ""
        while width(piece.rstrip(), size) > room:  # a word without a place to break
            cut = _fitting(piece, size, room)
            rows.append(piece[:cut])
            piece = piece[cut:]
        row += piece
    if row.strip():
        rows.append(row.strip())
    if len(rows) > lines:
        last = rows[lines - 1]
        while last and width(last + ELLIPSIS, size) > room:
            last = last[:-1]
        rows = [*rows[: lines - 1], last + ELLIPSIS]
    return rows


def _words(text: str) -> list[str]:
    """The pieces between which a line may be broken, each with what it is broken after."""
    words = [""]
    for char in text:
        words[-1] += char
        if char in _BREAKS:
            words.append("")
    return [word for word in words if word]


def _fitting(text: str, size: float, room: float) -> int:
    """How many of its first characters fit, at least one."""
    cut = 1
    while cut < len(text) and width(text[: cut + 1], size) <= room:
        cut += 1
    return cut


def _em(char: str) -> float:
    if unicodedata.combining(char):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF":
        return 1.05
    if char in _NARROW:
        return 0.33
    if char in _SLIM:
        return 0.46
    if char in _BROAD:
        return 0.92
    if char.isupper():
        return 0.72
    return 0.63
