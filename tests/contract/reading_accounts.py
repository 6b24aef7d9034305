"""The control stream, read by an audit: who did what, and whether all of it is what its nodes signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tabard.brokers.delivery.ports import Entry, EpochWork, NodeKey, Presence, SinkStore
from tabard.brokers.trust.verifying import UNKNOWN, Verifier
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.control import control_body
from tabard.brokers.wire.streams import CONTROL
from tabard.consumers.audit.store import heads, verified
from tabard.consumers.audit.verifying import (
    ADDED,
    ALTERED,
    BROKEN,
    CUT,
    ERASED,
    FORGED,
    MISSING,
    TRIMMED,
    UNPROVEN,
    Auditor,
)
from tabard.consumers.store.accounts import ControlQuery
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.reading import SQLITE
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain
from tests.contract.engine import Contract
from tests.contract.leasing import LeasingEngine
from tests.contract.retention import DAY, NEVER
from tests.trustees import Trustees

DATA: Mapping[str, Any] = {
    "who": "ann",
    "what": {"name": "web9", "many": ["a", "b"]},
    "raw": b"\0\xff",
    "share": 0.25,
}


def said(chain: Chain, *kinds: str, at: int = NOON) -> EpochWork:
    """Control records as an agent cuts them: each in a batch of its own."""
    entries = []
    for number, kind in enumerate(kinds):
        record = (at + number * SECOND, kind, DATA)
        body = control_body([record])
        batch, _groups = chain.cut(count=1, body=body)
        chain.take(batch)
        entries.append(Entry(batch, unpack(body)))
    return EpochWork(chain.key, CONTROL, chain.cursor, entries)


def audited(reader: StoreReader, limits: RetentionLimits = NEVER, now: int = NOON) -> Auditor:
    """What is found; nothing is signed by a key that anybody certified here."""
    return verified(reader, Verifier(Trustees().directory(), now), limits, now)


def faults(auditor: Auditor) -> list[tuple[str, int, int]]:
    """What, from where to where."""
    return [(finding.what, finding.first, finding.last) for finding in auditor.findings]


def beacon(chain: Chain, key: NodeKey = WEB, behind: int = 0) -> Presence:
    """A beacon that names the end of a chain."""
    state = {"last": chain.next - 1, "behind": behind, "epoch": chain.epoch.hex(), "head": chain.digest.hex()}
    return Presence(key, NOON, NOON, 10.0, {"control": state}, {})


class AccountContract(Contract):
    """What every engine answers to an audit."""

    def test_entries_are_listed_by_what_is_asked(self, store: SinkStore, reader: StoreReader) -> None:
        """By kind, node, zone, time and place; the newest first."""
        store.commit(
            [said(Chain(WEB, CONTROL), "audit.keys.revoke", "agent.started", "audit.node.add")], NOON
        )
        store.commit([said(Chain(MAIL, CONTROL), "audit.init", at=NOON + 60 * SECOND)], NOON)

        def kinds(**asked: Any) -> list[str]:
            return [row.kind for row in reader.control(ControlQuery(**asked))]

        assert kinds() == ["audit.init", "audit.node.add", "agent.started", "audit.keys.revoke"]
        assert kinds(kinds=("audit.",)) == ["audit.init", "audit.node.add", "audit.keys.revoke"]
        assert kinds(kinds=("audit.keys", "agent.")) == ["agent.started", "audit.keys.revoke"]
        assert kinds(node="web1", limit=2) == ["audit.node.add", "agent.started"]
        assert kinds(zone="hq/dmz") == kinds(node="web1")
        assert kinds(since=NOON + SECOND, until=NOON + 60 * SECOND) == ["audit.node.add", "agent.started"]
        newest = reader.control(ControlQuery(limit=1))[0]
        assert kinds(before=newest.id)[0] == "audit.node.add"
        assert kinds(after=newest.id) == []
        assert kinds(after=0)[0] == "audit.keys.revoke"
        assert (newest.node, newest.time, newest.data) == (MAIL, NOON + 60 * SECOND, unpack_like(DATA))

    def test_what_is_whole_has_no_fault(self, store: SinkStore, reader: StoreReader) -> None:
        """Openings, records, what was lost and said to be, and another epoch."""
        chain, later = Chain(WEB, CONTROL), Chain(WEB, CONTROL, "b")
        store.commit([chain.open()], NOON)
        store.commit([said(chain, "audit.a", "audit.b")], NOON)
        store.commit([chain.lose(3)], NOON)
        store.commit([said(chain, "audit.c")], NOON)
        store.commit([later.open(chain.epoch, chain.next - 1)], NOON)
        store.commit([said(later, "audit.d")], NOON)
        store.presence([beacon(later)])
        auditor = audited(reader)
        assert not faults(auditor)
        assert auditor.counts[WEB]["records"] == 4
        assert auditor.counts[WEB][UNKNOWN] == 6
        assert [(head.last, head.digest) for head in heads(reader)] == [(2, later.digest.hex())]

    @pytest.mark.threat("audit-altered")
    @pytest.mark.parametrize(
        "change",
        ["kind = 'audit.x'", "time = time + 1", "data = {flipped}"],
    )
    def test_an_altered_row_is_found(
        self, engine: LeasingEngine[Any], store: SinkStore, reader: StoreReader, change: str
    ) -> None:
        """Whatever of it was altered."""
        chain = Chain(WEB, CONTROL)
        store.commit([said(chain, "audit.a", "audit.b", "audit.c")], NOON)
        spoilt = reader.control(ControlQuery(kinds=("audit.b",)))[0]
        assert spoilt.seq == 2
        value = blob(reader, control_body([(0, "", {"who": "eve"})])[-9:])
        engine.execute(store, CONTROL, f"UPDATE control SET {change.format(flipped=value)} WHERE seq = 2")
        assert faults(audited(reader)) == [(ALTERED, 2, 2)]

    @pytest.mark.threat("audit-dropped")
    def test_a_dropped_row_is_found(
        self, engine: LeasingEngine[Any], store: SinkStore, reader: StoreReader
    ) -> None:
        """With the header of its batch, and without."""
        chain = Chain(WEB, CONTROL)
        store.commit([said(chain, *("audit.a",) * 6)], NOON)
        engine.execute(store, CONTROL, "DELETE FROM control WHERE seq = 2")
        assert faults(audited(reader)) == [(MISSING, 2, 2)]
        engine.execute(store, CONTROL, "DELETE FROM batch WHERE first = 2")
        assert faults(audited(reader)) == [(MISSING, 2, 2)]
        for table, column in (("control", "seq"), ("batch", "first")):
            engine.execute(store, CONTROL, f"DELETE FROM {table} WHERE {column} >= 5")
        assert faults(audited(reader)) == [(MISSING, 2, 2), (MISSING, 5, 6)]

    @pytest.mark.threat("audit-added")
    def test_an_added_row_is_found(
        self, engine: LeasingEngine[Any], store: SinkStore, reader: StoreReader
    ) -> None:
        """It has no signature."""
        store.commit([said(Chain(WEB, CONTROL), "audit.a", "audit.b")], NOON)
        engine.execute(store, CONTROL, "UPDATE control SET seq = 7 WHERE seq = 2")
        assert faults(audited(reader)) == [(MISSING, 2, 2), (ADDED, 7, 7)]

    @pytest.mark.threat("audit-cut")
    def test_a_cut_tail_is_found(self, store: SinkStore, reader: StoreReader) -> None:
        """By the beacon that named it: the store is as if the last record had never come."""
        chain = Chain(WEB, CONTROL)
        store.commit([said(chain, "audit.a", "audit.b")], NOON)
        chain.cut(count=1, body=b"\x90")  # one that never came, or was taken out without a trace
        store.presence([beacon(chain)])
        assert faults(audited(reader)) == [(CUT, 3, 3)]
        store.presence([beacon(chain, behind=1)])
        assert not faults(audited(reader))  # it was on its way

    def test_a_dropped_epoch_is_found(
        self, engine: LeasingEngine[Any], store: SinkStore, reader: StoreReader
    ) -> None:
        """The one after it names it."""
        chains = [Chain(WEB, CONTROL, name) for name in "abc"]
        before = None
        for chain in chains:
            store.commit([chain.open(before, 2 if before else 0)], NOON)
            store.commit([said(chain, "audit.a")], NOON)
            before = chain.epoch
        assert not faults(audited(reader))
        uid = blob(reader, chains[1].epoch)
        which = f"(SELECT id FROM epoch WHERE uid = {uid})"
        for table, column in (("control", "epoch_id"), ("batch", "epoch_id"), ("epoch", "id")):
            engine.execute(store, CONTROL, f"DELETE FROM {table} WHERE {column} IN {which}")
        assert faults(audited(reader)) == [(MISSING, 0, 0)]

    def test_a_header_of_somebody_else_is_found(
        self, engine: LeasingEngine[Any], store: SinkStore, reader: StoreReader
    ) -> None:
        """One that follows nothing, and one that is none."""
        chain = Chain(WEB, CONTROL)
        store.commit([said(chain, "audit.a", "audit.b", "audit.c")], NOON)
        other = Chain(WEB, CONTROL)
        other.next, other.digest = 2, b"x" * 32
        batch, _groups = other.cut(count=1, body=control_body([(NOON + SECOND, "audit.b", DATA)]))
        engine.execute(
            store, CONTROL, f"UPDATE batch SET header = {blob(reader, batch.head)} WHERE first = 2"
        )
        assert faults(audited(reader)) == [(BROKEN, 2, 2), (BROKEN, 3, 3)]
        engine.execute(store, CONTROL, f"UPDATE batch SET header = {blob(reader, b'none')} WHERE first = 2")
        found = faults(audited(reader))
        assert (FORGED, 2, 2) in found

    def test_what_retention_or_a_request_took_is_no_fault(
        self, engine: LeasingEngine[Any], store: SinkStore, reader: StoreReader
    ) -> None:
        """It is counted, since nobody can say what it was."""
        chain = Chain(WEB, CONTROL)
        store.commit([said(chain, "audit.a", "audit.b")], NOON)
        engine.execute(store, CONTROL, "DELETE FROM control WHERE seq = 1")
        later = NOON + 2 * round(DAY) * SECOND
        auditor = audited(reader, NEVER._replace(control_age=DAY), later)
        assert not faults(auditor) and auditor.counts[WEB][TRIMMED] == 1
        assert faults(audited(reader)) == [(MISSING, 1, 1)]
        engine.execute(
            store,
            CONTROL,
            "INSERT INTO erasure (uid, made, made_by, reason, node, digests, erased, held)"
            " VALUES ('u', 1, 'ann', 'request 12', 'web1', '', 1, 0)",
        )
        auditor = audited(reader)
        assert not faults(auditor) and auditor.counts[WEB][UNPROVEN] == 1
        store.commit([said(chain, "audit.store.forget")], NOON)
        auditor = audited(reader)
        assert not faults(auditor) and auditor.counts[WEB][ERASED] == 1

    def test_what_this_store_alone_says_is_lost_is_not_proven(
        self, store: SinkStore, reader: StoreReader
    ) -> None:
        """A node that lost something signs a gap."""
        chain = Chain(WEB, CONTROL)
        store.commit([said(chain, "audit.a")], NOON)
        store.commit([chain.lose(3)], NOON)
        store.commit([said(chain, "audit.b")], NOON)
        auditor = audited(reader)
        assert not faults(auditor) and auditor.counts[WEB][UNPROVEN] == 3


def blob(reader: StoreReader, data: bytes) -> str:
    """Bytes as a statement names them."""
    here = reader.ask(lambda view: view.sql is SQLITE)
    return f"X'{data.hex()}'" if here else rf"'\x{data.hex()}'::bytea"


def unpack_like(data: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back: lists are tuples."""
    what = {name: tuple(value) if isinstance(value, list) else value for name, value in data["what"].items()}
    return {**data, "what": what}
