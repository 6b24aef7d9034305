"""What was said under a name and not believed: counted, shown while it is going on, and said aloud now and then.

Whoever reaches a port can claim any name, so this is bounded in every way: so many names, a word on each no more than
once an hour, and of further ones only that they were too many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from tabard.brokers.delivery.seal import FORGED

MOST: Final = 64
"""Names and reasons remembered at once."""
FORGET: Final = 600.0
"""Seconds after which what does not happen any more is not shown."""
SAY_EVERY: Final = 3600.0
"""Seconds between two words on the same."""


@dataclass(slots=True)
class Refusal:
    """One thing that goes on."""

    who: str
    """The name that was claimed: `node ZONE/NAME` or `sink NAME`."""
    what: str
    why: str
    count: int = 0
    last: float = 0.0
    said: float = float("-inf")
    said_count: int = 0
    """When it was said last, and how often it had happened by then."""

    def __str__(self) -> str:
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"a {self.what} under the name of {self.who} is not believed: {self.why} ({times})"


class Refusals:
    """All that one side does not believe; `counters` are the role's."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._known: dict[tuple[str, str, str], Refusal] = {}

    def note(self, now: float, who: str, what: str, why: str) -> None:
        """Something said to be `what` (``batch``, ``cursor``) of `who` is not believed."""
        self._counters[f"forged {what}" if why == FORGED else f"refused {what}: {why}"] += 1
        key = (who, what, why)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST:
                self._forget(now)
            if len(self._known) >= MOST:
                self._counters["refused, and not remembered whom"] += 1
                return
            known = self._known[key] = Refusal(who, what, why)
        known.count += 1
        known.last = now

    def _forget(self, now: float) -> None:
        self._known = {key: one for key, one in self._known.items() if now - one.last < FORGET}

    def due(self, now: float) -> list[Refusal]:
        """What is to be said aloud now: each once an hour at most, while it happens."""
        due = [
            one for one in self._known.values() if one.count > one.said_count and now - one.said >= SAY_EVERY
        ]
        for one in due:
            one.said, one.said_count = now, one.count
        return due

    def report(self, now: float) -> list[dict[str, Any]]:
        """What goes on, for the status file; `ago` is seconds since it happened last."""
        return [
            {
                "who": one.who,
                "what": one.what,
                "why": one.why,
                "count": one.count,
                "ago": round(now - one.last, 1),
            }
            for one in self._known.values()
            if now - one.last < FORGET
        ]

    def why(self, now: float, who: str) -> str | None:
        """Why the last thing that `who` is said to have said lately was not believed; None: nothing was refused."""
        found = [one for one in self._known.values() if one.who == who and now - one.last < FORGET]
        return max(found, key=lambda one: one.last).why if found else None
