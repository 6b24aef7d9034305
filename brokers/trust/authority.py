"""What the authority of a zone does: it certifies keys and writes the next roster of its zone. Pure; `now` in ns since 1970."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import ZONE, Certificate, held, issue, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.rosters import MAX_REASON, Revocation, Roster, Tombstone, sign
from tabard.errors import TrustError

if TYPE_CHECKING:
    from tabard.brokers.policy.document import EncodedPolicy, Policy

DAY: Final = 86_400 * 1_000_000_000
BACKDATED: Final = 7 * DAY
"""How long before its issue a certificate is valid already: clocks of hosts may be wrong by as much."""
HOST_LIFE: Final = 365 * DAY
ZONE_LIFE: Final = 3_650 * DAY
ROOT_LIFE: Final = 7_300 * DAY
KEPT: Final = 30 * DAY
"""How long an expired certificate stays in the roster, with the revocation of its key: what it signed may still be on its way."""


class Wanted(NamedTuple):
    """Somebody who needs a key and a certificate."""

    role: str
    name: str
    """Of a zone its path."""
    zone: str
    """Where it lies; of a zone its path."""
    sinks: tuple[str, ...] = ()
    commands: bool = False


def certify_root(zone: str, key: PrivateKey, now: int, life: int = ROOT_LIFE) -> bytes:
    """The certificate of a root: a zone that certifies itself. Raises TrustError for what is no path of a zone."""
    name = zone.rpartition("/")[2]
    return issue(
        Certificate(
            ZONE,
            name,
            zone,
            key.public,
            key.public.key_id,
            now,
            now - BACKDATED,
            now + life,
            (),
            commands=True,
        ),
        key,
    )


class Authority:
    """The authority of a zone: its certificate, its key, and the roster that it writes."""

    def __init__(self, certificate: Certificate, key: PrivateKey, directory: Directory) -> None:
        self.certificate: Final = certificate
        self.zone: Final = certificate.zone
        self._key: Final = key
        self._directory: Final = directory

    def certify(
        self, wanted: Wanted, holder: PrivateKey, now: int, life: int | None = None
    ) -> tuple[Certificate, bytes]:
        """A new certificate for a key of somebody in this zone, or of a zone right below it. Raises TrustError."""
        zone = wanted.name if wanted.role == ZONE else wanted.zone
        name = wanted.name.rpartition("/")[2]
        bare = self._certificate(
            Certificate(wanted.role, name, zone, holder.public, b"", 0, 0, 0, wanted.sinks, wanted.commands),
            now,
            life,
        )
        return bare, issue(bare, self._key, held(bare, holder))

    def renew(self, encoded: bytes, now: int, life: int | None = None) -> tuple[Certificate, bytes]:
        """A certificate for the same key, name and rights with a new time; the key itself is not needed. Raises TrustError."""
        old = read(encoded)
        bare = self._certificate(old.certificate, now, life)
        return bare, issue(bare, self._key, old.holder)

    def roster(
        self,
        now: int,
        add: Iterable[bytes] = (),
        revoke: Iterable[tuple[bytes, str]] = (),
        remove: Iterable[tuple[str, str, str]] = (),
        policies: Iterable[Policy] = (),
    ) -> bytes:
        """The next roster: what the newest one says and what is new: certificates, (key id, reason), (role, name, successor), policies.

        Each policy gets the next number of its id and takes the place of the one before; see `ended` for one that holds no more.

        Its number is that of the one before and one more, or the seconds since 1970 if that is more: an authority that was put
        back to an older state is not below what it said before. Raises TrustError.
        """
        known = self._directory.roster(self.zone) or Roster(self.zone, 0, b"", 0)
        members = {encoded: read(encoded).certificate for encoded in (*known.members, *add)}
        kept = {encoded: each for encoded, each in members.items() if each.until + KEPT > now}
        dropped = {each.key_id for each in members.values()} - {each.key_id for each in kept.values()}
        revoked = {each.key_id: each for each in known.revoked if each.key_id not in dropped}
        for key_id, reason in revoke:
            revoked.setdefault(key_id, Revocation(key_id, now, reason[:MAX_REASON]))
        tombstones = {(each.role, each.name): each for each in known.tombstones}
        for role, name, successor in remove:
            last = max(
                [now, *(each.serial for each in kept.values() if (each.role, each.name) == (role, name))]
            )
            tombstones[role, name] = Tombstone(role, name, last, successor)
        version = max(self._directory.standing(self.zone, now) + 1, now // 1_000_000_000)
        return sign(
            Roster(
                self.zone,
                version,
                self._key.public.key_id,
                now,
                tuple(kept),
                tuple(revoked.values()),
                tuple(tombstones.values()),
                self._policies(known.policies, tuple(policies), now),
            ),
            self._key,
        )

    def policies(self) -> dict[str, EncodedPolicy]:
        """By id the policies of this zone that hold, and those that have ended. Raises TrustError for one that cannot be read."""
        from tabard.brokers.policy.document import newest, read

        known = self._directory.roster(self.zone)
        return newest(tuple(map(read, known.policies))) if known else {}

    def _policies(self, known: tuple[bytes, ...], new: tuple[Policy, ...], now: int) -> tuple[bytes, ...]:
        """All of them, signed by the key of now: one that another key signed would end with that key's certificate."""
        if not known and not new:
            return ()
        from tabard.brokers.policy import document

        found: dict[str, tuple[int, bytes]] = {}
        unread: list[bytes] = []
        for encoded in known:
            try:
                each = document.read(encoded)
            except TrustError:  # of a newer edition: it stays, and those who can read it go by it
                unread.append(encoded)
                continue
            mine = document.verify(each, self._key.public)
            kept = encoded if mine else document.sign(each.policy, self._key)
            found[each.policy.id] = each.policy.number, kept
        for policy in new:
            if policy.zone != self.zone:
                raise TrustError(
                    "a policy of another zone",
                    reason=reasons.EXCEEDS,
                    expected=f"one of {self.zone}",
                    found=policy.zone,
                )
            number = found[policy.id][0] + 1 if policy.id in found else 1
            found[policy.id] = number, document.sign(policy._replace(number=number, time=now), self._key)
        return (*unread, *(encoded for _id, (_number, encoded) in sorted(found.items())))

    def _certificate(self, bare: Certificate, now: int, life: int | None) -> Certificate:
        own = ZONE_LIFE if bare.role == ZONE else HOST_LIFE
        return bare._replace(
            issuer=self._key.public.key_id,
            serial=self._serial(now),
            since=now - BACKDATED,
            until=now + (own if life is None else life),
        )

    def _serial(self, now: int) -> int:
        """Above every certificate and tombstone of this zone, also when the clock went back."""
        known = self._directory.roster(self.zone)
        buried = [each.time for each in known.tombstones] if known else []
        mine = [each.serial for each in self._directory.every() if each.place == self.zone]
        return max(now - 1, *buried, *mine, 0) + 1
