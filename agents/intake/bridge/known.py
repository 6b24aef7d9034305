"""Which layouts are known: few for each client, shared between clients that pickle alike."""

from __future__ import annotations

import re
import struct
from typing import Final

from tabard.agents.intake.bridge.layouts import Layout, Record
from tabard.agents.intake.bridge.tokens import Part, parts_of

MOST_SHARED: Final = 64
MOST_OF_CLIENT: Final = 8
RELEARN: Final = 100
"""Records that none of a client's layouts fits before it is looked for another, once it has many.

Learning takes up to some milliseconds: a client that says something else each time must not cost that much."""
RECOMPILE: Final = 1_000
"""The same for all clients together, once `MOST_SHARED` layouts are known."""


class KnownLayouts:
    """Those of one intake."""

    def __init__(self) -> None:
        self._known: dict[tuple[Part, ...], Layout | None] = {}
        self._missed = 0

    def of(self, data: bytes, record: Record) -> Layout | None:
        """The layout of a pickle that was read as ``record``; None when it has none, or it is too early for one."""
        self._missed += 1
        try:
            parts = tuple(parts_of(data))
            if parts in self._known:
                return self._known[parts]
            if len(self._known) >= MOST_SHARED:
                if self._missed < RECOMPILE:
                    return None
                del self._known[next(iter(self._known))]
            self._missed = 0
            self._known[parts] = None
            layout = Layout(list(parts))
        except (ValueError, LookupError, struct.error, re.error, RecursionError):
            return None
        if layout.read(data, 0, len(data)) != record:
            return None  # something in it that a layout does not see as the interpreter does
        self._known[parts] = layout
        return layout


class ClientLayouts:
    """Those that one client's records have had, the last used first."""

    def __init__(self, shared: KnownLayouts) -> None:
        self._shared = shared
        self._own: list[Layout] = []
        self._missed = 0
        self._tries = 0

    def read(self, data: bytes, start: int, end: int) -> Record | None:
        """The log record of the pickle in ``data[start:end]``; None when it is not of a known form."""
        own = self._own
        if own and (record := own[0].read(data, start, end)) is not None:
            return record
        for position, layout in enumerate(own[1:], 1):
            record = layout.read(data, start, end)
            if record is not None:
                own.insert(0, own.pop(position))
                return record
        return None

    def learn(self, data: bytes, record: Record) -> None:
        """Look for the form of a pickle that was read as ``record``."""
        self._missed += 1
        if self._tries >= MOST_OF_CLIENT and self._missed < RELEARN:
            return
        self._tries += 1
        self._missed = 0
        layout = self._shared.of(data, record)
        if layout is not None and layout not in self._own:
            self._own.insert(0, layout)
            del self._own[MOST_OF_CLIENT:]
