"""Whether the recorder still writes: while it does not, a page is a picture of the past, and no node is to blame for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tabard.consumers.store.fleet import SILENT
from tabard.errors import TabardError
from tabard.web.site import site

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


def silence() -> Silence | None:
    """How the recorder is silent; None while it is not, or while it says itself that it runs.

    A beacon is stored every few seconds for each node that speaks. When those of all nodes are overdue at once, it is not
    the nodes that ended.
    """
    newest = site().reader.newest_beacon()
    age = None
    if newest is not None:
        beacon, interval = newest
        age = (site().clock.wall() - beacon) / interval
        if age <= ASK:
            return None
    since = None if newest is None else newest[0]
    state = _recorder()
    if state in NOTHING or (state is None and age is not None and age > SILENT):
        return Silence(since, state)
    return None


def _recorder() -> str | None:
    """The state of the recorder of this home; None when there is none, or nobody to ask."""
    look = site().look
    if look is None:
        return None
    try:
        roles = look().roles
    except TabardError:
        return None
    return next((role.state for role in roles if role.name == "recorder"), None)
