"""Saying that the recorder does not come round, while it waits for something and can say nothing itself.

The loop waits for a commit that is under way before it does anything else with the store. Where a commit hangs, as on a
disk that takes no writes or a server that is frozen, no error ever comes, and the status file grows old: it would look
as if the recorder were frozen. So a thread of its own looks whether the loop still goes round, and where it does not,
says since when, in the loop's place. What the loop waits for, the thread cannot see: it says what is known, and names
the store as what to look at first. A process that is frozen itself goes on saying nothing.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from tabard.brokers.running import Role

EVERY: Final = 1.0
"""Seconds between two rounds that are noted, and between two looks."""
PATIENCE: Final = 10
"""Looks without a round of the loop in between after which it is said. They are counted: no clock stands still with a
process that was frozen, and when that goes on it is not the store that was away."""

_log = logging.getLogger(__name__)


class Hanging:
    """Looks on from `start` until `close`."""

    def __init__(self, role: Role, where: str) -> None:
        """`where` is the store, for the sentence."""
        self._role = role
        self._where = where
        self._missed = 0
        self._said = False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From now on; of a role that has written its status."""
        self._role.loop.every(EVERY, self.went_round)
        self._thread = threading.Thread(target=self._run, name="hanging", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Return when the thread has ended."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Once more without a round of the loop: say it when that is often enough."""
        self._missed += 1
        if self._missed < PATIENCE:
            return
        fault = (
            f"the recorder has waited for {self._missed * EVERY:.0f} s for something that neither ends nor fails, most likely for the"
            f" store {self._where}. Look at its disk or at its server: is it frozen? It goes on by itself; records wait on their nodes"
        )
        if not self._said:
            _log.error("%s", fault)
        self._said = True
        self._role.speak_for(fault)

    def went_round(self) -> None:
        """The loop is at work."""
        self._missed = 0
        if self._said:
            self._said = False
            _log.warning("the recorder goes on: what it waited for has ended")

    def _run(self) -> None:
        while not self._end.wait(EVERY):
            self.look()
