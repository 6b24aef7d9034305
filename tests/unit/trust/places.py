"""Authorities to test with: a root `hq` with the zones `hq/dmz` and `hq/office`, all keys made of numbers."""

from __future__ import annotations

from typing import Final

from tabard.brokers.trust.authority import Authority, Wanted, certify_root
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import PrivateKey

NOW: Final = 1_800_000_000_000_000_000
DAY: Final = 86_400_000_000_000


def key(number: int) -> PrivateKey:
    """A key that is the same in every run."""
    return PrivateKey.from_seed(bytes([number]) * 32)


class Tree:
    """What the authorities of three zones have; `fresh` is a directory that pins the root and knows nothing else."""

    def __init__(self) -> None:
        self.root = certify_root("hq", key(1), NOW)
        self.directory = Directory(self.root, NOW)
        self.hq = Authority(self.directory.root, key(1), self.directory)
        self.dmz_chain, self.dmz = self.child("dmz", 2)
        self.office_chain, self.office = self.child("office", 3)

    def child(self, name: str, number: int) -> tuple[tuple[bytes, ...], Authority]:
        """A zone right below the root, and its authority."""
        path = f"hq/{name}"
        _, encoded = self.hq.certify(Wanted("zone", path, path), key(number), NOW)
        certificate = self.directory.take([encoded], NOW)
        return (encoded,), Authority(certificate, key(number), self.directory)

    def fresh(self) -> Directory:
        """A directory elsewhere."""
        return Directory(self.root, NOW)

    def node(
        self, name: str = "web1", number: int = 9, now: int = NOW
    ) -> tuple[Certificate, tuple[bytes, ...]]:
        """A node of `hq/dmz`, and its chain."""
        certificate, encoded = self.dmz.certify(Wanted("node", name, "hq/dmz", ("main",)), key(number), now)
        return certificate, (*self.dmz_chain, encoded)
