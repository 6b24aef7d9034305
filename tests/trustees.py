"""A small world of keys: a root zone, zones below it, and seals of whoever lives there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from tabard.brokers.policy import document
from tabard.brokers.policy.attesting import Attester
from tabard.brokers.policy.document import Policy
from tabard.brokers.trust.certificates import BROKER, NODE, RECORDER, ZONE, Certificate, issue
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.rosters import Revocation, Roster, sign
from tabard.brokers.trust.seal import KeySeal
from tabard.brokers.wire.credentials import Chain

YEAR = 365 * 86_400 * 1_000_000_000
NOON = 1_700_000_000_000_000_000


class Trustees:
    """Authorities by zone path, and the certificates they gave."""

    def __init__(self, seed: int = 0, root: str = "hq", now: int = NOON) -> None:
        self._random = Random(seed)
        self._serial = count(1)
        self._versions = count(1)
        self._revoked: list[Revocation] = []
        self.now = now
        self.zones: dict[str, PrivateKey] = {}
        self.chains: dict[str, Chain] = {}
        self.root = self._root(root)

    def key(self) -> PrivateKey:
        """A new one."""
        return PrivateKey.from_seed(self._random.randbytes(32))

    def _root(self, path: str) -> bytes:
        key = self.zones[path] = self.key()
        self.chains[path] = ()
        return issue(self.certificate(ZONE, path, path, key, key), key)

    def zone(self, path: str) -> PrivateKey:
        """The authority of a zone below the root."""
        if path not in self.zones:
            above = path.rpartition("/")[0]
            self.zone(above)
            key = self.zones[path] = self.key()
            name = path.rpartition("/")[2]
            said = self.certificate(ZONE, name, path, key, self.zones[above])
            self.chains[path] = (*self.chains[above], issue(said, self.zones[above], key))
        return self.zones[path]

    def certificate(
        self,
        role: str,
        name: str,
        zone: str,
        key: PrivateKey,
        authority: PrivateKey,
        sinks: tuple[str, ...] = (),
        until: int = YEAR,
    ) -> Certificate:
        """What an authority says of a key."""
        since, ends = self.now - YEAR, self.now + until
        issuer = authority.public.key_id
        return Certificate(role, name, zone, key.public, issuer, next(self._serial), since, ends, sinks)

    def chain(
        self, role: str, name: str, zone: str, key: PrivateKey, sinks: tuple[str, ...], until: int = YEAR
    ) -> Chain:
        """The chain of a host's key, newly certified."""
        authority = self.zone(zone)
        said = self.certificate(role, name, zone, key, authority, sinks, until)
        return (*self.chains[zone], issue(said, authority, key))

    def directory(self) -> Directory:
        """One that knows the root and nothing else."""
        return Directory(self.root, self.now)

    def seal(
        self,
        role: str,
        name: str,
        zone: str,
        sinks: tuple[str, ...] = ("main",),
        *,
        key: PrivateKey | None = None,
        wall: Callable[[], int] | None = None,
        until: int = YEAR,
    ) -> KeySeal:
        """The seal of a host of its own."""
        key = key or self.key()
        chain = self.chain(role, name, zone, key, sinks, until)
        return KeySeal(self.directory(), key, [chain], wall or (lambda: self.now))

    def node(self, name: str = "web1", zone: str = "hq", sinks: tuple[str, ...] = ("main",)) -> KeySeal:
        """The seal of a node."""
        return self.seal(NODE, name, zone, sinks)

    def recorder(self, sink: str = "main", zone: str = "hq") -> KeySeal:
        """The seal of a recorder."""
        return self.seal(RECORDER, "store1", zone, (sink,))

    def broker(self, name: str = "b1", zone: str = "hq", key: PrivateKey | None = None) -> Attester:
        """A broker of a zone, as it attests."""
        key = key or self.key()
        return Attester(key, self.chain(BROKER, name, zone, key, ()))

    def policy(self, id: str = "edge", number: int = 1, zone: str = "hq", **said: Any) -> bytes:  # noqa: A002
        """A policy of a zone, for its link upwards where nothing else is said."""
        return document.sign(Policy(id, number, zone, **{"below": zone, **said}), self.zone(zone))

    def revoke(self, key: bytes, zone: str = "hq", members: tuple[bytes, ...] = ()) -> bytes:
        """A roster of `zone` that takes a key back, by its id, beside those before it."""
        authority = self.zone(zone)
        self._revoked.append(Revocation(key, self.now, "lost"))
        version, issuer = next(self._versions), authority.public.key_id
        return sign(Roster(zone, version, issuer, self.now, members, tuple(self._revoked)), authority)
