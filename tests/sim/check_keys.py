"""What must hold of keys that were replaced or revoked: what must be whole, what in quarantine, and what both keys signed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any, Final

import msgpack

from tabard.brokers.delivery.book import forked_id
from tabard.brokers.wire.attested import decode_attested, is_attested, is_stub
from tabard.brokers.wire.batch import DATA, OPEN, decode_header, is_epoch_of
from tabard.brokers.wire.rotation import decode_proof
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.layout import ROW_TABLES
from tabard.records import LOG_INDEX
from tests.sim.clock import EPOCH_NS
from tests.sim.keys import Keys
from tests.sim.node import Accepted, SimNode
from tests.sim.sink import SimRecorder
from tests.sim.thief import MADE_UP

REVOKED: Final = "revoked key"


class KeyCheck:
    """One stream of one node in one sink's store."""

    def __init__(
        self, keys: Keys, node: SimNode, recorder: SimRecorder, stream: int, database: sqlite3.Connection
    ) -> None:
        self._keys = keys
        self._recorder = recorder
        self._stream = stream
        self._database = database
        self._of = (node.key.node, stream)
        self._history = keys.history.get(node.key.node, [])
        self.revocations = [key_id for key_id, name in keys.revoked.items() if name == node.key.node]
        self._names = self._histories()
        self._aside = self._quarantined() if self.revocations else Counter()

    def _rows(self, query: str) -> list[Any]:
        return self._database.execute(query, self._of).fetchall()

    def _histories(self) -> dict[bytes, bytes]:
        """By the name under which the store keeps a later history of an epoch, that of the one before it."""
        rows = self._rows(
            "SELECT e.uid FROM epoch e JOIN node n ON n.id = e.node_id WHERE n.name = ? AND e.stream = ?"
        )
        return {forked_id(uid): uid for (uid,) in rows}

    def _revoked(self, stored_as: bytes) -> bytes | None:
        """The revoked key that opened an epoch of the store."""
        while (before := self._names.get(stored_as)) is not None:
            stored_as = before
        return self._keys.revoked_key(stored_as)

    def _quarantined(self) -> Counter[str]:
        """How often what is in quarantine because of its key."""
        found: Counter[str] = Counter()
        rows = self._rows(
            "SELECT q.header, q.body FROM quarantine q JOIN node n ON n.id = q.node_id"
            f" WHERE n.name = ? AND q.stream = ? AND q.reason = '{REVOKED}'"
        )
        for head, body in rows:
            if decode_header(head).kind == DATA:
                left = decode_attested(body).inner if is_attested(body) else body
                for group in msgpack.unpackb(left, strict_map_key=False, use_list=False):
                    found.update(self._payload(record) for record in group[3] if not is_stub(record))
        return found

    def _payload(self, record: Any) -> str:
        return str(record[LOG_INDEX["message"]] if self._stream == LOGS else record[2]["payload"])

    def is_wrongly_aside(self, entry: Accepted) -> str:
        """Why a record must not have been set aside, or was not as it should; empty when all is well."""
        if self._keys.revoked_key(entry.epoch) is None:
            return "its key was not revoked"
        count = self._aside[entry.payload]
        return "" if count == 1 else f"it is in quarantine {count} times"

    def broken(self) -> str:
        """What does not hold; empty when all does."""
        return self._made_up() or self._stored_too_late() or self._aside_too_early() or self._not_proven()

    def _made_up(self) -> str:
        """Nothing is in quarantine of what only somebody with an old key says."""
        made_up = [payload for payload in self._aside if MADE_UP.decode() in payload]
        return f"{made_up[0]} is in quarantine, and no node ever had it" if made_up else ""

    def _stored_too_late(self) -> str:
        """Nothing is stored of a revoked key once a recorder knows."""
        if not self.revocations:
            return ""
        rows = self._rows(
            f"SELECT e.uid, r.seq, r.arrived FROM {ROW_TABLES[self._stream]} r JOIN epoch e ON e.id = r.epoch_id"
            " JOIN node n ON n.id = r.node_id WHERE n.name = ? AND e.stream = ?"
        )
        for epoch, seq, arrived in rows:
            key_id = self._revoked(epoch)
            if key_id is None:
                continue
            known = self._keys.known(self._recorder.name, key_id)
            if known is None:
                return f"{self._recorder.name} never heard that the key of epoch {epoch.hex()} was revoked"
            if arrived > self._wall(known):
                return f"record {seq} of epoch {epoch.hex()} was stored although its key was revoked"
        return ""

    def _aside_too_early(self) -> str:
        """Nothing is set aside before the node speaks under another key: who has the old one decides nothing."""
        rows = self._rows(
            "SELECT e.uid, q.first, q.arrived FROM quarantine q JOIN epoch e ON e.id = q.epoch_id"
            f" JOIN node n ON n.id = q.node_id WHERE n.name = ? AND q.stream = ? AND q.reason = '{REVOKED}'"
        )
        for epoch, first, arrived in rows:
            key_id = self._revoked(epoch)
            if key_id is None:
                return f"batch {first} of epoch {epoch.hex()} is in quarantine, and its key was not revoked"
            newer = self._history[self._history.index(key_id) + 1]
            if arrived < self._wall(self._keys.taken[newer]):
                return (
                    f"batch {first} of epoch {epoch.hex()} is in quarantine before its node had another key"
                )
        return ""

    def _not_proven(self) -> str:
        """Where one key followed another in peace, both signed the first record."""
        rows = self._rows(
            "SELECT e.uid, e.previous, b.header, b.proof FROM batch b JOIN epoch e ON e.id = b.epoch_id"
            f" JOIN node n ON n.id = e.node_id WHERE n.name = ? AND e.stream = ? AND b.kind = {OPEN}"
        )
        for epoch, previous, head, proof in rows:
            key_id = decode_header(head).key_id
            former = self._former(key_id)
            if former is None or previous is None or not is_epoch_of(previous, former):
                continue
            if proof is None:
                return f"nothing is kept of how epoch {epoch.hex()} came by its key"
            if former not in self.revocations and decode_proof(proof).rotation is None:
                return f"epoch {epoch.hex()} was begun without a word of the key before"
        return ""

    def _former(self, key_id: bytes) -> bytes | None:
        place = self._history.index(key_id) if key_id in self._history else 0
        return self._history[place - 1] if place else None

    @staticmethod
    def _wall(now: float) -> int:
        return EPOCH_NS + int(now * 1e9)
