"""Which of a role's counters tell of something wrong, and how much each of them rose lately.

A counter shows what happened since the role started, which may be long over. What rose within the last minute is
going on, and is a fault that `tabard status` shows.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Final

WINDOW: Final = 60.0
"""Seconds."""
_TROUBLE: Final = re.compile(
    r"\b(?:refused|turned away|stalled|violations|malformed|forged|dropped|damaged|torn|cut off|hostile|unreadable"
    r"|quarantined|conflicts|unknown message|forked|rolled back|beyond the eighth range"
    r"|samples lost|(?:lost|came twice) on the link)\b"
)


def is_trouble(name: str) -> bool:
    """Whether a counter of that name counts what should not happen, rather than work."""
    return _TROUBLE.search(name) is not None


class Rises:
    """What the counters of trouble were at each moment of the last minute at which one of them changed."""

    def __init__(self, now: float) -> None:
        self._past: deque[tuple[float, Mapping[str, int]]] = deque([(now, {})])

    def of(self, now: float, counters: Mapping[str, int]) -> dict[str, int]:
        """How much each counter of trouble rose within the last minute; without those that did not."""
        current = {name: count for name, count in counters.items() if count and is_trouble(name)}
        past = self._past
        while len(past) > 1 and past[1][0] <= now - WINDOW:
            past.popleft()
        if past[-1][1] != current:
            past.append((now, current))
        before = past[0][1]
        return {
            name: count - before.get(name, 0)
            for name, count in current.items()
            if count > before.get(name, 0)
        }
