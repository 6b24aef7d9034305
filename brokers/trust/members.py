"""What whoever has an authority's key does with the members of its zone: add, remove, rename, rotate, renew, revoke, and set its policies.

Each changes this home's ``trust/`` under its lock, writes the next roster, and returns what was made for another home. The
roster is written before that: a name whose file was lost on the way can be seen, and given a new key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tabard.brokers.trust.authority import DAY, Wanted
from tabard.brokers.trust.bundle import Bundle
from tabard.brokers.trust.certificates import DISPATCHER, NODE, RECORDER, ZONE, Certificate, read
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keyfiles import KeyFile
from tabard.brokers.trust.keys import PrivateKey, shown_id
from tabard.brokers.trust.rerooting import rotate_root
from tabard.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from tabard.brokers.policy.document import EncodedPolicy, Policy

SOON: Final = 60 * DAY
"""Certificates that end within this time are renewed."""
HOST: Final = (NODE, RECORDER, DISPATCHER)
"""Roles whose certificates bear the name of their host; a broker has a name of its own."""


class Made(NamedTuple):
    """What was made, and for whom."""

    certificates: tuple[Certificate, ...]
    keys: tuple[KeyFile, ...] = ()

    def bundle(self, trust: Trust) -> Bundle:
        """What the host it was made for has to be given."""
        return Bundle(trust.directory.pinned, tuple(trust.directory.rosters().values()), self.keys)


def add(
    trust: Trust, wanted: Sequence[Wanted], now: int, *, life: int | None, again: bool, keep: bool
) -> Made:
    """Keys and certificates for members of one zone that are new there; ``keep`` has the keys in this home, too.

    Raises RefusedError when a name is taken, was taken out before and not ``again``, or the authority is elsewhere.
    """
    zone = _place(wanted[0])
    authority = trust.authority(zone)
    for each in wanted:
        _check_free(trust, each, now, again=again)
    above = trust.directory.chain(authority.certificate, now)
    made = []
    for each in wanted:
        key = PrivateKey.generate()
        certificate, encoded = authority.certify(each, key, now, life)
        chain = (*above, encoded)
        trust.directory.take(chain, now)
        made.append(KeyFile(certificate.role, certificate.path, now, key, chain))
    _publish(trust, zone, now, [file.chain[-1] for file in made])
    if keep:
        for file in made:
            trust.store_key(file)
    return Made(tuple(read(file.chain[-1]).certificate for file in made), tuple(made))


def remove(
    trust: Trust, zone: str, names: Sequence[tuple[str, str]], now: int, successor: str = ""
) -> list[Certificate]:
    """Tombstones for (role, name) of a zone; what they had. Raises UsageError when the zone has none of them."""
    authority = trust.authority(zone)
    gone = [
        certificate
        for role, name in names
        for certificate in trust.directory.certificates(
            role, f"{zone}/{name}" if role == ZONE else zone, name, now
        )[:1]
    ]
    if not gone:
        shown = ", ".join(f"{role} {name}" for role, name in names)
        raise UsageError(
            f"the zone {zone} has no such member", expected="one of tabard keys list", found=shown
        )
    entries = [(each.role, each.name, successor) for each in gone]
    _take(trust, authority.roster(now, remove=entries), now)
    return gone


def rename(trust: Trust, zone: str, old: str, new: str, now: int, life: int | None) -> Made:
    """A tombstone for each of a host's `HOST` that names the new one, which has new keys. Raises RefusedError, UsageError."""
    held = [
        certificate for role in HOST for certificate in trust.directory.certificates(role, zone, old, now)[:1]
    ]
    wanted = [Wanted(each.role, new, zone, each.sinks, each.commands) for each in held]
    for each in wanted:
        _check_free(trust, each, now, again=False)
    remove(trust, zone, [(role, old) for role in HOST], now, successor=new)
    return add(trust, wanted, now, life=life, again=False, keep=False)


def rotate(trust: Trust, role: str, name: str, zone: str, now: int, life: int | None) -> Made:
    """A new key for a member: in this home with the former one beside it if the old key is here, else for a bundle.

    The root's key names its own successor, see `rerooting`. Raises UsageError for who is no member.
    """
    if role == ZONE and name == trust.directory.root.zone:
        return Made(rotate_root(trust, now, life))
    old = member(trust, role, name, zone, now)
    place = name.rpartition("/")[0] if role == ZONE else zone
    authority = trust.authority(place)
    key, here = PrivateKey.generate(), trust.key(role, name)
    certificate, encoded = authority.certify(
        Wanted(role, old.path, old.zone, old.sinks, old.commands), key, now, life
    )
    file = KeyFile(
        role, old.path, now, key, (*trust.directory.chain(authority.certificate, now), encoded), here
    )
    _publish(trust, place, now, [encoded])
    if here is None:
        return Made((certificate,), (file,))
    trust.store_key(file)
    return Made((certificate,))


def member(trust: Trust, role: str, name: str, zone: str, now: int) -> Certificate:
    """The newest certificate of a member, a zone named by its path; also one that has ended. Raises UsageError for who is none."""
    place = name.rpartition("/")[0] if role == ZONE else zone
    label = name.rpartition("/")[2]
    held = trust.directory.certificates(role, name if role == ZONE else zone, label, now)
    known = held or [
        each for each in trust.directory.every() if (each.role, each.place, each.name) == (role, place, label)
    ]
    gone = trust.directory.tombstone(role, name if role == ZONE else zone, label)
    if not known or (gone is not None and not held):
        where = f"the zone {place} has no such member" if place else "there is no such zone"
        raise UsageError(
            where, expected="one of tabard keys list, a zone by its path", found=f"{role} {name}"
        )
    return max(known, key=lambda each: each.serial)


def renew(trust: Trust, now: int, *, within: int = SOON, life: int | None = None) -> list[Certificate]:
    """New certificates for the same keys, of all members that end within a time and whose authority is in this home."""
    done: list[Certificate] = []
    for file in sorted(trust.owned(), key=lambda each: each.path.count("/")):
        if file.role != ZONE:
            continue
        authority = trust.authority(file.path)
        added = []
        for member in trust.directory.members(file.path, now):
            newest = trust.directory.certificates(member.role, member.zone, member.name, now)[0]
            foreign = member.issuer != authority.certificate.key_id
            if member == newest and (foreign or member.until - now <= within):
                old = trust.directory.chain(member, now)[-1]
                certificate, encoded = authority.renew(old, now, life)
                added.append(encoded)
                done.append(certificate)
        if added:
            _publish(trust, file.path, now, added)
    return done


def revoke(trust: Trust, prefix: str, reason: str, now: int) -> Certificate:
    """Revoke the key whose id begins with some hexadecimal digits, by its authority or one above it that is in this home.

    Raises UsageError when there is not exactly one such key, RefusedError when no authority for it is here.
    """
    found = {each.key_id: each for each in (*trust.directory.every(), trust.directory.root)}
    fitting = [each for key_id, each in found.items() if shown_id(key_id).startswith(prefix.lower())]
    if len(fitting) != 1:
        raise UsageError(
            "not the id of one key",
            expected="the first digits of one id that tabard keys list shows",
            found=f"{prefix!r}, which {len(fitting) or 'no'} keys have",
        )
    (certificate,) = fitting
    if certificate == trust.directory.root:
        raise RefusedError(
            "a root's key is not revoked",
            expected="a key that an authority above it certified",
            found=str(certificate),
            hint="See docs/how-to/keys.md, A lost root key",
        )
    zone = certificate.place or trust.directory.root.zone
    while trust.key(ZONE, zone) is None and zone != trust.directory.root.zone:
        zone = zone.rpartition("/")[0]
    authority = trust.authority(zone if trust.key(ZONE, zone) else certificate.place or zone)
    _take(trust, authority.roster(now, revoke=[(certificate.key_id, reason)]), now)
    return certificate


def set_policy(trust: Trust, policy: Policy, now: int) -> EncodedPolicy:
    """Put a policy into the roster of its zone under the next number of its id; as it is signed. Raises RefusedError, TrustError."""
    authority = trust.authority(policy.zone)
    _take(trust, authority.roster(now, policies=[policy]), now)
    return authority.policies()[policy.id]


def _place(wanted: Wanted) -> str:
    return wanted.name.rpartition("/")[0] if wanted.role == ZONE else wanted.zone


def _check_free(trust: Trust, wanted: Wanted, now: int, *, again: bool) -> None:
    label = wanted.name.rpartition("/")[2]
    zone = wanted.name if wanted.role == ZONE else wanted.zone
    if trust.directory.certificates(wanted.role, zone, label, now):
        raise RefusedError(
            f"there is a {wanted.role} {wanted.name} already",
            expected=f"a name that is new in {_place(wanted)}",
            found=wanted.name,
            hint="If its file was lost, make it a new key: tabard keys rotate",
        )
    _check_topic(trust, wanted, now)
    if trust.directory.tombstone(wanted.role, zone, label) is not None and not again:
        raise RefusedError(
            f"the {wanted.role} {wanted.name} was taken out of the zone",
            expected="a name that was never used",
            found=wanted.name,
            hint="To use the name again for another host: --again",
        )


def _check_topic(trust: Trust, wanted: Wanted, now: int) -> None:
    """A node and a zone of one path would have one topic: who asks for the node's own would hear what goes to all of the zone."""
    path = wanted.name if wanted.role == ZONE else f"{wanted.zone}/{wanted.name}"
    place, _, label = path.rpartition("/")
    taken = {ZONE: (NODE, place), NODE: (ZONE, path)}.get(wanted.role)
    if taken is not None and place and trust.directory.certificates(*taken, label, now):
        raise RefusedError(
            f"a {taken[0]} of {place} has that name",
            expected=f"a name that no node of {place} has, and no zone right below it",
            found=label,
            hint="The topic of that node would be that of the whole zone. Choose another name",
        )


def _publish(trust: Trust, zone: str, now: int, added: Sequence[bytes]) -> None:
    _take(trust, trust.authority(zone).roster(now, added), now)


def _take(trust: Trust, roster: bytes, now: int) -> None:
    trust.directory.take_roster(roster, now)  # nothing is written that would be refused
    trust.store_roster(roster)
