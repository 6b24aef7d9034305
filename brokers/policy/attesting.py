"""A broker's word for what it changed: an attested body out of one that is plain, or was attested before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tabard.brokers.trust import keys
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.wire.attested import Proof, encode_attested, encode_proof, word
from tabard.digests import digest


class Attester(NamedTuple):
    """Who attests: the key of a broker, and its chain from below the root down."""

    key: PrivateKey
    chain: Sequence[bytes]

    def proof(self, head: bytes, policy: bytes, before: bytes, body: bytes) -> bytes:
        """The word that, by an encoded policy, the body with the digest `before` became `body`. Raises WireError."""
        after = digest(body)
        signature = self.key.sign(keys.ATTESTATION, word(head, policy, before, after))
        return encode_proof(Proof(policy, tuple(self.chain), after, signature))

    def attest(
        self, head: bytes, policy: bytes, before: bytes, body: bytes, earlier: Sequence[bytes] = ()
    ) -> bytes:
        """`body` with that word behind the `earlier` ones. Raises WireError when it is all too large."""
        return encode_attested([*earlier, self.proof(head, policy, before, body)], body)
