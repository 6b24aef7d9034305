"""What may be said of nodes while the recorder writes nothing: none of them is to blame for it. Pure, and without Flask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tabard.consumers.store.fleet import SILENT
from tabard.consumers.store.results import NodeRow

ASK: Final = 1.5
"""Beacon intervals without a beacon of any node after which the recorder of this home is asked after."""
NOTHING: Final = frozenset({"silent", "stopped"})
"""States of a role that does not do its work."""


@dataclass(frozen=True)
class Silence:
    """The recorder writes nothing."""

    since: int | None
    """When the last beacon of any node was stored; None when none ever was."""
    state: str | None
    """What the recorder of this home is instead of ``running``; None where there is none to ask."""


def overdue(newest: tuple[int, int] | None, now: int) -> float | None:
    """How many of its intervals ago the newest beacon of any node was stored; 0 while none is overdue, None without any."""
    if newest is None:
        return None
    beacon, interval = newest
    age = (now - beacon) / interval
    return 0.0 if age <= ASK else age


def silence_of(newest: tuple[int, int] | None, age: float | None, state: str | None) -> Silence | None:
    """How the recorder of that ``state`` is silent; None while it is not, or while it says itself that it runs.

    A beacon is stored every few seconds for each node that speaks. When those of all nodes are overdue at once, it is not
    the nodes that ended.
    """
    if age == 0:
        return None
    since = None if newest is None else newest[0]
    if state in NOTHING or (state is None and age is not None and age > SILENT):
        return Silence(since, state)
    return None


def known_at(silence: Silence | None, now: int) -> int:
    """The moment as of which states are known: while the recorder is silent, that of its last word."""
    return now if silence is None or silence.since is None else silence.since


def as_known(node: NodeRow, silence: Silence | None) -> NodeRow:
    """A node that was heard in time until the recorder fell silent may be well or not."""
    if silence is None or node.state not in {"up", "late"}:
        return node
    return replace(node, state="unknown")
