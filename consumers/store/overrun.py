"""What every engine's retention has in common: by how much limits are exceeded, and when that is a fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabard import failpoints
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store.layout import QUARANTINED, FileKind
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.room import mib

CHUNK: Final = failpoints.declare("store.retention_chunk", "about to commit the deletion of some old rows")
NOT_HELD: Final = 0.1
"""Share of a limit beyond which exceeding it is a fault: less is what comes and goes."""
_NAMES: Final = {**STREAM_NAMES, QUARANTINED: "quarantine"}

Overrun = dict[tuple[FileKind, int], int]
"""Bytes over the limit by part and stream, as of the last look."""


def fault_of(limits: RetentionLimits, overrun: Mapping[tuple[FileKind, int], int]) -> str | None:
    """Which limit is not held, and by how much; None while all are."""
    for (_kind, stream), over in overrun.items():
        limit = limits.size(stream)
        if over > limit * NOT_HELD:
            name = _NAMES[stream]
            return f"{name} take {mib(limit + over)}: {mib(over)} over the limit retention.{name}_bytes"
    return None
