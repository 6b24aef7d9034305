"""Whoever follows a submission: told each new state of its commands, and what they print, until all have ended.

What they print comes in the order in which it was printed, and an end is told behind all of it, though the store may have a part later than
another one or the end. For one that is lost nobody waits for ever: then it is told which are missing.
"""

from __future__ import annotations

from typing import Any, Final

from tabard.consumers.commands.asked import AskedTables
from tabard.consumers.commands.ports import Item, Output
from tabard.consumers.commands.serving import Client
from tabard.consumers.commands.talk import of_bytes

PATIENCE: Final = 10.0
"""Seconds that one waits for a part when a later one, or the end, is there already."""


class Follower:
    """One client, one submission."""

    def __init__(self, client: Client, group: bytes) -> None:
        self.group = group
        self.waits = False
        """Whether a part is missing: what is told then depends on the time, too."""
        self._client = client
        self._states: dict[int, str] = {}
        self._parts: dict[int, int] = {}
        """By command, the part that was told last."""
        self._missed: dict[int, float] = {}
        """By command, since when the next part is missing, monotonic seconds."""

    @property
    def over(self) -> bool:
        """Whether nothing more is to be said."""
        return self._client.closed

    def push(self, tables: AskedTables, now: float) -> bool:
        """Say what is new; True when it was the last word. `now`: monotonic seconds. Raises StoreError."""
        items = tables.group(self.group)
        for item in items:
            state = item.course.state
            if item.course.ended and self._states.get(item.number) == state:
                continue
            if not self._outputs(tables, item, now):
                return False
            if self._states.get(item.number) != state and item.number not in self._missed:
                self._states[item.number] = state
                self._client.say({"event": "state", **_named(item)})
        self.waits = bool(self._missed)
        if not all(
            self._states.get(item.number) == item.course.state and item.course.ended for item in items
        ):
            return False
        self._client.say({"event": "end"})
        return True

    def _outputs(self, tables: AskedTables, item: Item, now: float) -> bool:
        """Whether all was said that can be: a client that reads slowly is told the rest when it has read."""
        while not self._client.full:
            told = self._parts.get(item.number, 0)
            found = tables.output(item.number, told)
            for output in found:
                if output.part != told + 1 and not self._misses(item, told + 1, output.part - 1, now):
                    return True
                told = self._say(item, output)
            if not found:
                last = (item.course.parts or 0) if item.course.ended else 0
                if told >= last or self._misses(item, told + 1, last, now):
                    self._missed.pop(item.number, None)
                return True
        return False

    def _misses(self, item: Item, first: int, last: int, now: float) -> bool:
        """Whether these parts were waited for long enough; who follows is told then."""
        if now - self._missed.setdefault(item.number, now) < PATIENCE:
            return False
        self._parts[item.number] = last
        self._client.say({"event": "missing", **_whose(item), "first": first, "last": last})
        return True

    def _say(self, item: Item, output: Output) -> int:
        self._missed.pop(item.number, None)
        self._parts[item.number] = output.part
        self._client.say(
            {
                "event": "output",
                **_whose(item),
                "part": output.part,
                "fd": output.fd,
                "data": of_bytes(output.data),
            }
        )
        return output.part


def _whose(item: Item) -> dict[str, Any]:
    return {"id": item.uid.hex(), "node": item.node, "zone": item.zone}


def _named(item: Item) -> dict[str, Any]:
    course = item.course
    return {
        **_whose(item),
        "state": course.state,
        "reason": course.reason,
        "exit": course.exit,
        "cut": course.cut,
    }
