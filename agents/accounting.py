"""What has to be answered for, from the entries of the home into the control stream, each once.

An entry's file is removed after its record is committed. What was committed and may still have a file is noted in the same
transaction, so that an agent that dies between the two removes the file and says nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tabard import audit, failpoints, files
from tabard.errors import JournalError
from tabard.home import Home

SOURCE: Final = "audit"
"""The name of the mark in the outbox."""
NOTED: Final = 256
"""Entries committed last that are noted; their files are gone long before."""

COMMITTED: Final = failpoints.declare(
    "audit.committed", "past the commit of an audit entry whose file is still there"
)

_log = logging.getLogger(__name__)

Append = Callable[[int, str, Mapping[str, Any], Mapping[str, Any]], None]
"""Keeps a control record: its time, kind, and data, and the marks to be noted with it. Raises JournalError."""


class Accounts:
    """Looked after by the agent's loop."""

    def __init__(self, home: Home, marks: Callable[[], Mapping[str, Any]], append: Append) -> None:
        """``marks``: what is noted in the outbox; it may be opened later than the agent starts."""
        self._home = home
        self._marks = marks
        self._append = append
        self._told: set[str] = set()
        """Files that are no entry, and were said to be none."""

    def take(self) -> int:
        """Take up the entries that are there; how many. What the outbox has no room for waits as a file."""
        taken, noted = 0, _known(self._marks().get(SOURCE))
        for entry, paths in audit.entries(self._home):
            if entry is None:
                if (name := paths[0].name) not in self._told:
                    self._told.add(name)
                    _log.error("%s is no entry of an audit; it stays where it is", paths[0])
                continue
            if entry.uid not in noted:
                noted = [*noted, entry.uid][-NOTED:]
                try:
                    self._append(entry.time, audit.PREFIX + entry.kind, entry.data, {SOURCE: noted})
                except JournalError as error:
                    _log.error("an entry of the audit waits: %s", error)
                    return taken
                taken += 1
                failpoints.hit(COMMITTED)
            for path in paths:
                try:
                    files.remove(path)
                except OSError as error:
                    _log.error("%s is in the control stream, and cannot be removed: %s", path, error)
        return taken


def _known(mark: object) -> list[str]:
    return (
        [uid for uid in mark if isinstance(uid, str)]
        if isinstance(mark, Sequence) and not isinstance(mark, str)
        else []
    )
