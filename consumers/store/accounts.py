"""The control stream as an audit reads it: its records by arrival, and all that is there to verify them with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.ranges import Ranges, decode_ranges
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.streams import CONTROL, STREAM_NAMES
from tabard.consumers.store.filters import among, node_ids
from tabard.consumers.store.reading import Reading
from tabard.errors import WireError
from tabard.records import MAX_BODY

NOT_AUDIT: Final = "NOT (control.kind >= 'audit.' AND control.kind < 'audit/')"
"""The condition for what is no entry of the audit: who did what has to be kept whoever asks to be forgotten."""
STEP: Final = 1_000
"""Batches, or rows, read at once."""
_ITEMS: Final = 65_536


class ControlRow(NamedTuple):
    """A record of the control stream."""

    id: int
    node: NodeKey
    epoch: int
    seq: int
    arrived: int
    """Nanoseconds since 1970 by the clock of the recorder."""
    time: int
    """Likewise by that of its node."""
    kind: str
    data: Mapping[str, Any]


class ControlQuery(NamedTuple):
    """Which records are asked for; None asks for nothing."""

    kinds: Sequence[str] = ()
    """How their kinds begin; none given: all."""
    node: str | None = None
    zone: str | None = None
    """With what lies below it."""
    since: int | None = None
    until: int | None = None
    """Times of their nodes, ns: from, and before."""
    before: int | None = None
    """Ids below this one."""
    after: int | None = None
    limit: int = 100


class ControlEpoch(NamedTuple):
    """An epoch of a control stream."""

    id: int
    node: NodeKey
    uid: bytes
    stored: Ranges
    previous: bytes | None
    created: int
    first_of_node: bool
    """No epoch of its node was stored before it."""
    previous_known: bool
    """The store knows the epoch it names as the one before it."""


class ControlBatch(NamedTuple):
    """A batch without its records."""

    first: int
    head: bytes
    signature: bytes
    proof: bytes
    arrived: int


class Head(NamedTuple):
    """What the newest beacon of a node said of its control stream."""

    node: NodeKey
    heard: int
    epoch: str
    """Hexadecimal; empty where a recorder of an earlier version wrote it down."""
    last: int
    digest: str
    """Of the header of its last batch, hexadecimal."""
    behind: int
    """Records that were not stored when it was heard."""


_ROW: Final = (
    "SELECT control.id, node.name, node.zone, control.epoch_id, control.seq, control.arrived, control.time, control.kind,"
    " control.data FROM {state}.control AS control {join} {state}.node AS node ON node.id = control.node_id"
)


def records(connection: Reading, wanted: ControlQuery) -> list[ControlRow]:
    """The newest by arrival first; with ``after`` the oldest first."""
    state = connection.sql.state
    conditions, values = ["1 = 1"], list[Any]()
    if wanted.kinds:
        conditions.append(
            f"({' OR '.join(['(control.kind >= ? AND control.kind < ?)'] * len(wanted.kinds))})"
        )
        for kind in wanted.kinds:
            values += [kind, kind + "\U0010ffff"]
    nodes = node_ids(connection, wanted.node, wanted.zone, state)
    if nodes is not None:
        conditions.append(among("control.node_id", nodes))
        values += nodes
    bounds = {
        "control.time >= ?": wanted.since,
        "control.time < ?": wanted.until,
        "control.id < ?": wanted.before,
        "control.id > ?": wanted.after,
    }
    for text, value in bounds.items():
        if value is not None:
            conditions.append(text)
            values.append(value)
    order = "DESC" if wanted.after is None else "ASC"
    text = f"{_select(connection)} WHERE {' AND '.join(conditions)} ORDER BY control.id {order} LIMIT ?"
    return [_row(row) for row in connection.execute(text, (*values, wanted.limit))]


def epochs(connection: Reading) -> list[ControlEpoch]:
    """All epochs of control streams, by node, in the order in which they were stored first."""
    state = connection.sql.state
    gone = f"SELECT node_id, uid FROM {state}.past_epoch WHERE stream = ?"  # noqa: S608
    past = {(node, bytes(uid)) for node, uid in connection.execute(gone, (CONTROL,))}
    rows = connection.execute(
        "SELECT epoch.id, epoch.node_id, node.name, node.zone, epoch.uid, epoch.ranges, epoch.previous, epoch.created"  # noqa: S608
        f" FROM {state}.epoch AS epoch JOIN {state}.node AS node ON node.id = epoch.node_id WHERE epoch.stream = ?"
        " ORDER BY node.zone, node.name, epoch.id",
        (CONTROL,),
    ).fetchall()
    known = past | {(node, bytes(uid)) for _id, node, _name, _zone, uid, *_rest in rows}
    begun = {node for node, _uid in past}
    found = []
    for row_id, node, name, zone, uid, ranges, previous, created in rows:
        before = None if previous is None else bytes(previous)
        found.append(
            ControlEpoch(
                row_id,
                NodeKey(name, zone),
                bytes(uid),
                decode_ranges(bytes(ranges)),
                before,
                created,
                node not in begun,
                before is None or (node, before) in known,
            )
        )
        begun.add(node)
    return found


def batches(connection: Reading, epoch: int, after: int) -> list[ControlBatch]:
    """The next batches of an epoch that begin behind that seq, at most `STEP`."""
    rows = connection.execute(
        f"SELECT first, header, signature, proof, arrived FROM {connection.sql.state}.batch"  # noqa: S608
        f" WHERE epoch_id = ? AND first > ? ORDER BY first LIMIT {STEP}",
        (epoch, after),
    )
    return [
        ControlBatch(first, bytes(head), bytes(signature), bytes(proof or b""), arrived)
        for first, head, signature, proof, arrived in rows
    ]


def rows_of(connection: Reading, epoch: int, after: int) -> list[ControlRow]:
    """The next records of an epoch behind that seq, at most `STEP`."""
    found = connection.execute(
        f"{_select(connection)} WHERE control.epoch_id = ? AND control.seq > ? ORDER BY control.seq LIMIT {STEP}",
        (epoch, after),
    )
    return [_row(row) for row in found]


def told(connection: Reading, epoch: int) -> list[tuple[int, int]]:
    """What of an epoch is said to be missing: lost, skipped, withheld by a policy, or kept in quarantine."""
    state = connection.sql.state
    asked = (
        f"SELECT first, last FROM {state}.gap WHERE epoch_id = ? AND kind = 'gap' AND last IS NOT NULL",  # noqa: S608
        f"SELECT first, last FROM {state}.skip WHERE epoch_id = ?",  # noqa: S608
        f"SELECT first, first + count - 1 FROM {state}.quarantine WHERE epoch_id = ?",  # noqa: S608
        f"SELECT first, first + count - 1 FROM {state}.withheld WHERE epoch_id = ?",  # noqa: S608
    )
    return sorted((first, last) for text in asked for first, last in connection.execute(text, (epoch,)))


def erased(connection: Reading) -> list[tuple[str | None, str | None]]:
    """Node and zone of each erasure of personal data; None: of any."""
    text = f"SELECT node, zone FROM {connection.sql.state}.erasure"  # noqa: S608
    return [(node, zone) for node, zone in connection.execute(text)]


def heads(connection: Reading) -> list[Head]:
    """What the beacons said, by zone and node; of those that were heard since recorders write it down."""
    found = []
    for name, zone, heard, state in connection.execute(
        "SELECT node.name, node.zone, presence.beacon, presence.state FROM presence JOIN node ON node.id = presence.node_id"
        " ORDER BY node.zone, node.name"
    ):
        said = json.loads(state).get(STREAM_NAMES[CONTROL]) or {}
        if said.get("last"):
            place = (
                str(said.get("epoch", "")),
                said["last"],
                str(said.get("head", "")),
                said.get("behind", 0),
            )
            found.append(Head(NodeKey(name, zone), heard, *place))
    return found


def _select(connection: Reading) -> str:
    return _ROW.format(state=connection.sql.state, join=connection.sql.join)


def _row(row: Sequence[Any]) -> ControlRow:
    row_id, name, zone, epoch, seq, arrived, time, kind, data = row
    return ControlRow(row_id, NodeKey(name, zone), epoch, seq, arrived, time, kind, _map(bytes(data)))


def _map(data: bytes) -> Mapping[str, Any]:
    """What a record says; of one that was damaged where it lies, that it was."""
    try:
        found = unpack(data, limit=MAX_BODY, items=_ITEMS)
    except WireError as error:
        return {"damaged": str(error)}
    return found if isinstance(found, dict) else {"damaged": "no map"}


class Kept(NamedTuple):
    """How much of the control stream is kept."""

    rows: int
    bytes: int
    oldest: int
    """When the oldest record that is there arrived, 0 when none is."""


def kept(connection: Reading) -> Kept:
    """As the store counts it."""
    state = connection.sql.state
    counted = f"SELECT rows, bytes FROM {state}.usage WHERE stream = ?"  # noqa: S608
    rows, size = connection.execute(counted, (CONTROL,)).fetchone() or (0, 0)
    oldest = connection.execute(f"SELECT min(arrived) FROM {state}.control").fetchone()  # noqa: S608
    return Kept(rows, size, oldest[0] or 0)
