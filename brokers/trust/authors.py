"""Who signed a roster, found out before anything in it is decoded."""

from __future__ import annotations

from typing import Final

from tabard.brokers.trust import keys, reasons
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.rosters import taken_apart
from tabard.errors import TrustError

MOST_UNKNOWN: Final = 1 << 20
"""Bytes of a roster that are decoded though no key is known that signed it."""


def check_author(directory: Directory, zone: str, roster: bytes, now: int) -> None:
    """See that the authority of a zone signed these bytes.

    The root's may be by a key that takes the place of the pinned one: what is in it has to prove that, so it is let pass here if it is small.

    Raises TrustError: nobody signed it who is known to be that authority, or whoever did has no say any more.
    """
    signed, signature = taken_apart(roster)
    for authority in directory.zone_keys(zone):
        if authority.key.verifies(keys.ROSTER, signed, signature):
            directory.check(authority, now)
            return
    if zone != directory.root.zone or len(roster) > MOST_UNKNOWN:
        raise TrustError(
            f"a roster of {zone} that its authority did not sign",
            reason=reasons.FOREIGN,
            expected=f"a signature by a key that leads to the root as the authority of {zone}",
            found="none",
        )
