"""Whom to believe: all certificates and rosters that lead to the pinned root, and what was revoked. Pure.

What is taken in once is not verified again, but whether it holds is asked anew each time: a certificate holds *now* when it is
within its time, and neither its key nor its name was taken back, and the same is true of the authority above it, up to the root.

* A roster reaches as far as its zone: it revokes what its zone's authority, or one below it, certified, and nothing else.
  A zone's own key is revoked by a zone above it only.
* A roster with a lower number than the one known changes nothing: what was revoked cannot be played back. Two rosters with one
  number are refused, because one of them is by somebody who should not have the key.
* The root's own key is replaced by itself: see `roots`.
* What is kept is bounded for each zone right below the root, so that a lost zone crowds out nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tabard.brokers.trust import keys, reasons
from tabard.brokers.trust.certificates import (
    RECORDER,
    ZONE,
    Certificate,
    Encoded,
    check_time,
    read,
    verify,
)
from tabard.brokers.trust.roots import Known, Roots
from tabard.brokers.trust.rosters import (
    EncodedRoster,
    Revocation,
    Roster,
    Tombstone,
    check_number,
    read_roster,
)
from tabard.brokers.trust.withdrawn import Withdrawn
from tabard.errors import TrustError
from tabard.names import MAX_ZONE_DEPTH

MAX_CHAIN: Final = MAX_ZONE_DEPTH + 1
"""Certificates of a chain, from below the root down."""
MAX_KNOWN: Final = 20_000
"""Certificates kept of one zone right below the root with all below it; likewise of the root's own hosts."""


class Directory:
    """Everything that is known below one root. ``now`` is in nanoseconds since 1970 throughout."""

    def __init__(self, root: bytes, now: int) -> None:
        """Pin ``root``, an encoded certificate that certifies itself. Raises TrustError, also when it is not valid now."""
        self.roots = Roots(root, now)
        self._keys: dict[bytes, list[Known]] = {}
        """By key id, newest first."""
        self._names: dict[tuple[str, str, str], list[Known]] = {}
        """By role, place and name, newest first."""
        self._curves: dict[bytes, bytes] = {}
        """From CURVE keys to key ids."""
        self._rosters: dict[str, Roster] = {}
        self._bytes: dict[str, bytes] = {}
        self._withdrawn: Final = Withdrawn()
        self._counts: dict[str, int] = {}
        self.generation = 0
        """Rises whenever something was taken in: what was worked out before may have changed."""
        self._keep(self.roots.now)

    @property
    def root(self) -> Certificate:
        """The pinned one; another one once a roster of its successor was taken."""
        return self.roots.now.certificate

    @property
    def pinned(self) -> bytes:
        """The same, encoded."""
        return self.roots.now.encoded

    # --- taking in ----------------------------------------------------------------------------------

    def take(self, chain: Sequence[bytes], now: int) -> Certificate:
        """Verify a chain from below the root down, keep it, and return its last certificate.

        Raises TrustError with the reason; nothing of the chain is kept then.
        """
        if not 1 <= len(chain) <= MAX_CHAIN:
            raise TrustError(
                "a chain of a wrong length",
                reason=reasons.MALFORMED,
                expected=f"1 to {MAX_CHAIN} certificates",
                found=f"{len(chain)}",
            )
        issuer = read(chain[0]).certificate.issuer
        above = next((each for each in self.roots.all() if each.key_id == issuer), self.root)
        self.check(above, now)
        taken: list[Known] = []
        for encoded in chain:
            known = self._verified(encoded, above)
            self._check(known.certificate, above, now)
            taken.append(known)
            above = known.certificate
        self._check_room(taken)
        for known in taken:
            self._keep(known)
        return above

    def take_roster(self, roster: bytes, now: int, *, own: bool = False) -> bool:
        """Verify a roster and let it take the place of an older one, and a successor that of the root; False when it is not newer.

        ``own``: it is of the home's own files, so it was verified before, and its number may be ahead of a clock that is behind.
        Raises TrustError: it is malformed, not by the zone's authority, or one of its members is not the zone's.
        """
        found = read_roster(roster)
        zone, before = found.roster.zone, self.roots
        if self._bytes.get(zone) == roster:
            return False
        if zone != before.zone:
            return self._take_roster(found, roster, now, own)
        if before.was(found.roster.issuer):
            return False  # of before it was replaced, or by somebody who has that key
        self.roots = before.followed(found.roster.members, found.roster.issuer, now) or before
        taken = False
        try:
            taken = self._take_roster(found, roster, now, own)
        finally:
            self.roots = self.roots.with_former(found.roster.members) if taken else before
        for each in (self.roots.now, *self.roots.former):
            self._keep(each)
        return taken

    def _take_roster(self, found: EncodedRoster, roster: bytes, now: int, own: bool) -> bool:
        zone, version = found.roster.zone, found.roster.version
        self._check_signed(found, now)
        if not own:
            check_number(found.roster, now)
        newest = self.standing(zone, now)
        if version < newest:
            return False
        if version == newest:
            raise TrustError(
                f"two rosters of {zone} under one number",
                reason=reasons.CONTRADICTS,
                expected=f"one roster {version}",
                found="another one with that number",
                hint="Somebody else may have the authority's key, or its home was put back to an older state",
            )
        wider = self.roots.with_former(found.roster.members) if zone == self.root.zone else self.roots
        members = [
            self._member(zone, encoded, wider)
            for encoded in found.roster.members
            if not (zone == wider.zone and wider.is_root(read(encoded).certificate))
        ]
        self._check_room(members)
        for known in members:
            self._keep(known)
        self._rosters[zone], self._bytes[zone] = found.roster, roster
        self._withdrawn.take(found.roster)
        self.generation += 1
        return True

    # --- asking -------------------------------------------------------------------------------------

    def certificates(self, role: str, zone: str, name: str, now: int) -> list[Certificate]:
        """Those of this name that hold now, newest first. Of a zone's key ``zone`` is its path, ``name`` the last of it."""
        place = zone.rpartition("/")[0] if role == ZONE else zone
        found = (known.certificate for known in self._names.get((role, place, name), ()))
        return [certificate for certificate in found if self.holds(certificate, now)]

    def by_key(self, key_id: bytes) -> Certificate | None:
        """The newest certificate of a key, whether it still holds or not; None for an unknown key."""
        known = self._keys.get(key_id)
        return known[0].certificate if known else None

    def by_curve(self, z85: bytes, now: int) -> Certificate | None:
        """The newest certificate of a connection's key that holds now; None for a stranger."""
        known = self._keys.get(self._curves.get(bytes(z85), b""), ())
        return next((each.certificate for each in known if self.holds(each.certificate, now)), None)

    def recorders(self, sink: str, now: int) -> list[Certificate]:
        """The recorders of a sink that hold now, newest first."""
        found = [
            known.certificate
            for (role, _place, _name), listed in self._names.items()
            if role == RECORDER
            for known in listed
            if sink in known.certificate.sinks and self.holds(known.certificate, now)
        ]
        return sorted(found, key=lambda each: -each.serial)

    def holds(self, certificate: Certificate, now: int) -> bool:
        """Whether a certificate that is known holds now."""
        try:
            self.check(certificate, now)
        except TrustError:
            return False
        return True

    def check(self, certificate: Certificate, now: int) -> None:
        """Raises TrustError with the reason why a certificate does not hold now."""
        if certificate in self.roots.all():
            check_time(certificate, now)
            self._withdrawn.check_root(certificate)
            return
        above = self._authorities(certificate)
        refused: TrustError | None = None
        for authority in above:
            try:
                self.check(authority, now)
                self._check(certificate, authority, now)
            except TrustError as error:
                refused = refused or error
            else:
                return
        raise refused or TrustError(
            "nothing leads to the root",
            reason=reasons.FOREIGN,
            expected=f"a certificate below {self.root.zone}",
            found=str(certificate),
        )

    def revoked(self, key_id: bytes) -> Revocation | None:
        """The revocation of a key by an authority that may, the earliest; of one without a certificate only the root's word counts."""
        known = self._keys.get(key_id, ())
        places = {each.certificate.place or self.root.zone for each in known}
        return self._withdrawn.revoked(key_id, places or {self.root.zone})

    def tombstone(self, role: str, zone: str, name: str) -> Tombstone | None:
        """The tombstone of a name, None when it was never taken out; a newer certificate may have brought it back."""
        return self._withdrawn.tombstone(role, zone.rpartition("/")[0] if role == ZONE else zone, name)

    def version(self, zone: str) -> int:
        """The number of the newest roster of a zone; 0 when none is known."""
        roster = self.roster(zone)
        return roster.version if roster else 0

    def standing(self, zone: str, now: int) -> int:
        """The same, but 0 when the key that signed it does not hold any more: whoever has that key decides nothing by a high number."""
        known = self._rosters.get(zone)
        held = known and any(
            each.key_id == known.issuer and self.holds(each, now) for each in self.zone_keys(zone)
        )
        return known.version if known and held else 0

    def roster(self, zone: str) -> Roster | None:
        """The newest roster of a zone."""
        return self._rosters.get(zone)

    def rosters(self) -> dict[str, bytes]:
        """All rosters as they were taken, by zone, outer zones after those above them."""
        return {
            zone: self._bytes[zone] for zone in sorted(self._bytes, key=lambda zone: (zone.count("/"), zone))
        }

    def members(self, zone: str, now: int, role: str | None = None) -> list[Certificate]:
        """Hosts' keys of a zone and the keys of the zones right below it that hold now, by role and name; or of one role only."""
        found = [
            known.certificate
            for (each, place, _name), listed in self._names.items()
            if place == zone and role in {None, each}
            for known in listed
            if not self.roots.is_root(known.certificate) and self.holds(known.certificate, now)
        ]
        return sorted(found, key=lambda each: (each.role, each.path, -each.serial))

    def steady_until(self, now: int) -> int:
        """The next time, ns since 1970, at which a certificate that is known begins or ends: what holds now holds until then.

        For as long as `generation` stays what it is; 0 is never.
        """
        times = (time for each in (self.root, *self.every()) for time in (each.since, each.until))
        return min((time for time in times if time > now), default=0)

    def every(self) -> Iterator[Certificate]:
        """All that is known, whether it holds or not, without the root."""
        for listed in self._names.values():
            yield from (known.certificate for known in listed if known.certificate != self.root)

    def chain(self, certificate: Certificate, now: int) -> tuple[bytes, ...]:
        """The encoded certificates from below the root down to a known one. Raises TrustError when it does not hold."""
        self.check(certificate, now)
        if certificate in self.roots.all():
            return ()
        above = next(each for each in self._authorities(certificate) if self.holds(each, now))
        listed = self._keys[certificate.key_id]
        return (
            *self.chain(above, now),
            next(known.encoded for known in listed if known.certificate == certificate),
        )

    # --- inside -------------------------------------------------------------------------------------

    def _verified(self, encoded: bytes, above: Certificate) -> Known:
        """The certificate, its signatures checked unless that was done before."""
        found = read(encoded)
        for known in self._keys.get(found.certificate.key_id, ()):
            if known.encoded == encoded and found.certificate.issuer == above.key_id:
                if found.certificate.place != above.zone:
                    break
                return known
        verify(found, above)
        return Known(found.certificate, encoded)

    def _member(self, zone: str, encoded: bytes, roots: Roots) -> Known:
        """A member of a roster: certified by a key of its zone, which need not hold any more."""
        found: Encoded = read(encoded)
        for authority in roots.all() if zone == roots.zone else self.zone_keys(zone):
            if authority.key_id == found.certificate.issuer:
                return self._verified(encoded, authority)
        raise TrustError(
            f"a member of the roster of {zone} was certified by somebody else",
            reason=reasons.FOREIGN,
            expected=f"a certificate by the authority of {zone}",
            found=str(found.certificate),
        )

    def _check_signed(self, found: EncodedRoster, now: int) -> None:
        roster = found.roster
        authorities = [each for each in self.zone_keys(roster.zone) if each.key_id == roster.issuer]
        held = [each for each in authorities if self.holds(each, now)]
        if authorities and not held:
            self.check(authorities[0], now)
        if held:
            if held[0].key.verifies(keys.ROSTER, found.signed, found.signature):
                return
            raise TrustError(
                f"the roster of {roster.zone} was not signed by its authority",
                reason=reasons.FORGED,
                expected=f"a signature by {held[0]}",
                found="another one",
            )
        raise TrustError(
            f"a roster of {roster.zone} by an unknown authority",
            reason=reasons.FOREIGN,
            expected=f"a zone within {self.root.zone} whose certificate is known",
            found=f"key {keys.shown_id(roster.issuer)}",
            hint="Take the roster of the zone above it first",
        )

    def _check(self, certificate: Certificate, above: Certificate, now: int) -> None:
        """Whether a certificate holds now, if its authority does."""
        check_time(certificate, now)
        if certificate.place != above.zone:
            raise TrustError(
                "an authority exceeds its zone",
                reason=reasons.EXCEEDS,
                expected=f"what lies in {above.zone}",
                found=str(certificate),
            )
        self._withdrawn.check(certificate)

    def _authorities(self, certificate: Certificate) -> list[Certificate]:
        return [
            known.certificate
            for known in self._keys.get(certificate.issuer, ())
            if known.certificate.role == ZONE and known.certificate.zone == certificate.place
        ]

    def zone_keys(self, zone: str) -> list[Certificate]:
        """The certificates of the authority of a zone that are known, whether they hold or not."""
        if zone == self.root.zone:
            return [self.root]
        name = (ZONE, *zone.rpartition("/")[::2])
        return [known.certificate for known in self._names.get(name, ())]

    def _branch(self, certificate: Certificate) -> str:
        """The zone right below the root that it lies in; the root itself for its own hosts and those zones."""
        if certificate.place == self.root.zone:
            return self.root.zone
        below = certificate.zone.removeprefix(self.root.zone + "/").partition("/")[0]
        return f"{self.root.zone}/{below}"

    def _check_room(self, taken: Sequence[Known]) -> None:
        new: dict[str, int] = {}
        for known in taken:
            if known not in self._keys.get(known.certificate.key_id, ()):
                branch = self._branch(known.certificate)
                new[branch] = new.get(branch, 0) + 1
        for branch, count in new.items():
            if self._counts.get(branch, 0) + count > MAX_KNOWN:
                raise TrustError(
                    f"too many certificates of {branch}",
                    reason=reasons.CROWDED,
                    expected=f"at most {MAX_KNOWN}",
                    found=f"{count} more than the {self._counts.get(branch, 0)} that are known",
                )

    def _keep(self, known: Known) -> None:
        certificate = known.certificate
        listed = self._keys.setdefault(certificate.key_id, [])
        if known in listed:
            return
        listed.append(known)
        listed.sort(key=lambda each: -each.certificate.serial)
        named = self._names.setdefault((certificate.role, certificate.place, certificate.name), [])
        named.append(known)
        named.sort(key=lambda each: -each.certificate.serial)
        self._curves[certificate.key.curve] = certificate.key_id
        self.generation += 1
        branch = self._branch(certificate)
        self._counts[branch] = self._counts.get(branch, 0) + 1
