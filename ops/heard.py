"""Refusing a node or zone that a store never heard of: a slip in a name is not to look as if there were nothing of it."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Final

from tabard.errors import UsageError
from tabard.names import zone_within

NAMED: Final = 10
"""Nodes or zones that an error names at most, the likeliest first."""


def check_heard_of(known: Collection[tuple[str, str]], node: str | None, zone: str | None) -> None:
    """Raises UsageError unless there is such a node, in that zone or below it. `known` are zones and names; None is any."""
    inside = {name for at, name in known if zone is None or zone_within(at, zone)}
    if not inside and zone is not None:
        raise _unheard("the store has heard of no node in that zone", zone, {at for at, _name in known})
    if node is not None and node not in inside:
        where = "" if zone is None else f" in the zone {zone}"
        raise _unheard(f"the store has never heard of that node{where}", node, inside)


def _unheard(what: str, found: str, known: Collection[str]) -> UsageError:
    near = difflib.get_close_matches(found, sorted(known), n=NAMED, cutoff=0.0)
    more = f" and {len(known) - len(near)} more" if len(known) > len(near) else ""
    return UsageError(
        what,
        expected=f"one of {', '.join(near)}{more}" if near else "a node; it has heard of none",
        found=found,
        hint="`tabard nodes` lists them",
    )
