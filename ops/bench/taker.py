"""The process that is the agent in a bench of its intakes: it says when so many records are journaled.

They are counted from a request on, or from the agent's start when it is to read them by itself.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Final

from tabard.agents.worker import Agent
from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.brokers.topology import agent_ends
from tabard.home import Home
from tabard.ops.bench.helper import answer
from tabard.settings import load

LOOK: Final = 0.005
"""Seconds between two looks at what is journaled."""


class Taker:
    """An agent as it is, in a loop that also hears the bench."""

    def __init__(self, home: Home, given: dict[str, str], records: int) -> None:
        settings = load(home, env={}, args=given)
        home.ensure()
        self._loop = Loop()
        self._made = sockets.Sockets(
            hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame")
        )
        self._agent = Agent(home, settings, self._loop, self._made)
        self._wanted = records
        self._before = (0, 0)
        self._rest = b""
        ends = agent_ends(settings, home)
        self._cpu = time.process_time()
        self._began = time.monotonic()
        self._agent.start(ends)

    def run(self) -> None:
        """Until nobody asks any more."""
        os.set_blocking(0, False)
        self._loop.add_reader(0, self._asked)
        answer(began=self._began)
        if self._wanted:
            self._look()
        self._loop.run()
        self._agent.finish()
        self._made.close()
        self._loop.close()

    def _asked(self) -> None:
        data = os.read(0, 65_536)
        if not data:
            self._loop.stop()
            return
        self._rest += data
        while b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            request: dict[str, Any] = json.loads(line)
            self._wanted = request["records"]
            self._before = (self._agent.accepted, self._dropped())
            self._cpu = time.process_time()
            answer(waiting=True)
            self._look()

    def _look(self) -> None:
        accepted = self._agent.accepted - self._before[0]
        dropped = self._dropped() - self._before[1] if accepted < self._wanted else 0
        if accepted + dropped < self._wanted:
            self._loop.call_at(self._loop.now() + LOOK, self._look)
            return
        answer(at=time.monotonic(), cpu=time.process_time() - self._cpu, accepted=accepted, dropped=dropped)

    def _dropped(self) -> int:
        return sum(row["counted"].get("dropped", 0) for row in self._agent.bridged())


def main() -> None:
    """The first request names the home and its settings."""
    first = b""
    while not first.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            return
        first += data
    request: dict[str, Any] = json.loads(first)
    Taker(Home(Path(request["home"])), request["given"], request.get("records", 0)).run()


if __name__ == "__main__":
    main()
