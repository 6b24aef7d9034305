"""Lines from a descriptor as they come: at once, bounded, losing nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final

MAX_LINE: Final = 200_000
"""Bytes; a longer line becomes several."""
_READ: Final = 65_536


def read_lines(descriptor: int, turns: Iterable[None] = repeat(None)) -> Iterator[list[str]]:
    r"""What each read brings, as complete lines without their ends; the rest of the last one at the end.

    Waits for the first byte only, so that ``tail -f`` flows line by line. Bytes that are not UTF-8 are shown
    as ``\xNN``. Lines of white space are left out. Reads once for each of the ``turns``, at most to the end.
    """
    rest = b""
    for _ in turns:
        data = os.read(descriptor, _READ)
        if not data:
            break
        *complete, rest = (rest + data).split(b"\n")
        lines = [piece for line in complete for piece in _pieces(line)]
        if len(rest) > MAX_LINE:
            *full, rest = _pieces(rest)
            lines += full
        if said := _texts(lines):
            yield said
    if said := _texts(_pieces(rest)):
        yield said


def _pieces(line: bytes) -> list[bytes]:
    """``line`` cut into pieces of at most ``MAX_LINE`` bytes, between characters."""
    pieces = []
    while len(line) > MAX_LINE:
        cut = MAX_LINE
        while line[cut] & 0xC0 == 0x80 and cut > MAX_LINE - 4:
            cut -= 1
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]


def _texts(lines: list[bytes]) -> list[str]:
    return [line.removesuffix(b"\r").decode("utf-8", "backslashreplace") for line in lines if line.strip()]
