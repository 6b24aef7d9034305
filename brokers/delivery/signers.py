"""Who signed what is stored: what a sink keeps beside the batches, so that they can be verified again by anybody who knows the root.

The header and signature of each batch are stored with it. What is missing then is the key: its certificates come with beacons,
and rosters list them only until some time after their end. So the credentials of a key are stored with the first batch of it that
is stored. And where an epoch is opened by another key than the one before it, what the old key said to that is kept with the
opening. An old key that cannot have said it makes the opening poison: it goes to quarantine, and is passed.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tabard.brokers.delivery.ports import Entry, NodeKey
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.wire.batch import is_epoch_of
from tabard.brokers.wire.body import Open
from tabard.brokers.wire.rotation import Proof, encode_proof
from tabard.digests import digest
from tabard.errors import WireError

MOST: Final = 20_000
"""Keys of which it is remembered that they are stored."""
_NAME: Final = 16
"""Bytes of the name under which credentials are kept: as many as the id of a key has."""


class Signers:
    """Of one sink; without a seal nothing is kept."""

    def __init__(self, seal: Seal | None, counters: Counter[str]) -> None:
        self._seal = seal
        self._counters = counters
        self._kept: set[bytes] = set()
        """By the names under which they are."""

    def again(self) -> None:
        """It is not known any more what is stored: keep all of them again."""
        self._kept.clear()

    def keep(self, entry: Entry) -> None:
        """Let the credentials of its key be stored with a batch, unless they were with an earlier one.

        Of a key that is not known those of the key that vouched for it are kept, under a name of their own: whose id the
        unknown key has may turn out to be anybody's.
        """
        key_id = entry.batch.header.key_id
        name = digest(entry.voucher)[:_NAME] if entry.voucher else key_id
        if self._seal is None or not key_id or name in self._kept:
            return
        entry.signer, entry.signer_id = entry.voucher or self._seal.chain_of(key_id), name
        if len(self._kept) >= MOST:
            self._kept.clear()
        if entry.signer:
            self._kept.add(name)

    def rotated(self, key: NodeKey, entry: Entry, info: Open) -> None:
        """Of an opening: keep what the old key said, if there was another one. Raises WireError when it cannot have said that."""
        header = entry.batch.header
        if self._seal is None or not header.key_id or info.previous is None:
            return
        if info.rotation is None and is_epoch_of(info.previous, header.key_id):
            return
        proof = Proof(info.rotation, info.previous, info.previous_last, info.previous_digest)
        why = self._seal.refuses_rotation(entry.batch, proof, key)
        if why:
            self._counters["wrong proofs of a rotation"] += 1
            raise WireError(
                "a wrong proof of a rotation", expected="the word of the key before it", found=why
            )
        entry.proof = encode_proof(proof)
        self._counters["rotated" if info.rotation else "opened without a word of the key before"] += 1
