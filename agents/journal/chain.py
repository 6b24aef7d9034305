"""Whether what a journal holds is what its node wrote: each batch by its signature and by the one before it. Pure.

A journal is judged as it lies there, also one that no agent will open again: nothing is mended, and no recorder is asked. What stands
in it in place of records (a gap) names no key and is signed only when it is sent, so it proves nothing; it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tabard.agents.journal.gaps import chain_digest
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.verifying import REVOKED, UNKNOWN, UNSIGNED, VERIFIED, WRONG, Verifier
from tabard.brokers.wire.batch import DATA, GAP, NO_DIGEST, OPEN, Batch, Header
from tabard.brokers.wire.body import Open, decode_gap, decode_open
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.rotation import Proof, encode_proof
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.errors import WireError

DAMAGED: Final = "damaged"
"""Bytes that are not what was written."""
MISSING: Final = "missing"
"""Neither there nor said to be lost."""
BROKEN: Final = "broken"
"""It does not follow what stands before it."""
CUT: Final = "cut"
"""It ends before what is noted beside it."""
UNFINISHED: Final = "unfinished"
"""The beginning of a frame at the very end: its writer died in it, and nobody was told of it; or it was cut there."""
_HERE: Final = (0, 0)
"""Where a verifier is told that a batch stands: whether it follows the one before it is judged here."""
FAULTS: Final = (DAMAGED, MISSING, BROKEN, CUT, WRONG)


class Finding(NamedTuple):
    """Something that is not as it was written."""

    stream: int
    epoch: bytes
    """Empty where that is not known."""
    first: int | None
    last: int | None
    what: str
    detail: str


@dataclass(slots=True)
class EpochFacts:
    """What was read of one epoch."""

    node: NodeKey | None = None
    """Whose it is by its opening, else by the certificate of its key."""
    keys: list[bytes] = field(default_factory=list)
    """Ids of the keys that its batches name."""
    first: int = 0
    last: int = 0
    digest: bytes = NO_DIGEST
    """Digest after `last`, `NO_DIGEST` when unknown."""
    batches: int = 0
    records: int = 0
    gaps: int = 0
    lost: int = 0
    """Records that gaps stand for."""
    said: Counter[str] = field(default_factory=Counter)
    """Batches by what is said of their signatures."""


class Chain:
    """Takes the batches of one stream in the order in which they lie there."""

    def __init__(self, stream: int, directory: Directory | None, now: int) -> None:
        """`directory` has the certificates to go by, None for a home without keys; `now` is in nanoseconds."""
        self.stream = stream
        self.epochs: dict[bytes, EpochFacts] = {}
        """By name, in the order of their first appearance."""
        self.findings: list[Finding] = []
        self._directory = directory
        self._verifier = None if directory is None else Verifier(directory, now)

    def find(self, epoch: bytes, first: int | None, last: int | None, what: str, detail: str) -> None:
        """Note what is wrong."""
        self.findings.append(Finding(self.stream, epoch, first, last, what, detail))

    def batch(self, batch: Batch) -> None:
        """The next one; its body is the one that its header names."""
        header = batch.header
        if header.stream != self.stream:
            found, meant = STREAM_NAMES[header.stream], STREAM_NAMES[self.stream]
            self.find(header.epoch, header.first, header.last, WRONG, f"of the stream {found}, not {meant}")
            return
        facts = self.epochs.get(header.epoch)
        if facts is not None and header.first <= facts.last:
            self.find(header.epoch, header.first, header.last, BROKEN, "these numbers are there already")
            return
        opened = self._opened(batch)
        if facts is None:
            facts = self._begin(header, opened)
        elif header.first > facts.last + 1:
            self.find(header.epoch, facts.last + 1, header.first - 1, MISSING, "nothing stands for them")
        elif NO_DIGEST not in (facts.digest, header.previous) and header.previous != facts.digest:
            self.find(header.epoch, header.first, header.last, BROKEN, "it names another one before it")
        facts.last, facts.digest = header.last, chain_digest(batch)
        self._count(facts, batch, opened)

    def ruined(self, epoch: bytes, first: int, last: int, digest: bytes, detail: str) -> None:
        """What stood there next cannot be read; `digest` is what is known of it, else `NO_DIGEST`."""
        self.find(epoch, first, last, DAMAGED, detail)
        facts = self.epochs.get(epoch)
        if facts is None:
            facts = self.epochs[epoch] = EpochFacts(first=first, last=first - 1)
        if first <= facts.last + 1 and last > facts.last:
            facts.last, facts.digest = last, digest

    def ends(self, epoch: bytes, last: int, digest: bytes, *, what: str, says: str) -> None:
        """Something beside its batches says where `epoch` ended at least, or ended altogether (`what` is missing else)."""
        facts = self.epochs.get(epoch)
        if facts is None:
            if last >= 1:
                self.find(epoch, 1, last, what, f"the whole epoch, by {says}")
                self.epochs[epoch] = EpochFacts(first=1, last=last, digest=digest)
            return
        if facts.last < last:
            self.find(epoch, facts.last + 1, last, what, f"by {says}")
            facts.last, facts.digest = last, digest
        elif facts.last == last and NO_DIGEST not in (digest, facts.digest) and digest != facts.digest:
            self.find(epoch, last, last, BROKEN, f"another one, by {says}")
            facts.digest = digest

    def _opened(self, batch: Batch) -> Open | None:
        if batch.header.kind != OPEN:
            return None
        try:
            return decode_open(batch.body)
        except WireError as error:
            header = batch.header
            self.find(header.epoch, header.first, header.last, DAMAGED, f"an opening that is none: {error}")
            return None

    def _begin(self, header: Header, opened: Open | None) -> EpochFacts:
        if opened is not None and opened.previous and self.epochs:
            says = "the opening of the epoch after it"
            self.ends(opened.previous, opened.previous_last, opened.previous_digest, what=MISSING, says=says)
        if header.first > 1 and self.epochs:  # only the oldest of all is let go of from its beginning
            self.find(header.epoch, 1, header.first - 1, MISSING, "nothing stands for them")
        facts = self.epochs[header.epoch] = EpochFacts(first=header.first)
        return facts

    def _count(self, facts: EpochFacts, batch: Batch, opened: Open | None) -> None:
        header = batch.header
        facts.batches += 1
        if header.kind == GAP:
            facts.gaps += 1
            with suppress(WireError):
                facts.lost += decode_gap(batch.body).count
            return
        facts.records += header.count if header.kind == DATA else 0
        if header.key_id and header.key_id not in facts.keys:
            facts.keys.append(header.key_id)
        facts.node = facts.node or self._node(batch)
        said = self._said(facts.node, batch, opened)
        facts.said[said] += 1
        if said == WRONG:
            detail = "signed by nobody who may have, or altered"
            self.find(header.epoch, header.first, header.last, WRONG, detail)

    def _node(self, batch: Batch) -> NodeKey | None:
        if batch.header.kind == OPEN:
            with suppress(WireError):
                said = unpack(batch.body)
                if isinstance(said, dict) and isinstance(said.get("node"), str):
                    return NodeKey(said["node"], str(said.get("zone", "")))
        certificate = self._directory.by_key(batch.header.key_id) if self._directory else None
        return NodeKey(certificate.name, certificate.zone) if certificate else None

    def _said(self, node: NodeKey | None, batch: Batch, opened: Open | None) -> str:
        header = batch.header
        if not batch.signature:
            return WRONG if header.key_id else UNSIGNED  # who names a key signs
        if self._verifier is None:
            return UNKNOWN
        proof = b""
        if opened is not None and opened.rotation is not None and opened.previous is not None:
            words = (opened.previous, opened.previous_last, opened.previous_digest)
            proof = encode_proof(Proof(opened.rotation, *words))
        return self._verifier.batch(node or NodeKey("", ""), _HERE, batch.head, batch.signature, proof)


def worst(said: Counter[str]) -> str:
    """The one word for an epoch; empty when nothing in it is to be signed."""
    return next((word for word in (WRONG, UNKNOWN, UNSIGNED, REVOKED, VERIFIED) if said[word]), "")


def in_order(chains: list[Chain]) -> Iterator[tuple[int, bytes, EpochFacts]]:
    """Every epoch of some streams, as they lie there."""
    for chain in chains:
        for epoch, facts in chain.epochs.items():
            yield chain.stream, epoch, facts
