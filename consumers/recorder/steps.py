"""Retention's steps in the recorder's loop: one row of them, with whatever arrives in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tabard.consumers.store.ports import Upkeep

REST_SECONDS: Final = 0.02
"""Between two steps."""


class Timer(Protocol):
    """What is to be called at some time."""

    def cancel(self) -> None:
        """Do not call it."""


class Clockwork(Protocol):
    """What is used of a loop."""

    def now(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call it then."""


class Steps:
    """Takes the steps of ``upkeep``, if there is one. ``wait`` returns when its connection is free."""

    def __init__(self, loop: Clockwork, upkeep: Upkeep | None, wait: Callable[[], None]) -> None:
        self._loop = loop
        self._upkeep = upkeep
        self._wait = wait
        self._next: Timer | None = None

    def go(self) -> None:
        """Take a step now, and further ones for as long as there is more to do.

        Called again meanwhile, it begins no second row of them.
        """
        if self._upkeep is None:
            return
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._wait()
        if self._upkeep.step(self._loop.now()):
            self._next = self._loop.call_at(self._loop.now() + REST_SECONDS, self.go)
