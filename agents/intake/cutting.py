"""Cuts a record that is too large, and says so in its attributes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from tabard.brokers.wire.codec import pack
from tabard.records import LOG_FIELDS, LOG_INDEX

CUT: Final = "intake.cut"
"""The attribute that names each text that was cut, with its length in bytes before."""
_ATTRIBUTES: Final = LOG_INDEX["attributes"]
_NOTE_ROOM: Final = 1_024
"""Bytes kept free for the note: twenty names of text fields with a number each."""
_LEAST: Final = 64
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def cut_record(record: Sequence[Any], most: int) -> tuple[Any, ...]:
    """A normalised log record whose encoding takes at most ``most`` bytes (at least 3 KiB).

    The longest texts are shortened, keeping their beginning; attributes that would have to be shortened
    are left out instead, because half a JSON object is none.
    """
    values = list(record)
    cut: dict[str, int] = {}
    while (excess := len(pack(values)) - (most - _NOTE_ROOM)) > 0:
        position, text = max(
            ((position, value.encode()) for position, value in enumerate(values) if isinstance(value, str)),
            key=lambda item: len(item[1]),
        )
        cut.setdefault(LOG_FIELDS[position], len(text))
        if position == _ATTRIBUTES:
            values[position] = None
        else:
            values[position] = text[: max(len(text) - excess, _LEAST)].decode("utf-8", "ignore")
    attributes = values[_ATTRIBUTES]
    values[_ATTRIBUTES] = add_attributes(attributes, {CUT: cut})
    if len(pack(values)) > most:  # attributes that were no JSON object grew when quoted
        values[_ATTRIBUTES] = add_attributes(None, {CUT: {"attributes": len(attributes.encode()), **cut}})
    return tuple(values)


def add_attributes(attributes: str | None, more: dict[str, Any]) -> str:
    """The JSON object ``attributes`` with ``more`` added; text that is no JSON object is kept under "text"."""
    note = to_json(more)
    if not attributes:
        return note
    if not _is_object(attributes):
        return to_json({"text": attributes, **more})
    # Spliced as text: parsing and writing again would change numbers and could make it longer.
    known = attributes.strip()[1:-1].strip()
    return f"{{{known},{note[1:]}" if known else note


def to_json(value: Any) -> str:
    """``value`` as compact JSON, text readable as it is."""
    return _ENCODER.encode(value)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
