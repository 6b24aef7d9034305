"""Verifying again what was stored: each header and signature by the certificates that lead to the pinned root. Pure.

Nothing rests on what a recorder believed at its time. Records are not looked at: a header names the digest of its batch's body, and the
store keeps rows. What a key signed before it was revoked counts apart, since nobody can say when that was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.seal import parted
from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import NODE, Certificate, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import ROTATION, WIRE
from tabard.brokers.trust.seal import when_it_held
from tabard.brokers.wire.batch import GAP, NO_DIGEST, Header, decode_header, is_epoch_of
from tabard.brokers.wire.credentials import decode_credentials
from tabard.brokers.wire.rotation import decode_proof, rotation_words
from tabard.digests import digest
from tabard.errors import TrustError, WireError

VERIFIED: Final = "verified"
UNSIGNED: Final = "unsigned"
REVOKED: Final = "revoked"
UNKNOWN: Final = "unknown"
WRONG: Final = "wrong"
"""Signed by nobody who may have, or in another key's epoch; or damaged."""
BROKEN: Final = "broken"
"""It does not follow the batch before it."""
BOTH: Final = "both"
"""Openings by another key than the epoch before, with the old key's word."""
ALONE: Final = "alone"
"""Likewise, without it."""
VOUCHED: Final = "vouched"
"""Signed by a key that nobody knows, and by one of its node that leads to the root as well: of a time under a root that was lost."""
COUNTS: Final = (VERIFIED, VOUCHED, UNSIGNED, REVOKED, UNKNOWN, WRONG, BROKEN, BOTH, ALONE)


class Verifier:
    """Goes through batches in the order of their epochs; `counts` is by node."""

    def __init__(self, directory: Directory, now: int) -> None:
        self.counts: dict[NodeKey, Counter[str]] = {}
        self._directory = directory
        self._now = now
        self._before: tuple[tuple[int, int], int, bytes] | None = None
        self._by_node: dict[NodeKey, list[Certificate]] = {}
        """What is known of each node, whether it holds or not; looked up for what names no key, or one that is not known."""

    def learn(self, credentials: Iterable[bytes]) -> None:
        """Take in the certificates that a store keeps; those that do not lead to the root teach nothing."""
        self._by_node.clear()
        for body in credentials:
            with suppress(WireError, TrustError):
                for chain in decode_credentials(body):
                    self._directory.take(chain, when_it_held(read(chain[-1]).certificate, self._now))

    def batch(
        self, node: NodeKey, epoch: tuple[int, int], head: bytes, signature: bytes, proof: bytes
    ) -> str:
        """Count a batch of `node`; `epoch` tells one history from others. What is said of it."""
        counts = self.counts.setdefault(node, Counter())
        try:
            header = decode_header(head)
            said = self._judge(node, header, head, signature)
            if proof and said == VERIFIED:
                said = self._rotated(node, header, proof, counts)
        except WireError:
            counts[WRONG] += 1
            self._before = None
            return WRONG
        if not self._follows(epoch, header):
            counts[BROKEN] += 1
        self._before = epoch, header.last, digest(head)
        counts[said] += 1
        return said

    def _follows(self, epoch: tuple[int, int], header: Header) -> bool:
        if self._before is None or self._before[:2] != (epoch, header.first - 1):
            return True  # what was between is not there, or is a gap
        return header.previous in (NO_DIGEST, self._before[2])

    def _judge(self, node: NodeKey, header: Header, head: bytes, signature: bytes) -> str:
        if not signature:
            return UNSIGNED
        if not header.key_id:  # signed when it was sent, by a key that its node had then
            return self._unnamed(node, header, head, signature)
        certificate = self._directory.by_key(header.key_id)
        signature, word = parted(signature)
        if certificate is None:
            return self._vouched(node, header, head, word)
        if certificate.role != NODE or not _of(certificate, node):
            return WRONG
        if header.kind != GAP and not is_epoch_of(header.epoch, header.key_id):
            return WRONG
        if not certificate.key.verifies(WIRE, head, signature):
            return WRONG
        return self._standing(certificate)

    def _unnamed(self, node: NodeKey, header: Header, head: bytes, signature: bytes) -> str:
        """By which of the node's keys: a header that names none is no way round the revocation of one, nor into its epochs."""
        mine = self._of_node(node)
        if header.kind != GAP and any(is_epoch_of(header.epoch, each.key_id) for each in mine):
            return WRONG
        said = {self._standing(each) for each in mine if each.key.verifies(WIRE, head, signature)}
        return next((word for word in (VERIFIED, REVOKED) if word in said), UNKNOWN)

    def _vouched(self, node: NodeKey, header: Header, head: bytes, word: bytes) -> str:
        """Of a key that is not known: whether a key of its node said that it keeps this very batch."""
        if not word:
            return UNKNOWN
        said = {self._standing(each) for each in self._of_node(node) if each.key.verifies(WIRE, head, word)}
        if not said or header.kind == GAP or not is_epoch_of(header.epoch, header.key_id):
            return WRONG
        if self._directory.revoked(header.key_id) is not None:
            return REVOKED
        return VOUCHED if VERIFIED in said else next(each for each in (REVOKED, UNKNOWN) if each in said)

    def _of_node(self, node: NodeKey) -> Sequence[Certificate]:
        """The certificates of a node's keys."""
        if not self._by_node:
            for each in self._directory.every():
                if each.role == NODE:
                    self._by_node.setdefault(NodeKey(each.name, each.zone), []).append(each)
        return self._by_node.get(node, ())

    def _standing(self, certificate: Certificate) -> str:
        try:
            self._directory.check(certificate, when_it_held(certificate, self._now))
        except TrustError as error:
            return REVOKED if error.reason in {reasons.REVOKED, reasons.REMOVED} else UNKNOWN
        return VERIFIED

    def _rotated(self, node: NodeKey, header: Header, encoded: bytes, counts: Counter[str]) -> str:
        proof = decode_proof(encoded)
        rotation = proof.rotation
        if rotation is None:
            counts[ALONE] += 1
            return VERIFIED
        former = self._directory.by_key(rotation.former)
        if former is None:
            counts[ALONE] += 1  # whoever it was
            return VERIFIED
        words = rotation_words(header.key_id, header.epoch, *proof[1:])
        if former.role != NODE or not _of(former, node):
            return WRONG
        if not former.key.verifies(ROTATION, words, rotation.signature):
            return WRONG
        counts[BOTH] += 1
        return VERIFIED


def _of(certificate: Certificate, node: NodeKey) -> bool:
    return (certificate.name, certificate.zone) == (node.node, node.zone)
