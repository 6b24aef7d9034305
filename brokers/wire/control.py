"""The body of a batch of control records: one group, always written in this one way.

What a sink keeps of a control record is time, kind and data; so whoever has its row can write the body again, and hold it
against the digest that its node signed. Samples come in the same form, and nobody writes those again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.brokers.wire.codec import pack

AGENT: Final = "agent"
"""Source and origin of all that stands in the control stream: the agent alone writes there."""

ControlRecord = tuple[int, str, Mapping[str, Any]]
"""Time in nanoseconds since 1970 UTC, kind, and data."""


def control_body(records: Sequence[ControlRecord]) -> bytes:
    """The bytes of that body."""
    return pack([(AGENT, None, AGENT, list(records))])
