"""An attested body: what a boundary makes of a batch of which its policy withholds or redacts something.

``[1, [proof, ...], inner]``, where `inner` is the body that is left, and each proof a `Proof`, outermost last. The batch's head
and its node's signature stay as they are. So what the node signed leads to what arrived: the header names the digest of the
first body, and each proof that of the body before it and the one after.

Only the form is checked here, and that the digests meet. Whose the proofs are, `tabard.brokers.policy.proving` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.wire.batch import ATTESTED, DATA, Batch, Header, decode_header
from tabard.brokers.wire.codec import pack, shown, unpack
from tabard.brokers.wire.credentials import MAX_CERTIFICATE, MAX_CERTIFICATES
from tabard.brokers.wire.streams import CONTROL
from tabard.digests import DIGEST_BYTES, digest
from tabard.errors import WireError
from tabard.records import MAX_BODY

ATTESTED_VERSION: Final = 1
MAX_PROOFS: Final = 16
"""Two for each of the zones on the longest way, and one."""
MAX_PROOF: Final = 24_576
"""Bytes of one proof."""
MAX_ALL_PROOFS: Final = 98_304
"""Bytes of all proofs of a body."""
MAX_DOCUMENT: Final = 16_384
"""Bytes of a policy."""
MAX_ATTESTED: Final = MAX_BODY + MAX_ALL_PROOFS + 128
"""Bytes of an attested body."""
WITHHELD: Final = "withheld"
"""The second of the three elements of a stub; its first is the sequence number, its last the policy's ID@NUMBER."""
_SIGNATURE: Final = 64


class Proof(NamedTuple):
    """One boundary's word."""

    document: bytes
    """The policy, signed by its zone's authority."""
    chain: tuple[bytes, ...]
    """Of the broker's key, from below the root down."""
    after: bytes
    """Digest of the body that it left."""
    signature: bytes
    """By the broker's key over `word`."""


class AttestedBody(NamedTuple):
    """An attested body taken apart."""

    proofs: tuple[Proof, ...]
    encoded: tuple[bytes, ...]
    """The same as they came."""
    inner: bytes

    def before(self, header: Header) -> Iterator[bytes]:
        """Digests of the bodies in front of each proof."""
        yield header.body_digest
        for proof in self.proofs[:-1]:
            yield proof.after


def is_attested(body: bytes) -> bool:
    """Whether a body claims to be attested."""
    return body[:2] == ATTESTED


def word(head: bytes, document: bytes, before: bytes, after: bytes) -> bytes:
    """What a boundary signs: by this policy, this batch's body became that one."""
    return digest(head) + digest(document) + before + after


def encode_proof(proof: Proof) -> bytes:
    """A proof as it travels. Raises WireError when it is too large."""
    encoded = pack((proof.document, list(proof.chain), proof.after, proof.signature))
    if len(encoded) > MAX_PROOF:
        raise WireError(
            "an attestation is too large", expected=f"at most {MAX_PROOF} bytes", found=f"{len(encoded)}"
        )
    return encoded


def encode_attested(proofs: Sequence[bytes], inner: bytes) -> bytes:
    """The body that carries encoded `proofs`, outermost last, and what is left of the records.

    Raises WireError when those are too many.
    """
    if len(proofs) > MAX_PROOFS or sum(map(len, proofs)) > MAX_ALL_PROOFS:
        raise WireError(
            "too many attestations",
            expected=f"at most {MAX_PROOFS}, of {MAX_ALL_PROOFS} bytes in all",
            found=f"{len(proofs)} of {sum(map(len, proofs))} bytes",
        )
    return pack((ATTESTED_VERSION, list(proofs), inner))


def decode_proof(encoded: Any) -> Proof:
    """Take a proof apart. Raises WireError."""
    value = unpack(encoded, limit=MAX_PROOF, items=16, maps=False) if type(encoded) is bytes else None
    if type(value) is not tuple or len(value) != len(Proof._fields):
        raise WireError(
            "not an attestation",
            expected="a policy, a chain, a digest and a signature",
            found=shown(value),
        )
    document, chain, after, signature = value
    wide = type(document) is bytes and len(document) <= MAX_DOCUMENT
    sized = ((after, DIGEST_BYTES), (signature, _SIGNATURE))
    if not wide or not all(type(item) is bytes and len(item) == size for item, size in sized):
        raise WireError(
            "a malformed attestation", expected="a policy, a digest and a signature", found=shown(value)
        )
    certified = type(chain) is tuple and all(
        type(each) is bytes and 0 < len(each) <= MAX_CERTIFICATE for each in chain
    )
    if not certified or not 1 <= len(chain) <= MAX_CERTIFICATES:
        raise WireError(
            "an attestation without a chain", expected=f"1 to {MAX_CERTIFICATES}", found=shown(chain)
        )
    return Proof(document, chain, after, signature)


def decode_attested(body: bytes) -> AttestedBody:
    """Take an attested body apart; that its proofs end at the body that it carries is checked here. Raises WireError."""
    value = unpack(body, limit=MAX_ATTESTED, items=16, maps=False)
    _version, encoded, inner = value if type(value) is tuple and len(value) == 3 else (0, (), b"")
    if type(encoded) is not tuple or not 1 <= len(encoded) <= MAX_PROOFS or type(inner) is not bytes:
        raise WireError(
            "not an attested body",
            expected=f"1 to {MAX_PROOFS} attestations and a body",
            found=shown(value),
        )
    if len(inner) > MAX_BODY:
        raise WireError(
            "a batch body is too large", expected=f"at most {MAX_BODY} bytes", found=f"{len(inner)} bytes"
        )
    proofs = tuple(map(decode_proof, encoded))
    if sum(map(len, encoded)) > MAX_ALL_PROOFS:
        raise WireError(
            "too many attestations", expected=f"at most {MAX_ALL_PROOFS} bytes", found=f"{len(body)} bytes"
        )
    found = AttestedBody(proofs, encoded, inner)
    if digest(inner) != found.proofs[-1].after:
        raise WireError(
            "an attested body that its attestation does not name",
            expected="the digest in the last attestation",
            found="another",
        )
    return found


def check_attested(head: bytes, signature: bytes, body: bytes) -> tuple[Batch, AttestedBody]:
    """Decode a received batch with an attested body and check its form, not a single signature. Raises WireError."""
    header = decode_header(head)
    if header.kind != DATA or header.stream == CONTROL:
        raise WireError(
            "an attested body where no policy reaches",
            expected="records of logs or samples",
            found=f"kind {header.kind} of stream {header.stream}",
        )
    return Batch(header, head, signature, body), decode_attested(body)


def stub(seq: int, policy: str) -> tuple[int, str, str]:
    """What stands in the place of a record that a policy withheld."""
    return (seq, WITHHELD, policy)


def is_stub(record: Any) -> bool:
    """Whether a record is a stub."""
    return (
        type(record) is tuple
        and len(record) == 3
        and record[1] == WITHHELD
        and type(record[0]) is int
        and type(record[2]) is str
    )


class Parted(NamedTuple):
    """The groups of an attested body without its stubs."""

    groups: tuple[Any, ...]
    seqs: tuple[int, ...]
    """Of the records that are there."""
    withheld: tuple[tuple[int, int, str], ...]
    """First sequence number, count and policy of what is not; neighbours under one policy are one."""


def part(groups: Iterable[Any], first: int, policies: Iterable[str]) -> Parted:
    """Take the stubs out of decoded groups; `first` is the header's. Raises WireError for a stub that is in another's place."""
    known = frozenset(policies)
    seqs: list[int] = []
    runs: list[tuple[int, int, str]] = []
    kept: list[Any] = []
    seq = first
    for source, mark, origin, records in groups:
        there = []
        for record in records:
            if not is_stub(record):
                there.append(record)
                seqs.append(seq)
            elif record[0] != seq or record[2] not in known:
                raise WireError(
                    "a stub that does not belong here",
                    expected=f"number {seq} and a policy of the attestations",
                    found=shown(record),
                )
            elif runs and runs[-1][2] == record[2] and sum(runs[-1][:2]) == seq:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, record[2])
            else:
                runs.append((seq, 1, record[2]))
            seq += 1
        if there:
            kept.append((source, mark, origin, tuple(there)))
    return Parted(tuple(kept), tuple(seqs), tuple(runs))
