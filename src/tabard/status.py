"""What a role tells the others in its home: its status file, and the lifeline that ends it with ``tabard up``.

A role started by ``tabard up`` gets a lifeline: the read end of a pipe whose write end only ``up`` has.
When it closes, however ``up`` ended, the role ends too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from tabard import locks
from tabard._version import VERSION
from tabard.home import Home

LIFELINE: Final = "TABARD_LIFELINE"
"""Environment variable with the number of the lifeline's descriptor."""

_log = logging.getLogger(__name__)


class StatusFile:
    """``run/ROLE.json``: what a role says of itself, replaced as a whole at each writing."""

    def __init__(self, name: str, home: Home) -> None:
        self._name = name
        self._file = home.run / f"{name}.json"
        self._written = True

    def write(self, status: Mapping[str, Any]) -> None:
        """Replace the content; a disk that refuses is said once and does not stop the role."""
        content = {"role": self._name, "pid": os.getpid(), "version": VERSION, **status}
        temporary = self._file.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(content, default=str))
            temporary.replace(self._file)
        except OSError as error:
            if self._written:
                _log.warning("cannot write the status file %s: %s", self._file, error)
            self._written = False
        else:
            self._written = True

    def remove(self) -> None:
        """The role ends: nobody shall take old numbers for new ones."""
        with contextlib.suppress(OSError):
            self._file.unlink()


def running(home: Home, name: str) -> dict[str, Any] | None:
    """The status file of a role that runs now, None when it does not run or says nothing."""
    if locks.held(home.lock(name)) is None:
        return None
    try:
        content = json.loads((home.run / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def lifeline() -> int | None:
    """The descriptor that becomes readable when `up` has ended; None for a role that was started by hand."""
    text = os.environ.pop(LIFELINE, "")
    if not (text.isascii() and text.isdigit()):
        return None
    os.set_inheritable(int(text), False)
    return int(text)
