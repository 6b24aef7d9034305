"""Upkeep of several kinds in turns: retention, and what builds a search index."""

from __future__ import annotations

from typing import Protocol

from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.ports import Upkeep


class Work(Protocol):
    """What is done beside retention, in steps of a few milliseconds."""

    @property
    def fault(self) -> str | None:
        """Why it is not done; None when all is well."""
        ...

    def step(self, now: float) -> bool:
        """Do one step; `now` is monotonic seconds. True: call again soon, there is more. Never raises for the store's sake."""
        ...

    def close(self) -> None:
        """End what goes on in the background."""
        ...


class Together:
    """See `ports.Upkeep`. Each step is one of retention and one of `work`."""

    def __init__(self, retention: Upkeep, work: Work) -> None:
        self._retention = retention
        self._work = work

    @property
    def limits(self) -> RetentionLimits:
        """Those of retention."""
        return self._retention.limits

    @limits.setter
    def limits(self, limits: RetentionLimits) -> None:
        self._retention.limits = limits

    @property
    def fault(self) -> str | None:
        """The first there is."""
        return self._retention.fault or self._work.fault

    def step(self, now: float) -> bool:
        """Both."""
        done = [self._retention.step(now), self._work.step(now)]
        return any(done)

    def follow(self) -> None:
        """Retention's."""
        self._retention.follow()

    def close(self) -> None:
        """End what goes on in the background."""
        self._work.close()
