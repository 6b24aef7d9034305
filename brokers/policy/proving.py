"""Whether a body was changed on its way by who may: the proofs of an attested body, verified up to the pinned root.

Each proof names a policy and the chain of a broker. It holds if

* the chain leads from the root to a certificate of a *broker* of a zone, which holds now;
* the policy is of that zone, and signed by a key of its authority, which holds now;
* node, link and sink lie on one way: the node within `below` of the policy, that within the zone, and the zone within that of whoever asks;
* the broker signed for this head, this policy and the bodies before and after; and those meet from the header's to the one that came.

So a broker changes only what comes out of its own zone, only under a word of its authority, and nobody below can be named for it.
What the policy would have let pass nobody above can see: for that the broker is trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from tabard.brokers.delivery import seal as why
from tabard.brokers.delivery.ports import Attested, NodeKey
from tabard.brokers.policy import document
from tabard.brokers.policy.document import Policy
from tabard.brokers.trust import keys, reasons
from tabard.brokers.trust.certificates import BROKER, ZONE, Certificate, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.wire.attested import AttestedBody, Proof, word
from tabard.brokers.wire.batch import Batch
from tabard.digests import digest
from tabard.errors import TrustError
from tabard.names import zone_within

MOST_KNOWN: Final = 1_024
"""Policies and chains that are remembered."""
LOOK_AGAIN: Final = 1_000_000_000
"""Nanoseconds for which they are not looked at again."""
_WORDS: Final = {
    reasons.EXPIRED: why.EXPIRED,
    reasons.EARLY: why.EXPIRED,
    reasons.REVOKED: why.REVOKED,
    reasons.REMOVED: why.REVOKED,
}


class _Known(NamedTuple):
    """A policy and a broker that may apply it."""

    until: int
    policy: Policy
    broker: Certificate


class Proving:
    """Of one directory; `zone` is that of whoever asks. `wall` is nanoseconds since 1970."""

    def __init__(self, directory: Directory, zone: str, wall: Callable[[], int]) -> None:
        self._directory = directory
        self._zone = zone
        self._wall = wall
        self._known: dict[bytes, _Known] = {}

    def forget(self) -> None:
        """Something was taken into the directory, or out of it."""
        self._known.clear()

    def attested(self, batch: Batch, body: AttestedBody, node: NodeKey) -> str | tuple[Attested, ...]:
        """By whom a body was changed, outermost last; or why nobody may have."""
        found: list[Attested] = []
        for proof, encoded, before in zip(body.proofs, body.encoded, body.before(batch.header), strict=True):
            known = self._look_up(proof)
            if isinstance(known, str):
                return known
            policy, broker = known.policy, known.broker
            on_the_way = zone_within(node.zone, policy.below) and zone_within(policy.zone, self._zone)
            if not on_the_way:
                return why.BESIDE
            said = word(batch.head, proof.document, before, proof.after)
            if not broker.key.verifies(keys.ATTESTATION, said, proof.signature):
                return why.ALTERED
            found.append(Attested(policy.zone, policy.name, broker.name, proof.document, encoded))
        return tuple(found)

    def _look_up(self, proof: Proof) -> _Known | str:
        name, now = digest(proof.document + b"".join(map(digest, proof.chain))), self._wall()
        known = self._known.get(name)
        if known is not None and 0 <= known.until - now <= LOOK_AGAIN:
            return known
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        try:
            looked = self._look(proof, now)
        except TrustError as error:
            return _WORDS.get(error.reason, why.UNPROVEN)
        if not isinstance(looked, str):
            self._known[name] = looked
        return looked

    def _look(self, proof: Proof, now: int) -> _Known | str:
        """Raises TrustError for a chain that does not hold."""
        last = read(proof.chain[-1]).certificate
        broker = self._directory.take(proof.chain, max(now, last.since))
        if broker.role != BROKER:
            return why.FOREIGN
        try:
            found = document.read(proof.document)
        except TrustError:
            return why.LAWLESS
        if found.policy.zone != broker.zone or found.policy.ended:
            return why.LAWLESS
        authority = self._directory.by_key(found.policy.issuer)
        if authority is None or (authority.role, authority.zone) != (ZONE, broker.zone):
            return why.LAWLESS
        if not document.verify(found, authority.key):
            return why.LAWLESS
        self._directory.check(authority, max(now, authority.since))
        return _Known(now + LOOK_AGAIN, found.policy, broker)
