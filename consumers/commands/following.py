"""Whoever follows a submission: told each new state of its commands, and what they print, until all have ended."""

from __future__ import annotations

from typing import Any

from tabard.brokers.wire.answers import ENDS
from tabard.consumers.commands.asked import AskedTables
from tabard.consumers.commands.ports import Item
from tabard.consumers.commands.serving import Client
from tabard.consumers.commands.talk import of_bytes


class Follower:
    """One client, one submission."""

    def __init__(self, client: Client, group: bytes) -> None:
        self.group = group
        self._client = client
        self._states: dict[int, str] = {}
        self._parts: dict[int, int] = {}

    @property
    def over(self) -> bool:
        """Whether nothing more is to be said."""
        return self._client.closed

    def push(self, tables: AskedTables) -> bool:
        """Say what is new; True when it was the last word. Raises StoreError."""
        items = tables.group(self.group)
        for item in items:
            if self._states.get(item.number) in ENDS and item.course.ended:
                continue
            if not self._outputs(tables, item):
                return False
            if self._states.get(item.number) != item.course.state:
                self._states[item.number] = item.course.state
                self._client.say({"event": "state", **_named(item)})
        if not all(item.course.ended for item in items):
            return False
        self._client.say({"event": "end"})
        return True

    def _outputs(self, tables: AskedTables, item: Item) -> bool:
        """Whether all was said: a client that reads slowly is told the rest when it has read."""
        while not self._client.full:
            found = tables.output(item.number, self._parts.get(item.number, 0))
            for output in found:
                self._parts[item.number] = output.part
                self._client.say(
                    {
                        "event": "output",
                        "id": item.uid.hex(),
                        "node": item.node,
                        "zone": item.zone,
                        "part": output.part,
                        "fd": output.fd,
                        "data": of_bytes(output.data),
                    }
                )
            if not found:
                return True
        return False


def _named(item: Item) -> dict[str, Any]:
    course = item.course
    return {
        "id": item.uid.hex(),
        "node": item.node,
        "zone": item.zone,
        "state": course.state,
        "reason": course.reason,
        "exit": course.exit,
    }
