"""The marks of intake sources as they are kept: bounded in number and bytes, the source heard of last stands last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tabard.agents.journal.limits import MAX_MARKS
from tabard.brokers.wire.codec import pack, unpack
from tabard.errors import WireError

MAX_BYTES: Final = 4 << 20
"""Bytes of all marks together; beyond them the sources not heard of for longest are forgotten."""
LASTING: Final = ("file:", "journal:", "journal-file:")
"""How the marks of tailed files and of systemd's journals begin; at most a few hundred are read at a time."""
_READ_LIMIT: Final = 8 << 20


def encode(marks: Mapping[str, Any]) -> bytes:
    """The bytes of marks that `fits` is true of."""
    return pack(dict(marks))


def fits(encoded: bytes, marks: Mapping[str, Any]) -> bool:
    """Whether they can be kept, and read again."""
    return len(encoded) <= MAX_BYTES and len(marks) <= MAX_MARKS


def forget(marks: dict[str, Any]) -> None:
    """Drop what is too much in number: sources that come and go first, since a file that is read on has no number of its own.

    Without its mark a file is taken for a new one, and stored twice; a producer that is gone for long does not come back.
    """
    while len(marks) > MAX_MARKS:
        passing = next((source for source in marks if not source.startswith(LASTING)), None)
        del marks[passing if passing is not None else next(iter(marks))]


def newest(marks: Mapping[str, Any]) -> dict[str, Any]:
    """The last ones of them that can be kept."""
    kept: list[tuple[str, Any]] = []
    room = MAX_BYTES - len(pack(dict.fromkeys(range(MAX_MARKS))))  # what a map takes by itself, and more
    for source, mark in reversed(list(marks.items())[-MAX_MARKS:]):
        room -= len(pack(source)) + len(pack(mark))
        if room < 0:
            break
        kept.append((source, mark))
    return dict(reversed(kept))


def decode(data: bytes) -> dict[str, Any] | None:
    """Marks of a frame, empty when it has none; lists come back as tuples. None when they cannot be read."""
    if not data:
        return {}
    try:
        marks = unpack(data, limit=_READ_LIMIT, items=MAX_MARKS)
    except WireError:
        return None
    return marks if isinstance(marks, dict) else None
