"""What every engine's retention has in common: by how much limits are exceeded, and when that is a fault.

A hold takes no room from other records: limits count what is not held, as far as retention got to it. Otherwise a hold
that alone is larger than a limit would have every new record deleted as soon as it is stored.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard import failpoints
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store.layout import QUARANTINED, FileKind
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.room import mib

CHUNK: Final = failpoints.declare("store.retention_chunk", "about to commit the deletion of some old rows")
NOT_HELD: Final = 0.1
"""Share of a limit beyond which exceeding it is a fault: less is what comes and goes."""
_NAMES: Final = {**STREAM_NAMES, QUARANTINED: "quarantine"}


class Over(NamedTuple):
    """By how much a stream exceeds its limits; zero or less: it does not. True when something has to go."""

    bytes: int = 0
    rows: int = 0
    held_bytes: int = 0
    """What holds cover beside that."""
    held_rows: int = 0

    def __bool__(self) -> bool:
        return self.bytes > 0 or self.rows > 0


NOTHING: Final = Over()


class Overrun:
    """By how much each stream of each part exceeds its limits, as of the last look."""

    def __init__(self) -> None:
        self._over: dict[tuple[FileKind, int], Over] = {}

    def note(self, kind: FileKind, stream: int, over: Over) -> Over:
        """What the last look found; hands it back."""
        self._over[kind, stream] = over
        return over

    def of(self, kind: FileKind, stream: int) -> Over:
        """As of the last look."""
        return self._over.get((kind, stream), NOTHING)

    def fault(self, limits: RetentionLimits) -> str | None:
        """Which limit is not held, and by how much, or which one legal holds keep from being held; None while all are."""
        for (_kind, stream), over in self._over.items():
            name, size, count = _NAMES[stream], limits.size(stream), limits.count(stream)
            taken, there = size + over.bytes + over.held_bytes, count + over.rows + over.held_rows
            if over.bytes > size * NOT_HELD:
                return f"{name} take {mib(taken)}: {mib(over.bytes)} over the limit retention.{name}_bytes"
            if over.rows > count * NOT_HELD:
                return f"{name} are {there:,} records: {over.rows:,} over the limit retention.{name}_count"
            advice = "`tabard store hold list` names the legal holds: release one, or raise the limit"
            if over.held_bytes and taken > size:
                return (
                    f"{name} take {mib(taken)}: {mib(taken - size)} over the limit retention.{name}_bytes,"
                    f" since {mib(over.held_bytes)} are held; {advice}"
                )
            if count and over.held_rows and there > count:
                return (
                    f"{name} are {there:,} records: {there - count:,} over the limit retention.{name}_count,"
                    f" since {over.held_rows:,} are held; {advice}"
                )
        return None
