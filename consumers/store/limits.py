"""How old, how large and how many what is stored may become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.consumers.store.layout import QUARANTINED, FileKind

if TYPE_CHECKING:
    from tabard.settings import Settings

LEVELS: Final = {"trace": 4, "debug": 8, "info": 12, "warning": 16, "error": 20, "critical": 24}
"""The levels that may have an age of their own, and the last severity of each. Severity 0, not said, is none of them."""


class Level(NamedTuple):
    """Log records of some severities, which go earlier than others."""

    low: int
    high: int
    """The last severity."""
    age: float
    """Seconds since arrival."""


class RetentionLimits(NamedTuple):
    """What may stay. The first limit that is reached counts."""

    logs_age: float
    """Seconds since arrival."""
    logs_bytes: int
    samples_age: float
    samples_bytes: int
    every: float
    """Seconds between two looks."""
    budget_rows: int
    """Most rows deleted in one step."""
    versions_age: float = 3650 * 86_400.0
    """Seconds since its last start after which a stretch of a service's history is forgotten."""
    quarantine_age: float = 90 * 86_400.0
    quarantine_bytes: int = 2**28
    """Of each file."""
    control_age: float = 3650 * 86_400.0
    control_bytes: int = 2**31
    logs_count: int = 0
    """Records; 0: as many as there are."""
    samples_count: int = 0
    control_count: int = 0
    levels: tuple[Level, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits in `settings`."""
        return cls(
            logs_age=settings.seconds("retention.logs_age"),
            logs_bytes=settings.bytes("retention.logs_bytes"),
            samples_age=settings.seconds("retention.samples_age"),
            samples_bytes=settings.bytes("retention.samples_bytes"),
            every=settings.seconds("retention.every"),
            budget_rows=settings.int("retention.budget_rows"),
            versions_age=settings.seconds("retention.versions_age"),
            control_age=settings.seconds("retention.control_age"),
            control_bytes=settings.bytes("retention.control_bytes"),
            quarantine_age=settings.seconds("retention.quarantine_age"),
            quarantine_bytes=settings.bytes("retention.quarantine_bytes"),
            logs_count=settings.int("retention.logs_count"),
            samples_count=settings.int("retention.samples_count"),
            control_count=settings.int("retention.control_count"),
            levels=levels({name: settings.seconds(f"retention.{name}_age") for name in LEVELS}),
        )

    def age(self, stream: int) -> float:
        """How old records of a stream, and what goes with them, may become."""
        ages = {LOGS: self.logs_age, SAMPLES: self.samples_age, CONTROL: self.control_age}
        return self.quarantine_age if stream == QUARANTINED else ages[stream]

    def longest(self, kind: FileKind) -> float:
        """The age after which nothing is left in a file that is only kept by age."""
        return max(self.age(stream) for stream in (*kind.streams, QUARANTINED))

    def size(self, stream: int) -> int:
        """How much records of a stream may take."""
        sizes = {LOGS: self.logs_bytes, SAMPLES: self.samples_bytes, CONTROL: self.control_bytes}
        return self.quarantine_bytes if stream == QUARANTINED else sizes[stream]

    def count(self, stream: int) -> int:
        """How many records of a stream there may be; 0: as many as there are."""
        counts = {LOGS: self.logs_count, SAMPLES: self.samples_count, CONTROL: self.control_count}
        return counts.get(stream, 0)


def levels(ages: dict[str, float]) -> tuple[Level, ...]:
    """The levels that go early, the least severe first; `ages` are seconds by name, 0 where a level has none.

    A level without an age of its own goes with the next higher one that has one.
    """
    found: list[Level] = []
    low = 1
    for name, high in LEVELS.items():
        if ages.get(name):
            found.append(Level(low, high, ages[name]))
            low = high + 1
    return tuple(found)
