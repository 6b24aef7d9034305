"""Refusing a node or zone that a store never heard of: a slip in a name is not to look as if there were nothing of it."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from tabard.errors import UsageError
from tabard.names import zone_within

if TYPE_CHECKING:
    from tabard.consumers.store.place import Place

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


def not_yet(known: Collection[tuple[str, str]], node: str | None, zone: str | None) -> str:
    """What is odd about naming that node or zone, for whoever may mean one that is to come; "" when there is such a one."""
    try:
        check_heard_of(known, node, zone)
    except UsageError as error:
        near = "" if error.expected is None else f"; it knows {error.expected.removeprefix('one of ')}"
        if not known:
            near = "; it knows none"
        return f"{error.what}: {error.found}{near}"
    return ""


def nodes_of(place: Place) -> set[tuple[str, str]]:
    """Zone and name of every node that a store ever heard of. Raises StoreError."""
    from tabard.consumers.store import erasing
    from tabard.consumers.store.erasing_parts import opened
    from tabard.consumers.store.layout import FILES

    known: set[tuple[str, str]] = set()
    for kind in FILES:
        with opened(place, kind) as part:
            known |= erasing.nodes(part)
    return known


def _unheard(what: str, found: str, known: Collection[str]) -> UsageError:
    near = difflib.get_close_matches(found, sorted(known), n=NAMED, cutoff=0.0)
    more = f" and {len(known) - len(near)} more" if len(known) > len(near) else ""
    return UsageError(
        what,
        expected=f"one of {', '.join(near)}{more}" if near else "a node; it has heard of none",
        found=found,
        hint="`tabard nodes` lists them",
    )
