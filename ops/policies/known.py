"""The policies that a home knows, out of its rosters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tabard.brokers.policy import document
from tabard.brokers.policy.document import EncodedPolicy, Policy
from tabard.errors import TrustError, UsageError
from tabard.ops.output import Row
from tabard.ops.policies.rows import LIST, UNREADABLE, row, state_of

if TYPE_CHECKING:
    from tabard.brokers.trust.files import Trust


def all_of(trust: Trust, now: int) -> Iterator[Row]:
    """A row of `rows.LIST` for each, by zone and id; one that cannot be read has nothing but its zone and what is wrong."""
    for zone in sorted(trust.directory.rosters()):
        readable, unreadable = of_zone(trust, zone)
        for each in document.newest(tuple(readable)).values():
            yield row(each.policy, state_of(each.policy, trust.directory, now))
        for error in unreadable:
            yield {**dict.fromkeys(LIST), "zone": zone, "state": UNREADABLE, "says": str(error)}


def of_zone(trust: Trust, zone: str) -> tuple[list[EncodedPolicy], list[TrustError]]:
    """What the roster of a zone has: policies, and why others cannot be read."""
    roster = trust.directory.roster(zone)
    readable: list[EncodedPolicy] = []
    unreadable: list[TrustError] = []
    for encoded in roster.policies if roster else ():
        try:
            readable.append(document.read(encoded))
        except TrustError as error:
            unreadable.append(error)
    return readable, unreadable


def find(trust: Trust, id_: str, zone: str | None) -> Policy:
    """The policy of that id, of a zone or of the only one that has it. Raises UsageError."""
    found = [
        each.policy
        for place in sorted(trust.directory.rosters())
        if zone is None or place == zone
        for each in document.newest(tuple(of_zone(trust, place)[0])).values()
        if each.policy.id == id_
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            "several zones have a policy of that id",
            expected="--zone with one of " + ", ".join(each.zone for each in found),
            found="no --zone",
        )
    raise UsageError(
        "there is no such policy",
        expected="one of tabard policy list --all",
        found=id_ + (f" of zone {zone}" if zone else ""),
    )
