"""Another key for the root: the old one names it, it certifies all members anew, and both are in the next roster.

What can be cut off in the middle, and what stands against it: the new key is written first, beside the old one; from the moment
that the roster is written, every home that sees it follows. So a key that a roster names is always there, and a rotation
that was not finished goes on with the key that it has made.
"""

from __future__ import annotations

from tabard.brokers.trust.authority import BACKDATED, ROOT_LIFE, Authority, certify_root
from tabard.brokers.trust.certificates import ZONE, Certificate, held, issue, read
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keyfiles import KeyFile
from tabard.brokers.trust.keys import PrivateKey


def rotate_root(trust: Trust, now: int, life: int | None = None) -> tuple[Certificate, ...]:
    """Give the root another key, and every member that holds a certificate by it; the new root's first, then theirs.

    Raises RefusedError when the root's key is not in this home, OSError.
    """
    directory = trust.directory
    root, pinned = directory.root, directory.pinned
    trust.authority(root.zone)
    old, begun = _old(trust, root)
    new = begun or PrivateKey.generate()
    if begun is None:
        trust.store_key(KeyFile(ZONE, root.zone, now, new, (), old))
    own = certify_root(root.zone, new, max(now, root.serial + 1), ROOT_LIFE if life is None else life)
    certificate = read(own).certificate
    bare = certificate._replace(issuer=root.key_id, until=min(certificate.until, root.until))
    succession = issue(bare._replace(since=now - BACKDATED), old, held(bare, new))
    authority = Authority(certificate, new, directory)
    renewed = [authority.renew(directory.chain(member, now)[-1], now) for member in _newest(trust, root, now)]
    roster = authority.roster(now, [pinned, succession, own, *(encoded for _, encoded in renewed)])
    directory.take_roster(roster, now)  # nothing is written that would be refused
    trust.store_roster(roster)
    trust.store_root()
    return (certificate, *(member for member, _ in renewed))


def _old(trust: Trust, root: Certificate) -> tuple[PrivateKey, PrivateKey | None]:
    """The root's key, and the next one where a rotation was begun and not finished."""
    key, former = trust.key(ZONE, root.zone), trust.former(ZONE, root.zone)
    assert key is not None  # there is an authority
    if key.public == root.key:
        return key, None
    assert former is not None  # likewise
    return former, key


def _newest(trust: Trust, root: Certificate, now: int) -> list[Certificate]:
    """Of each member and key of the root's zone the newest certificate."""
    found: dict[bytes, Certificate] = {}
    for each in trust.directory.members(root.zone, now):
        known = found.get(each.key_id)
        if known is None or known.serial < each.serial:
            found[each.key_id] = each
    return list(found.values())
