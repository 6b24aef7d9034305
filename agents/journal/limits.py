"""How much a journal may keep and for how long, and how much it does keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_MARKS: Final = 4_096
"""Intake sources whose mark is remembered; the one not heard of for longest is forgotten first."""
MAX_SEGMENTS: Final = 4_096
"""Segments beyond which the oldest ones that hold no record are let go: three days of a start every minute."""
BLOCK: Final = 4_096
"""Bytes a file takes at the least; a small segment counts as one block."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one stream's journal."""

    bytes: int = 1 << 30
    """Bytes on disk; beyond them the oldest segments give way to gaps."""
    age: float = 7 * 86_400.0
    """Seconds, by journal time, after which a segment gives way to a gap."""
    segment: int = 8 << 20
    """Bytes at which a new segment begins."""
    keep_acked: int = 32 << 20
    """Bytes of segments that every required sink has stored, kept for a sink that comes back older."""
    stall: float = 5.0
    """Seconds for which records are accepted while no sync succeeds."""
    recent: int = 2 << 20
    """Bytes of the newest batches kept in memory for the live sender."""

    @property
    def roll_at(self) -> int:
        """Bytes at which a new segment begins: small enough that a quota drops an eighth, not all."""
        return max(min(self.segment, self.bytes // 8), BLOCK)


@dataclass(frozen=True, slots=True)
class Stats:
    """Where a journal stands."""

    bytes: int
    """Bytes on disk."""
    segments: int
    unsynced: int
    """Bytes that a power cut would take."""
    oldest_age: float
    """Seconds, by journal time, since the oldest segment began."""
    dropped: int
    """Records that gave way to gaps since it was opened."""
    mended: int
    """Segments found damaged since it was opened."""
