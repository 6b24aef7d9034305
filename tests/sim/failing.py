"""Fail-points inside a simulated world: counted, and deadly when armed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tabard import failpoints
from tests.sim.disk import Killed


class FailPoints:
    """Stands in for `failpoints.hit` while a world runs: the process that passes an armed point dies there."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self._armed: dict[str, int] = {}

    def arm(self, name: str, after: int) -> None:
        """Let whoever passes `name` die, at the time after `after` more."""
        self._armed[name] = after

    def disarm(self) -> None:
        """Nobody dies any more."""
        self._armed.clear()

    def hit(self, name: str) -> None:
        """Pass a fail-point."""
        self.passed[name] += 1
        left = self._armed.get(name)
        if left == 0:
            del self._armed[name]
            raise Killed(name)
        if left is not None:
            self._armed[name] = left - 1

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the production code come here."""
        before = failpoints.hit
        failpoints.hit = self.hit
        try:
            yield
        finally:
            failpoints.hit = before
