"""Which policies a broker goes by: those of its own zone in the newest roster, or the reason why nobody can tell them. Pure.

What cannot be told lets nothing pass: a clock that is not set, a roster that is gone, a policy of a later edition must not open
a boundary. A zone without a link upwards has nothing to hold back from what is its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.brokers.policy import document
from tabard.brokers.policy.matching import Rules
from tabard.brokers.trust.certificates import ZONE
from tabard.brokers.trust.directory import Directory
from tabard.errors import TrustError
from tabard.names import zone_within

NO_ROSTER: Final = "no roster of this zone"
UNREADABLE: Final = "a policy that cannot be read"
FOREIGN: Final = "a policy that is not by the authority of its zone"


class Law(NamedTuple):
    """One policy that has not ended and says something, as it is signed and made ready."""

    encoded: bytes
    rules: Rules


class Laws(NamedTuple):
    """All of a broker."""

    zone: str
    root: str
    all: tuple[Law, ...] = ()
    blind: str = ""
    """Why they cannot be told; empty when they can."""

    @property
    def lowering(self) -> list[Law]:
        """Those that say something of what descends."""
        return [law for law in self.all if law.rules.policy.lowers]

    def concerned(self, node_zone: str, *, local: bool) -> list[Law]:
        """Those that can change what comes out of a zone; `local`: to a sink of this zone, so it does not leave it."""
        return [
            law
            for law in self.all
            if law.rules.policy.changes
            and zone_within(node_zone, law.rules.policy.below)
            and not (local and law.rules.policy.below == self.zone)
        ]

    def stops(self, node_zone: str, *, local: bool) -> bool:
        """Whether nothing may pass, since nobody can tell what may."""
        leaves = not local and self.zone != self.root
        return bool(self.blind) and (leaves or node_zone != self.zone)


def laws_of(directory: Directory, zone: str, now: int) -> Laws:
    """What a directory says of a zone; `now` in nanoseconds since 1970."""
    root = directory.root.zone
    roster = directory.roster(zone)
    if roster is None:
        return Laws(zone, root, blind=NO_ROSTER)
    found = []
    try:
        for encoded in roster.policies:
            each = document.read(encoded)
            authority = directory.by_key(each.policy.issuer)
            if (
                each.policy.zone != zone
                or authority is None
                or (authority.role, authority.zone) != (ZONE, zone)
                or not document.verify(each, authority.key)
                or not directory.holds(authority, max(now, authority.since))
            ):
                return Laws(zone, root, blind=FOREIGN)
            found.append((each, encoded))
    except TrustError:
        return Laws(zone, root, blind=UNREADABLE)
    holding = document.newest(tuple(each for each, _encoded in found))
    return Laws(
        zone,
        root,
        tuple(
            Law(encoded, Rules(each.policy))
            for each, encoded in found
            if holding[each.policy.id] is each and each.policy.says
        ),
    )
