"""An intake of the bridge in a real loop over a journal that is a list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.bridge.ports import Intake, Surroundings
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.brokers.loop import Loop
from tabard.clock import SystemClock
from tabard.records import LOG_FIELDS
from tests.unit.intake.fakes import ListJournal

PATIENCE = 30.0


class Rig:
    """Runs what ``made`` makes. As a context it opens and closes it."""

    def __init__(
        self,
        made: Callable[[Surroundings], Iterable[Intake]],
        defaults: Defaults = NO_DEFAULTS,
        max_clients: int = 256,
        marks: Mapping[str, Any] | None = None,
    ) -> None:
        self.loop = Loop()
        self.journal = ListJournal()
        self.batcher = Batcher(self.journal, self.loop, linger=0.002)
        around = Surroundings(
            self.loop,
            self.batcher,
            SystemClock(),
            marks=marks or {},
            defaults=defaults,
            max_clients=max_clients,
        )
        (self.intake,) = made(around)

    def __enter__(self) -> Self:
        self.intake.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.intake.close()
        self.batcher.flush()
        self.loop.close()

    @property
    def port(self) -> int:
        """The TCP or UDP port it listens on."""
        return int(self.intake.report().address.rpartition(":")[2])

    def until(self, holds: Callable[[], bool]) -> None:
        """Turn the loop until ``holds``."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.intake.report()
            self.loop.turn(0.02)

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """The records that were journaled, as soon as there are so many."""
        self.until(lambda: self.batcher.accepted >= count)
        return self.records()

    def records(self) -> list[dict[str, Any]]:
        """What was journaled, by the names of the fields, without those that are empty."""
        return [
            {name: value for name, value in zip(LOG_FIELDS, record, strict=True) if value is not None}
            for record in self.journal.records()
        ]

    def counted(self, name: str) -> int:
        """One of the intake's counters."""
        return int(self.intake.report().counters.get(name, 0))
