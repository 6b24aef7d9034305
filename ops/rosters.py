"""What this home knows of rosters: those that its running roles have, and which of their neighbours lack one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tabard.consumers.zones import staleness
from tabard.ops.seen import Seen

if TYPE_CHECKING:
    from tabard.brokers.trust.files import Trust
    from tabard.ops.output import Row

LIST: Final = ("did", "zone", "roster", "made", "members", "revoked", "key", "until", "behind")


def listed(trust: Trust, did: str, behind: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """A row of `LIST` for each roster of a home; ``behind``: by zone the neighbours that lack it."""
    from tabard.brokers.trust.keys import shown_id
    from tabard.ops.keys import time_of

    for zone in trust.directory.rosters():
        roster = trust.directory.roster(zone)
        if roster is None:
            continue
        issuer = trust.directory.by_key(roster.issuer)
        yield {
            "did": did,
            "zone": zone,
            "roster": roster.version,
            "made": time_of(roster.time),
            "members": len(roster.members),
            "revoked": len(roster.revoked),
            "key": shown_id(roster.issuer),
            "until": time_of((issuer or trust.directory.root).until),
            "behind": list(behind.get(zone, ())),
        }


def lagging(roles: Iterable[Seen]) -> dict[str, list[str]]:
    """By zone the neighbours of this home's roles that lack its newest roster."""
    found: dict[str, list[str]] = {}
    for role in roles:
        for each in _said(role)["behind"]:
            names = found.setdefault(each["zone"], [])
            if each["peer"] not in names:
                names.append(each["peer"])
    return found


def of_status(role: Seen) -> Iterator[dict[str, Any]]:
    """The rosters of a running role, for its home's status."""
    said = _said(role)
    for each in said["held"]:
        zone = each["zone"]
        yield {
            "role": role.name,
            **each,
            "behind": [row["peer"] for row in said["behind"] if row["zone"] == zone],
            "ahead": [row["peer"] for row in said["ahead"] if row["zone"] == zone],
            "contradicting": zone in said["contradicting"],
        }


def faults(role: Seen, now: int) -> Iterator[str]:
    """What is wrong with the rosters of a role, in words."""
    said = _said(role)
    if said["fault"]:
        yield str(said["fault"])
    for zone in said["contradicting"]:
        yield (
            f"there are two rosters of {zone} under one number: somebody else may have its authority's key, or its home was"
            " put back to an older state; make a new one there, with tabard keys renew or revoke"
        )
    for each in said["behind"]:
        if now - each["since"] > staleness.PATIENCE:
            yield f"{each['role']} {each['peer']} has not taken the roster of {each['zone']} that is here"


def newest(roles: Iterable[Seen]) -> dict[str, tuple[int, int]]:
    """By zone the number of the newest roster that any role of this home has, and when that was made, in ns."""
    return staleness.newest(_said(role)["held"] for role in roles)


_NOTHING: Final[Mapping[str, Any]] = {
    "held": (),
    "behind": (),
    "ahead": (),
    "contradicting": (),
    "fault": None,
}


def _said(role: Seen) -> Mapping[str, Any]:
    return role.said.get("rosters") or _NOTHING
