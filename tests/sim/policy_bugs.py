"""Seeded bugs of boundaries, policies and of the sink that believes them: each must be caught by the simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tabard.brokers.delivery import admission as admission_module
from tabard.brokers.delivery.intake import Intake
from tabard.brokers.delivery.ports import Admitted, Attested, Entry
from tabard.brokers.policy import applying as applying_module
from tabard.brokers.policy import boundary as boundary_module
from tabard.brokers.policy import document
from tabard.brokers.policy import proving as proving_module
from tabard.brokers.policy.boundary import Boundary
from tabard.brokers.policy.laws import Laws
from tabard.brokers.policy.matching import Rules
from tabard.brokers.policy.proving import Proving
from tabard.brokers.trust.keys import ATTESTATION, PublicKey
from tabard.brokers.wire import attested as attested_module
from tabard.brokers.wire.attested import AttestedBody, Parted, Proof
from tabard.brokers.wire.batch import Batch, check_batch, decode_header
from tabard.brokers.wire.codec import unpack
from tabard.errors import WireError
from tests.sim.bugs import set_for, sink_bug

BORDER: dict[str, Any] = {"signed": True, "policy": True, "burst": 20, "pace": 0.3, "seconds": 20.0}


# --- the broker ----------------------------------------------------------------------------------


@sink_bug("what cannot be judged passes", **BORDER)
def _() -> Iterator[None]:
    with set_for(Laws, "stops", lambda *_, **_more: False):
        yield


@sink_bug("what was worked out under older policies still holds", **BORDER)
def _() -> Iterator[None]:
    renew = Boundary.renew

    def keep(self: Boundary, *said: Any) -> None:
        ways = self.__dict__.get("_ways")
        renew(self, *said)
        if ways is not None:
            self._ways = ways

    with set_for(Boundary, "renew", keep):
        yield


@sink_bug("a policy concerns sinks of the zone itself", sinks=("main", "other"), **BORDER)
def _() -> Iterator[None]:
    def everywhere(self: Laws, zone: str, *, local: bool) -> list[Any]:
        del zone, local
        return list(self.all)

    with set_for(Laws, "concerned", everywhere):
        yield


@sink_bug("only the first records of a batch are looked at", **BORDER)
def _() -> Iterator[None]:
    judged = Rules.judge

    def hasty(self: Rules, stream: int, node: str) -> Any:
        judge = judged(self, stream, node)
        left = [4]

        def some(record: Any) -> Any:
            left[0] -= 1
            return record if judge is None or left[0] < 0 else judge(record)

        return some

    with set_for(Rules, "judge", hasty):
        yield


@sink_bug("withheld records are left out of the body", **BORDER)
def _() -> Iterator[None]:
    pack = applying_module.__dict__["pack"]

    def without(groups: Any) -> bytes:
        kept = [
            (
                source,
                mark,
                origin,
                [each for each in records if not (len(each) == 3 and each[1] == "withheld")],
            )
            for source, mark, origin, records in groups
        ]
        return bytes(pack(kept))

    with set_for(applying_module, "pack", without):
        yield


@sink_bug("a redaction replaces nothing", **BORDER)
def _() -> Iterator[None]:
    redacted = Rules._redacted

    def marked(self: Rules, record: Any, attributes: Any) -> Any:
        found = redacted(self, record, attributes)
        return found if found is record else (*record[:-1], found[-1])

    with set_for(Rules, "_redacted", marked):
        yield


@sink_bug("a changed body is not attested", **BORDER)
def _() -> Iterator[None]:
    with set_for(boundary_module, "encode_attested", lambda _proofs, body: body):
        yield


# --- the sink ------------------------------------------------------------------------------------


@sink_bug("any policy will do", **BORDER)
def _() -> Iterator[None]:
    with set_for(document, "verify", lambda *_: True):
        yield


@sink_bug("any broker of the tree may attest", **BORDER)
def _() -> Iterator[None]:
    with set_for(proving_module, "zone_within", lambda *_: True):
        yield


@sink_bug("the signature of an attestation is not looked at", seeds=60, **{**BORDER, "pace": 0.1})
def _() -> Iterator[None]:
    verifies = PublicKey.verifies

    def trusting(self: PublicKey, context: bytes, data: bytes, signature: bytes) -> bool:
        return context == ATTESTATION or verifies(self, context, data, signature)

    with set_for(PublicKey, "verifies", trusting):
        yield


@sink_bug("attestations are not looked at", **BORDER)
def _() -> Iterator[None]:
    def believe(_self: Proving, _batch: Any, body: Any, _node: Any) -> Any:
        return tuple(map(_word, body.proofs, body.encoded))

    with set_for(Proving, "attested", believe):
        yield


def _word(proof: Proof, encoded: bytes) -> Attested:
    policy = document.read(proof.document).policy
    return Attested(policy.zone, policy.name, "", proof.document, encoded)


@sink_bug("the digest of what is left is not compared", **BORDER)
def _() -> Iterator[None]:
    def blind(body: bytes) -> AttestedBody:
        _version, encoded, inner = unpack(body, limit=attested_module.MAX_ATTESTED)
        return AttestedBody(tuple(map(attested_module.decode_proof, encoded)), encoded, inner)

    with set_for(attested_module, "decode_attested", blind):
        yield


@sink_bug("a body without the word of who changed it is taken", **BORDER)
def _() -> Iterator[None]:
    check = check_batch

    def lenient(head: bytes, signature: bytes, body: bytes) -> Any:
        try:
            return check(head, signature, body)
        except WireError:
            return Batch(decode_header(head), head, signature, body)

    with set_for(admission_module, "check_batch", lenient):
        yield


@sink_bug("records behind a stub move up", **BORDER)
def _() -> Iterator[None]:
    part = Intake._part

    def close(self: Intake, entry: Entry) -> None:
        part(self, entry)
        first = entry.batch.header.first
        entry.seqs = tuple(range(first, first + entry.count))

    with set_for(Intake, "_part", close):
        yield


@sink_bug("a batch with stubs is quarantined", **BORDER)
def _() -> Iterator[None]:
    def refuse(_groups: Any, _first: int, _policies: Any) -> Parted:
        raise WireError("a stub")

    with set_for(attested_module, "part", refuse):
        yield


@sink_bug("the first body of a batch is stored, whatever was attested", **BORDER)
def _() -> Iterator[None]:
    take: Callable[..., Any] = Intake.take

    def drop(self: Intake, key: Any, stream: Any, admitted: Admitted) -> Any:
        return take(self, key, stream, admitted._replace(attested=()))

    with set_for(Intake, "take", drop):
        yield
