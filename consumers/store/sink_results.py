"""What is read of a sink in its store: whose it is, who works for it, what it left out and asked for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Owned(NamedTuple):
    """A sink as its store knows it."""

    name: str
    began: int
    """When its first recorder opened the store, nanoseconds since 1970 UTC."""
    retired: int | None
    retired_by: str | None


class StreamKey(NamedTuple):
    """One stream of one node."""

    zone: str
    node: str
    stream: str


class Asked(NamedTuple):
    """What was asked for again of one stream of a node."""

    asked: int
    """Records, as far as was known when they were asked for."""
    came: int
    """Of those that were looked for by now, how many are there."""
    asked_by: str
    began: int
    ended: int | None


@dataclass(frozen=True, slots=True)
class SinkView:
    """The sink of a store."""

    owned: Owned | None
    """None in a store that no recorder has opened since it says whose it is."""
    recorders: Sequence[str]
    """Those that share its work now, by name."""
    skipped: Mapping[StreamKey, int]
    """Records that the sink did not want when it began."""
    asked: Mapping[StreamKey, Asked]
    """The last backfill of each stream."""
