"""Who signed what is stored, read in the order of epochs: for whoever verifies it again."""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.brokers.delivery.ports import NodeKey
from tabard.consumers.store.reading import Reading

STEP: Final = 2_000
"""Batches read at once."""


class SignedBatch(NamedTuple):
    """A stored batch without its records."""

    node: NodeKey
    part: int
    """In which of the two files it is: 0 records, 1 state."""
    epoch: int
    """Number of its epoch in that file; a history that forked has one of its own."""
    first: int
    head: bytes
    signature: bytes
    proof: bytes
    """Of an opening the word of the key before, empty without."""


def batches(connection: Reading, part: int, epoch: int, first: int) -> list[SignedBatch]:
    """The next ones of a file behind that place, at most `STEP`."""
    database = connection.sql.parts[part]
    rows = connection.execute(
        "SELECT node.name, node.zone, batch.epoch_id, batch.first, batch.header, batch.signature, batch.proof"  # noqa: S608
        f" FROM {database}.batch AS batch JOIN {database}.epoch AS epoch ON epoch.id = batch.epoch_id"
        f" JOIN {database}.node AS node ON node.id = epoch.node_id"
        " WHERE batch.epoch_id > ? OR (batch.epoch_id = ? AND batch.first > ?)"
        f" ORDER BY batch.epoch_id, batch.first LIMIT {STEP}",
        (epoch, epoch, first),
    )
    return [
        SignedBatch(NodeKey(name, zone), part, at, seq, bytes(head), bytes(signature), bytes(proof or b""))
        for name, zone, at, seq, head, signature, proof in rows
    ]


def signers(connection: Reading) -> list[bytes]:
    """The credentials of all keys that signed something stored."""
    found = {
        bytes(credentials)
        for database in connection.sql.parts
        for (credentials,) in connection.execute(f"SELECT credentials FROM {database}.signer", ())  # noqa: S608
    }
    return sorted(found)
