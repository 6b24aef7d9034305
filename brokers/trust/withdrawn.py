"""What rosters took back: keys that were revoked, and names that were taken out, each as far as its zone reaches. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.trust.keys import shown_id
from tabard.brokers.trust.rosters import Revocation, Roster, Tombstone
from tabard.errors import TrustError
from tabard.names import zone_within


class Withdrawn:
    """Filled by rosters; the newest of a zone takes the place of the one before it."""

    def __init__(self) -> None:
        self._revoked: dict[bytes, list[tuple[str, Revocation]]] = {}
        """By key id, with the zone whose roster says so."""
        self._removed: dict[tuple[str, str, str], Tombstone] = {}
        """By role, zone and name."""

    def take(self, roster: Roster) -> None:
        """Put what a roster takes back in the place of what the one before it of its zone did."""
        zone = roster.zone
        left = {key_id: [word for word in said if word[0] != zone] for key_id, said in self._revoked.items()}
        self._revoked = {key_id: said for key_id, said in left.items() if said}
        for revocation in roster.revoked:
            self._revoked.setdefault(revocation.key_id, []).append((zone, revocation))
        self._removed = {name: tombstone for name, tombstone in self._removed.items() if name[1] != zone}
        for tombstone in roster.tombstones:
            self._removed[tombstone.role, zone, tombstone.name] = tombstone

    def revoked(self, key_id: bytes, places: Iterable[str]) -> Revocation | None:
        """The earliest revocation of a key by a zone that has one of these places within it."""
        said = [
            revocation
            for zone, revocation in self._revoked.get(key_id, ())
            if any(zone_within(place, zone) for place in places)
        ]
        return min(said, key=lambda each: each.time, default=None)

    def tombstone(self, role: str, place: str, name: str) -> Tombstone | None:
        """That of a name in a zone."""
        return self._removed.get((role, place, name))

    def check_root(self, certificate: Certificate) -> None:
        """Raises TrustError when the key of a former root was taken back by the one of now."""
        revocation = self.revoked(certificate.key_id, (certificate.zone,))
        if revocation is not None:
            raise TrustError(
                f"the key of the former root of {certificate} was revoked",
                reason=reasons.REVOKED,
                expected="the root of now",
                found=f"{shown_id(certificate.key_id)}, revoked for: {revocation.reason}",
            )

    def check(self, certificate: Certificate) -> None:
        """Raises TrustError when the key or the name of a certificate was taken back."""
        revocation = self.revoked(certificate.key_id, (certificate.place,)) if self._revoked else None
        if revocation is not None:
            raise TrustError(
                f"the key of {certificate} was revoked",
                reason=reasons.REVOKED,
                expected="a key that holds",
                found=f"{shown_id(certificate.key_id)}, revoked for: {revocation.reason}",
            )
        tombstone = self.tombstone(certificate.role, certificate.place, certificate.name)
        if tombstone is not None and certificate.serial <= tombstone.time:
            gone = f"renamed to {tombstone.successor}" if tombstone.successor else "removed"
            raise TrustError(
                f"{certificate} was {gone}",
                reason=reasons.REMOVED,
                expected="a name that is in its zone",
                found=f"certificate {certificate.serial}, tombstone {tombstone.time}",
            )
