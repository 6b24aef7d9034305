"""What went wrong lately with an intake, shown for a while and logged without flooding."""

from __future__ import annotations

import logging
from typing import Final

from tabard.agents.intake.ports import Loop

SHOWN_SECONDS: Final = 600.0
"""How long something that went wrong once is shown as a fault."""
LOGGED_SECONDS: Final = 60.0
"""The least time between two log records of one intake about bad input."""
_MOST: Final = 8

_log = logging.getLogger(__name__)


class Troubles:
    """The last few different things that went wrong with the intake ``name``."""

    def __init__(self, name: str, loop: Loop) -> None:
        self._name = name
        self._loop = loop
        self._seen: dict[str, tuple[float, int]] = {}
        self._logged = -LOGGED_SECONDS

    def note(self, what: str, origin: str = "") -> None:
        """Remember that ``what`` happened, caused by ``origin``."""
        now = self._loop.now()
        text = f"{what} ({origin})" if origin else what
        times = self._seen.pop(text, (0.0, 0))[1]
        self._seen[text] = (now, times + 1)
        if len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]
        if now - self._logged >= LOGGED_SECONDS:
            self._logged = now
            _log.warning("intake.%s: %s", self._name, text)

    def current(self) -> tuple[str, ...]:
        """What is to be shown now."""
        now = self._loop.now()
        return tuple(
            text if times == 1 else f"{text}, {times} times"
            for text, (when, times) in self._seen.items()
            if now - when < SHOWN_SECONDS
        )
