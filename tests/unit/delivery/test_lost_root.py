"""A root was lost: what waits in a journal under its certificates is stored by the word of the key that its node has now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tabard.brokers.delivery import seal as why
from tabard.brokers.delivery.seal import SIGNATURE_BYTES
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.seal import KeyPen, KeySeal
from tabard.brokers.trust.verifying import UNKNOWN, VERIFIED, VOUCHED, WRONG, Verifier
from tabard.brokers.wire.messages import Message
from tabard.consumers.store.layout import RECORDS
from tests.trustees import Trustees
from tests.unit.delivery.rig import NODE
from tests.unit.delivery.test_signed import quarantined
from tests.unit.delivery.test_withdrawn import Rekeyed


class Rerooted(Rekeyed):
    """A node with a backlog, and a sink with something of it stored, that both got a new root since."""

    def __init__(self, backlog: int = 3) -> None:
        super().__init__(backlog)
        self.trustees = Trustees(seed=9)
        self.new = self.trustees.key()

    def join(self) -> bytes:
        """Both ends pin the new root and have keys of it; the node opens an epoch of its own."""
        assert isinstance(self.node_seal, KeySeal)
        assert isinstance(self.sink_seal, KeySeal)
        chain = self.trustees.chain("node", "web1", "hq", self.new, ("main",))
        self.node_seal.renew(self.trustees.directory(), self.new, [chain], self.old)
        key = self.trustees.key()
        theirs = self.trustees.chain("recorder", "store1", "hq", key, ("main",))
        self.sink_seal.renew(self.trustees.directory(), key, [theirs])
        self.restart_sink()
        self.restart_node()
        return self.journal.rotate()

    def rows(self) -> list[tuple[int, bytes, bytes]]:
        """Epoch, header and signature of each batch that was taken; the bodies here are no log records, so most are in quarantine."""
        found = self.store.connection(RECORDS).execute(
            "SELECT epoch_id, header, signature FROM (SELECT epoch_id, first, header, signature FROM batch"
            " UNION ALL SELECT epoch_id, first, header, signature FROM quarantine) ORDER BY epoch_id, first"
        )
        return list(found)

    def forged(self, key: PrivateKey, *words: bytes) -> Message:
        """A batch behind what is stored, in the node's session, by some key and with some words, of which ``right`` is the node's own."""
        made = self.stolen(7, 4, self.journal.batches[self.first][1].digest, key)
        own = KeyPen(self.new).sign(made.head)
        return made._replace(
            signature=made.signature + b"".join(own if word == b"right" else word for word in words)
        )

    def meet(self) -> None:
        """Both are in a session; no batch was heard."""
        self.hear_beacons()


def test_what_waited_under_the_old_root_is_stored() -> None:
    """All of it, once, though nobody can verify what its key signed; and the node lets go of it."""
    ends = Rerooted()
    epoch = ends.join()
    ends.journal.add(2)
    ends.settle(20)
    assert ends.stored() == [(1, 18)]
    assert ends.ranges(epoch) == [(1, 3)]
    assert ends.node.delivered()
    assert not quarantined(ends)
    assert not ends.store.connection(RECORDS).execute("SELECT 1 FROM gap").fetchall()
    assert not ends.sink.counters[f"refused batch: {why.UNKNOWN}"]
    vouched = ends.sink.counters["batches of an unknown key, vouched for"]
    ends.settle(40)
    assert vouched == ends.sink.counters["batches of an unknown key, vouched for"] == 3


def test_an_epoch_of_which_nothing_is_stored_is_taken_from_its_opening_on() -> None:
    """Also to a sink that begins with the new root, and never heard of the old one."""
    ends = Rerooted()
    ends.store = type(ends.store).memory()
    ends.join()
    ends.settle(20)
    assert ends.stored() == [(1, 18)]
    assert ends.node.delivered()


def verified(ends: Rerooted, rows: Any) -> dict[str, int]:
    """What is counted by whoever knows the new root."""
    verifier = Verifier(ends.trustees.directory(), ends.trustees.now)
    kept = ends.store.connection(RECORDS).execute("SELECT credentials FROM signer")
    verifier.learn([body for (body,) in kept])
    for epoch, head, signature in rows:
        verifier.batch(NODE, (0, epoch), head, signature, b"")
    return dict(+verifier.counts[NODE])


def flipped(data: bytes) -> bytes:
    """The same but for its last bit."""
    return data[:-1] + bytes([data[-1] ^ 1])


def test_what_was_vouched_for_is_verified_again() -> None:
    """By the word, which is stored; what was stored under the old root itself is unknown."""
    ends = Rerooted()
    ends.join()
    ends.journal.add(2)
    ends.settle(20)
    rows = ends.rows()
    assert verified(ends, rows) == {UNKNOWN: 2, VOUCHED: 3, VERIFIED: 2}
    assert {len(signature) for _epoch, _head, signature in rows} == {SIGNATURE_BYTES, 2 * SIGNATURE_BYTES}
    altered = [(epoch, head, flipped(signature)) for epoch, head, signature in rows]
    assert verified(ends, altered)[WRONG] == 5
    other = [(epoch, flipped(head), signature) for epoch, head, signature in rows]
    assert verified(ends, other)[WRONG] == 5


@pytest.mark.threat("vouching")
@pytest.mark.parametrize(
    "word",
    [
        lambda ends: (),
        lambda ends: (b"x" * SIGNATURE_BYTES,),
        lambda ends: (KeyPen(ends.new).sign(b"another head"),),
        lambda ends: (KeyPen(ends.trustees.key()).sign(b""),),
    ],
)
def test_nobody_vouches_for_what_the_node_does_not_keep(
    word: Callable[[Rerooted], tuple[bytes, ...]],
) -> None:
    """Whoever has the key of the old root can certify one of the node's name there; that is nobody here."""
    ends = Rerooted()
    ends.join()
    ends.meet()
    ends.hear(ends.forged(ends.old, *word(ends)))
    assert ends.stored() == [(1, 6)]
    refused = ends.sink.counters[f"refused batch: {why.UNKNOWN}"]
    assert refused + ends.sink.counters["forged batch"] == 1
    ends.settle(20)
    assert ends.stored() == [(1, 18)]
    assert not quarantined(ends)


@pytest.mark.threat("vouching")
def test_another_node_vouches_for_nothing_here() -> None:
    """Its key signs for its own name, whatever root it has."""
    ends = Rerooted()
    ends.join()
    ends.meet()
    other = ends.trustees.node("web2")
    head = ends.forged(ends.old).head
    ends.hear(ends.forged(ends.old, other.pen.sign(head)))
    assert ends.sink.counters["forged batch"] == 1
    assert ends.stored() == [(1, 6)]


@pytest.mark.threat("vouching")
def test_no_key_but_its_own_writes_in_an_epoch() -> None:
    """Though the node vouched for it: then it would not be what the node keeps."""
    ends = Rerooted()
    ends.join()
    ends.meet()
    ends.hear(ends.forged(ends.trustees.key(), b"right"))
    assert ends.sink.counters[f"refused batch: {why.UNKNOWN}"] == 1
    assert ends.stored() == [(1, 6)]


@pytest.mark.threat("vouching")
def test_a_key_that_the_new_root_took_back_is_not_vouched_for() -> None:
    """It is set aside as what any revoked key signed: with an exact gap, and no record of it."""
    ends = Rerooted()
    ends.join()
    ends.revoke(ends.old.public.key_id)
    ends.settle(20)
    assert ends.stored() == [(1, 18)]
    assert [row[2] for row in quarantined(ends)] == ["revoked key"] * 3
    gaps = (
        ends.store.connection(RECORDS)
        .execute("SELECT first, last, count, at_least, reason FROM gap")
        .fetchall()
    )
    assert gaps == [(7, 18, 12, 0, "revoked key")]
    assert ends.node.delivered()


def signers(ends: Rerooted) -> list[bytes]:
    """Under which names credentials are kept."""
    return [name for (name,) in ends.store.connection(RECORDS).execute("SELECT key_id FROM signer")]


@pytest.mark.threat("vouching")
def test_what_is_kept_of_who_vouched_takes_no_place_of_a_key() -> None:
    """A node may name the key of another one that is not known yet: what that one's own certificates are is kept all the same."""
    ends = Rerooted()
    ends.store = type(ends.store).memory()
    ends.join()
    ends.settle(20)
    old = ends.old.public.key_id
    assert old not in signers(ends)
    seal = ends.sink_seal
    assert isinstance(seal, KeySeal)
    seal._directory.take(ends.trustees.chain("node", "web1", "hq", ends.old, ("main",)), ends.trustees.now)
    seal.forget()
    ends.journal.pen = KeyPen(ends.old)
    ends.journal.begin(ends.journal.pen.epoch(ends.journal.random.randbytes))
    ends.journal.add(2)
    ends.settle(20)
    assert ends.node.delivered()
    assert old in signers(ends)


@pytest.mark.parametrize("known", [False, True])
def test_a_roster_ends_no_session_for_what_was_vouched_for(known: bool) -> None:
    """Neither one that says nothing of its key, nor one that makes it known; but one that takes back who vouched does."""
    ends = Rerooted()
    ends.join()
    ends.meet()
    for message in ends.node.outgoing(ends.now, ends.wall):
        ends.sink.receive(ends.now, ends.wall, message)
    seal = ends.sink_seal
    assert isinstance(seal, KeySeal)
    if known:
        seal._directory.take(
            ends.trustees.chain("node", "web1", "hq", ends.old, ("main",)), ends.trustees.now
        )
        seal.forget()
    ends.sink.recheck(ends.now)
    assert ends.sink.attached(NODE) and ends.sink.pending_records
    ends.revoke(ends.new.public.key_id)
    books = (book for of in ends.sink._nodes[NODE].streams.values() for book in of.books())
    vouched = [entry for book in books for entry in book.entries if entry.voucher]
    assert vouched
    assert {ends.sink.admission._doubts(entry, NODE) for entry in vouched} == {not known}
