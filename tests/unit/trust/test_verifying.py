"""What was stored is verified again by the root and the certificates that the store keeps, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tabard.brokers.trust.keys import WIRE
from tabard.brokers.trust.verifying import ALONE, BOTH, BROKEN, REVOKED, UNKNOWN, UNSIGNED, VERIFIED, WRONG
from tabard.brokers.trust.verifying import Verifier as Verifying
from tabard.brokers.wire.batch import decode_header, encode_header
from tabard.consumers.store.layout import RECORDS
from tests.unit.delivery.rig import NODE
from tests.unit.delivery.test_rotation import Rotated

Row = tuple[int, bytes, bytes, bytes]


def rows(ends: Rotated) -> list[Row]:
    """Epoch, header, signature and proof of all that is stored, in order."""
    found = ends.store.connection(RECORDS).execute(
        "SELECT epoch_id, header, signature, proof FROM batch ORDER BY epoch_id, first"
    )
    return [(epoch, head, signature, proof or b"") for epoch, head, signature, proof in found]


def verified(ends: Rotated, batches: Iterable[Row], *, learn: bool = True) -> dict[str, int]:
    """What is counted, without what is zero."""
    verifier = Verifying(ends.trustees.directory(), ends.trustees.now)
    if learn:
        kept = ends.store.connection(RECORDS).execute("SELECT credentials FROM signer")
        verifier.learn([body for (body,) in kept])
    for epoch, head, signature, proof in batches:
        verifier.batch(NODE, (0, epoch), head, signature, proof)
    return dict(+verifier.counts[NODE])


@pytest.fixture
def ends() -> Rotated:
    """A node whose key was replaced in peace, with something stored under both."""
    made = Rotated()
    made.rotate(made.old)
    return made


def test_all_of_it_is_verified_by_a_home_that_knows_the_root_alone(ends: Rotated) -> None:
    """The store keeps what is needed, the word of the old key as well."""
    found = rows(ends)
    assert len(found) >= 2
    assert verified(ends, found) == {VERIFIED: len(found), BOTH: 1}


def test_without_certificates_nothing_is_known(ends: Rotated) -> None:
    """A key that nobody certified proves nothing."""
    found = rows(ends)
    assert verified(ends, found, learn=False) == {UNKNOWN: len(found)}


def flipped(data: bytes) -> bytes:
    """The same but for its last bit."""
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "alter",
    [
        lambda row: (row[0], flipped(row[1]), *row[2:]),
        lambda row: (*row[:2], flipped(row[2]), row[3]),
        lambda row: (row[0], b"\xc1", *row[2:]),
    ],
)
def test_what_was_altered_in_the_store_is_wrong(ends: Rotated, alter: Callable[[Row], Any]) -> None:
    """Header or signature: somebody who can write the store cannot sign."""
    *before, last = rows(ends)
    assert verified(ends, [*before, alter(last)])[WRONG] == 1


def test_a_proof_of_another_epoch_is_wrong(ends: Rotated) -> None:
    """The old key's word is for one epoch."""
    found = rows(ends)
    place = next(at for at, row in enumerate(found) if row[3])
    epoch, head, signature, proof = found[place]
    found[place] = (epoch, head, signature, flipped(proof))
    assert verified(ends, found)[WRONG] == 1


def test_a_batch_that_does_not_follow_is_said(ends: Rotated) -> None:
    """Also one that the node signed: what was between was taken out, or made anew."""
    epoch, pen = ends.journal.spans()[-1].epoch, ends.journal.pen
    opening, data = ends.journal.batches[epoch][:2]
    head = encode_header(data.header._replace(previous=b"x" * 32))
    found = [(1, opening.head, opening.signature, b""), (1, head, pen.sign(head), b"")]
    assert verified(ends, found) == {VERIFIED: 2, BROKEN: 1}


def test_what_is_unsigned_and_what_a_revoked_key_signed_count_apart(ends: Rotated) -> None:
    """Nobody can say when a key came into other hands."""
    found = rows(ends)
    verifier = Verifying(ends.trustees.directory(), ends.trustees.now)
    verifier.learn(
        [body for (body,) in ends.store.connection(RECORDS).execute("SELECT credentials FROM signer")]
    )
    verifier._directory.take_roster(ends.trustees.revoke(ends.old.public.key_id), ends.trustees.now)
    for epoch, head, signature, proof in found:
        verifier.batch(NODE, (0, epoch), head, signature, proof)
    verifier.batch(NODE, (9, 9), found[0][1], b"", b"")
    counts = verifier.counts[NODE]
    assert counts[REVOKED] and counts[UNSIGNED] == 1 and not counts[WRONG]


def test_a_lost_old_key_counts() -> None:
    """The first record of the new one stands alone."""
    ends = Rotated()
    ends.rotate(None)
    assert verified(ends, rows(ends))[ALONE] == 1


@pytest.mark.parametrize("revoked", [False, True])
def test_a_header_that_names_no_key_is_judged_by_the_key_that_signed_it(ends: Rotated, revoked: bool) -> None:
    """Leaving out the name of a key does not undo its revocation, and opens no epoch of a key."""
    verifier = Verifying(ends.trustees.directory(), ends.trustees.now)
    kept = ends.store.connection(RECORDS).execute("SELECT credentials FROM signer")
    verifier.learn([body for (body,) in kept])
    if revoked:
        verifier._directory.take_roster(ends.trustees.revoke(ends.old.public.key_id), ends.trustees.now)
    header = decode_header(rows(ends)[0][1])
    for epoch, expected in ((bytes(16), REVOKED if revoked else VERIFIED), (header.epoch, WRONG)):
        head = encode_header(header._replace(key_id=b"", epoch=epoch))
        assert verifier.batch(NODE, (0, 1), head, ends.old.sign(WIRE, head), b"") == expected
