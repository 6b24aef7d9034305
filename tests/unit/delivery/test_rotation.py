"""The first record of a new key is signed by the old one as well, and the store keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.delivery.seal import FORGED
from tabard.brokers.trust.certificates import read
from tabard.brokers.trust.keys import ROTATION, PrivateKey
from tabard.brokers.trust.seal import KeySeal
from tabard.brokers.wire.batch import Batch, is_epoch_of
from tabard.brokers.wire.credentials import decode_credentials
from tabard.brokers.wire.rotation import (
    Proof,
    Rotation,
    decode_proof,
    encode_proof,
    rotation_of,
    rotation_words,
)
from tabard.consumers.store.layout import RECORDS
from tabard.errors import WireError
from tests.unit.delivery.test_signed import Signed


class Rotated(Signed):
    """A node that gets another key in peace."""

    def __init__(self) -> None:
        super().__init__()
        assert isinstance(self.node_seal, KeySeal)
        self.old: PrivateKey = self.node_seal.pen._key
        self.new = self.trustees.key()
        self.journal.add(4)
        self.settle(5)

    def rotate(self, former: PrivateKey | None, *, lie: bool = False) -> bytes:
        """Go on under the new key; `lie`: with a word that the old key did not say."""
        seal, tip = self.node_seal, self.journal.spans()[-1]
        assert isinstance(seal, KeySeal)
        before = decode_credentials(seal.credentials)
        after = self.trustees.chain("node", "web1", "hq", self.new, ("main",))
        seal.renew(self.trustees.directory(), self.new, [after, *before], former)
        self.journal.pen = seal.pen
        epoch = seal.pen.epoch(self.journal.random.randbytes)
        word = seal.rotation(epoch, tip.epoch, tip.last, tip.digest)
        if lie and word is not None:
            word = word._replace(signature=self.new.sign(ROTATION, b"whatever"))
        self.journal.begin(epoch, reason="rotation", rotation=word and tuple(word))
        self.journal.add(2)
        self.node.speak(self.now)
        self.settle(20)
        return epoch

    def opening(self, epoch: bytes) -> Batch:
        """The first batch of an epoch."""
        return self.journal.batches[epoch][0]

    def kept(self, epoch: bytes) -> bytes | None:
        """What the store has of the word of the key before."""
        found = self.store.connection(RECORDS).execute(
            "SELECT proof FROM batch b JOIN epoch e ON e.id = b.epoch_id WHERE e.uid = ? AND b.kind = 1",
            (epoch,),
        )
        row: tuple[Any, ...] | None = found.fetchone()
        return row[0] if row else None


@pytest.mark.threat("rotated-key")
def test_both_keys_sign_the_first_record() -> None:
    """The new key its header, the old one what stands in it; anybody who has both certificates can verify it from the store."""
    ends = Rotated()
    first = ends.journal.spans()[-1]
    epoch = ends.rotate(ends.old)
    assert ends.ranges(epoch) == [(1, 3)]
    proof = decode_proof(ends.kept(epoch) or b"")
    assert proof.rotation is not None
    assert (proof.rotation.former, proof.rotation.key_id) == (
        ends.old.public.key_id,
        ends.new.public.key_id,
    )
    assert proof[1:] == (first.epoch, first.last, first.digest)
    words = rotation_words(ends.new.public.key_id, epoch, *proof[1:])
    assert ends.old.public.verifies(ROTATION, words, proof.rotation.signature)
    assert is_epoch_of(first.epoch, ends.old.public.key_id)
    assert ends.sink.counters["rotated"] == 1
    rows = ends.store.connection(RECORDS).execute("SELECT key_id, credentials FROM signer ORDER BY id")
    kept = {key_id: read(decode_credentials(body)[0][-1]).certificate.key for key_id, body in rows}
    assert kept == {key.public.key_id: key.public for key in (ends.old, ends.new)}


def test_an_old_key_that_was_lost_is_noted() -> None:
    """The authority's word is enough; that the old key had no say is stored."""
    ends = Rotated()
    epoch = ends.rotate(None)
    assert ends.ranges(epoch) == [(1, 3)]
    assert decode_proof(ends.kept(epoch) or b"").rotation is None
    assert ends.sink.counters["opened without a word of the key before"] == 1


@pytest.mark.threat("rotated-key")
def test_a_wrong_word_of_the_old_key_goes_to_quarantine() -> None:
    """It is counted, not believed, and holds nothing up."""
    ends = Rotated()
    epoch = ends.rotate(ends.old, lie=True)
    assert ends.kept(epoch) is None
    assert ends.sink.counters["wrong proofs of a rotation"] == 1
    reasons = ends.store.connection(RECORDS).execute("SELECT reason FROM quarantine WHERE first = 1")
    assert any(FORGED in reason for (reason,) in reasons)
    assert ends.ranges(epoch) == [(1, 3)]
    assert ends.node.delivered()


def test_a_revoked_key_says_nothing() -> None:
    """Whoever has it could say the same, so the node does not let it speak."""
    ends = Rotated()
    seal = ends.node_seal
    assert isinstance(seal, KeySeal)
    tip = ends.journal.spans()[-1]
    after = ends.trustees.chain("node", "web1", "hq", ends.new, ("main",))
    directory = ends.trustees.directory()
    directory.take(ends.trustees.chain("node", "web1", "hq", ends.old, ("main",)), ends.trustees.now)
    directory.take_roster(ends.trustees.revoke(ends.old.public.key_id), ends.trustees.now)
    seal.renew(directory, ends.new, [after], ends.old)
    assert seal.rotation(b"e" * 16, tip.epoch, tip.last, tip.digest) is None


def test_the_same_key_says_nothing() -> None:
    """Each start of an agent begins an epoch, and needs no word for it."""
    ends = Rotated()
    tip = ends.journal.spans()[-1]
    assert isinstance(ends.node_seal, KeySeal)
    assert ends.node_seal.rotation(b"e" * 16, tip.epoch, tip.last, tip.digest) is None
    assert ends.kept(tip.epoch) is None


@pytest.mark.parametrize(
    "value", [1, (), (b"x" * 16, b"y" * 16), (b"x", b"y" * 16, b"z" * 64), (b"x" * 16, b"y" * 16, "z" * 64)]
)
@pytest.mark.threat("malformed")
def test_a_malformed_word_is_refused(value: Any) -> None:
    """Its form is checked before anything is made of it."""
    with pytest.raises(WireError):
        rotation_of(value)


def test_what_a_store_keeps_is_read_back() -> None:
    """With and without a word of the old key; damage is an error."""
    for rotation in (None, Rotation(b"x" * 16, b"y" * 16, b"z" * 64)):
        proof = Proof(rotation, b"e" * 16, 7, b"d" * 32)
        assert decode_proof(encode_proof(proof)) == proof
    with pytest.raises(WireError):
        decode_proof(encode_proof(Proof(None, b"e" * 15, 7, b"d" * 32)))
    with pytest.raises(WireError):
        decode_proof(b"\x91\x01")
