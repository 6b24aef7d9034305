"""What this home knows of what may pass over links: read off its rosters, for pages and lists.

The rosters were verified before they were written into the home, and are not again: nothing is decided by what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from tabard.consumers.zones.facts import Passing
from tabard.home import Home


def passing(home: Home) -> tuple[Passing, ...]:
    """The policies that hold, by zone and id; none in a home without keys, or whose rosters cannot be read."""
    folder = home.trust / "rosters"
    if not folder.is_dir():
        return ()
    return tuple(_passing(home))


def _passing(home: Home) -> Iterator[Passing]:
    from tabard.brokers.policy import document
    from tabard.brokers.trust.private import read_private
    from tabard.brokers.trust.rosters import MAX_ROSTER, read_roster
    from tabard.errors import TrustError
    from tabard.ops.policies.rows import says

    for path in sorted((home.trust / "rosters").iterdir()):
        if path.name.startswith("."):
            continue
        try:
            roster = read_roster(read_private(path, MAX_ROSTER)).roster
        except (TrustError, OSError):
            continue
        readable = []
        for encoded in roster.policies:
            try:
                readable.append(document.read(encoded))
            except TrustError:
                yield Passing(roster.zone, None, None, "a policy that cannot be read: nothing passes")
        for each in document.newest(tuple(readable)).values():
            if not each.policy.ended:
                yield Passing(each.policy.zone, each.policy.below, each.policy.name, says(each.policy))
