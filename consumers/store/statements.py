"""Every statement that writes, in SQLAlchemy Core, compiled once to the driver's own text.

The driver runs the text with plain tuples: that is several times faster than handing dictionaries to Core, and
another engine gets its text from the same description, by its dialect.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Select,
    Table,
    bindparam,
    delete,
    desc,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from tabard.consumers.store import models
from tabard.consumers.store.layout import RECORDS, ROW_TABLES, FileKind
from tabard.errors import StoreError

_CURSOR: Final = ("version", "ranges", "previous", "previous_last", "opened", "ended", "finished")
# Written out, because numbers would become parameters.
_ONE: Final[ColumnElement[int]] = literal_column("1")
_NONE: Final[ColumnElement[int]] = literal_column("0")
_SOME: Final[ColumnElement[int]] = literal_column("64")
_GAP: Final[ColumnElement[str]] = literal_column("'gap'")
# The statement that adds to a row which is there already has no common form.
_INSERTS: Final[dict[str, Callable[[Table], postgresql.Insert | sqlite.Insert]]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}


@dataclass(frozen=True, slots=True)
class Statements:
    """The texts for one file. Each comment names the parameters in order, and what a statement answers if it answers."""

    find_node: str  # zone, name
    add_node: str  # zone, name, first_seen; its id, nothing if it is there
    find_epoch: str  # node_id, stream, uid
    epochs: str  # node_id, stream
    unfinished: str  # node_id, stream: those of `epochs` whose end is unknown or not reached
    # node_id, stream, uid, version, ranges, previous, previous_last, opened, ended, finished, created; its id, nothing if it is there
    add_epoch: str
    set_epoch: str  # new version, ranges, previous, previous_last, opened, ended, finished; id, old version
    find_past: str  # node_id, stream, uid: its end
    forget_past: str  # node_id, stream, uid
    header: str  # epoch_id, last: of the batch that begins there or next before
    quarantined_header: str  # epoch_id, last
    add_batch: str  # epoch_id, first, count, stream, kind, header, signature, arrived, proof
    add_signer: str  # key_id, credentials, arrived; nothing if the key is there
    any_signer: str  # the id of some key that signed
    add_gap: (
        str  # node_id, stream, epoch_id, first, last, count, at_least, kind, reason, detail, time, arrived
    )
    gapped: str  # of every loss that names one the epoch_id, once
    # epoch_id, seq: of the losses behind it, doubts aside, id, first, last, time; the first ones
    later_gaps: str
    move_gap: str  # time; id
    add_quarantine: (
        str  # node_id, stream, epoch_id, first, count, reason, header, signature, body, time, arrived
    )
    find_policy: str  # digest: its id
    add_policy: str  # digest, zone, name, document, first_seen; its id, nothing if it is there
    add_attestation: str  # epoch_id, first, place, last, policy_id, broker, cut, proof
    # node_id, stream, epoch_id, first, count, policy_id, time, arrived
    add_withheld: str
    # epoch_id, first: of the stubs next before it id, first, count, policy_id, arrived
    withheld_before: str
    extend_withheld: str  # count; id
    add_usage: str  # stream, rows, bytes: added to what there is
    add_rows: dict[int, str]  # per stream: the columns of its table but the id
    time_before: dict[int, str]  # per stream: epoch_id, seq
    time_after: dict[int, str]  # per stream: epoch_id, seq


@dataclass(frozen=True, slots=True)
class PresenceStatements:
    """The texts for what beacons say."""

    set_presence: str  # node_id, beacon, wall, interval, state, facts, nonce
    add_heartbeat: str  # node_id, minute, beacons: added to what there is


@dataclass(frozen=True, slots=True)
class DeploymentStatements:
    """The texts for which version and configuration runs where."""

    add_configuration: str  # service, digest, rule, entries, first_seen: unless it is there
    find_configuration: str  # service, digest, rule: its id
    # service, stage, node_id, time: of the last stretch that began by then id, package, version, configuration_id, last, arrived
    find_stretch: str
    extend_stretch: str  # last, starts: added; id
    # node_id, service, stage, package, version, configuration_id, since, last, starts, arrived
    add_stretch: str
    cut_stretch: str  # id: its last start goes to the stretch that follows
    count_stretches: str  # service, stage, node_id: how many there are
    stretches: str  # service, stage, node_id: of each id, package, version, the oldest first
    forget_stretch: str  # id


@functools.cache
def sqlite_statements(kind: FileKind) -> Statements:
    """The statements of one file, for the standard library's driver."""
    return statements(kind, sqlite.dialect())


@functools.cache
def sqlite_presence() -> PresenceStatements:
    """The presence statements, for the standard library's driver."""
    return presence_statements(sqlite.dialect())


@functools.cache
def sqlite_deployments() -> DeploymentStatements:
    """The statements about deployments, for the standard library's driver."""
    return deployment_statements(sqlite.dialect())


def deployment_statements(dialect: Dialect) -> DeploymentStatements:
    """The statements about deployments as `dialect` writes them, which takes its parameters by position."""
    configuration = models.RECORDS.tables["configuration"]
    stretch = models.RECORDS.tables["deployment"]
    place = (
        stretch.c.service == bindparam("s"),
        stretch.c.stage == bindparam("g"),
        stretch.c.node_id == bindparam("n"),
    )
    newest = (desc(stretch.c.since), desc(stretch.c.id))
    found = [stretch.c[name] for name in ("id", "package", "version", "configuration_id", "last", "arrived")]
    later = func.greatest if dialect.name == "postgresql" else func.max  # the larger of two values

    def text(statement: ClauseElement) -> str:
        return str(statement.compile(dialect=dialect))

    key = ("service", "digest", "rule")
    return DeploymentStatements(
        add_configuration=_text(
            insert_into(configuration, dialect).on_conflict_do_nothing(index_elements=key),
            dialect,
            configuration,
        ),
        find_configuration=text(
            select(configuration.c.id).where(
                *(configuration.c[name] == bindparam(f"f_{name}") for name in key)
            )
        ),
        find_stretch=text(
            select(*found)
            .where(*place, stretch.c.since <= bindparam("t"))
            .order_by(*newest)
            .limit(_ONE)
            .offset(_NONE)
        ),
        extend_stretch=text(
            update(stretch)
            .values(last=later(stretch.c.last, bindparam("l")), starts=stretch.c.starts + bindparam("m"))
            .where(stretch.c.id == bindparam("i"))
        ),
        add_stretch=_text(insert_into(stretch, dialect), dialect, stretch),
        cut_stretch=text(
            update(stretch)
            .values(last=stretch.c.since, starts=later(_ONE, stretch.c.starts - _ONE))
            .where(stretch.c.id == bindparam("i"))
        ),
        count_stretches=text(select(func.count()).select_from(stretch).where(*place)),
        stretches=text(
            select(stretch.c.id, stretch.c.package, stretch.c.version)
            .where(*place)
            .order_by(stretch.c.since, stretch.c.id)
        ),
        forget_stretch=text(delete(stretch).where(stretch.c.id == bindparam("i"))),
    )


def presence_statements(dialect: Dialect) -> PresenceStatements:
    """The presence statements as `dialect` writes them, which takes its parameters by position."""
    presence = models.RECORDS.tables["presence"]
    heartbeat = models.RECORDS.tables["heartbeat"]
    replace = insert_into(presence, dialect)
    said = {name: replace.excluded[name] for name in _names(presence) if name != "node_id"}
    add = insert_into(heartbeat, dialect)
    beacons = heartbeat.c.beacons + add.excluded.beacons
    return PresenceStatements(
        set_presence=_text(
            replace.on_conflict_do_update(index_elements=["node_id"], set_=said), dialect, presence
        ),
        add_heartbeat=_text(
            add.on_conflict_do_update(index_elements=["node_id", "minute"], set_={"beacons": beacons}),
            dialect,
            heartbeat,
        ),
    )


def statements(kind: FileKind, dialect: Dialect) -> Statements:
    """The statements of one file as `dialect` writes them, which takes its parameters by position.

    Raises StoreError for an engine that is not supported.
    """
    metadata = models.RECORDS if kind == RECORDS else models.STATE
    node, epoch, batch, usage = (metadata.tables[name] for name in ("node", "epoch", "batch", "usage"))
    count = insert_into(usage, dialect)
    sums = {name: usage.c[name] + count.excluded[name] for name in ("rows", "bytes")}
    state = [epoch.c[name] for name in ("id", "uid", *_CURSOR)]
    rows = {stream: metadata.tables[ROW_TABLES[stream]] for stream in sorted(kind.streams)}

    epochs = (
        select(*state)
        .where(epoch.c.node_id == bindparam("n"), epoch.c.stream == bindparam("s"))
        .order_by(epoch.c.id)
    )

    past, gap, signer = (metadata.tables[name] for name in ("past_epoch", "gap", "signer"))
    policy, withheld = metadata.tables["policy"], metadata.tables["withheld"]
    gone = (
        past.c.node_id == bindparam("n"),
        past.c.stream == bindparam("s"),
        past.c.uid == bindparam("u"),
    )

    def text(statement: ClauseElement) -> str:
        return str(statement.compile(dialect=dialect))

    def added(name: str) -> str:
        table = metadata.tables[name]
        return _text(insert_into(table, dialect), dialect, table)

    def numbered(table: Table) -> str:
        # Another recorder may have been first: then nothing is answered.
        return _text(
            insert_into(table, dialect).on_conflict_do_nothing().returning(table.c.id), dialect, table
        )

    return Statements(
        find_node=text(select(node.c.id).where(node.c.zone == bindparam("z"), node.c.name == bindparam("n"))),
        add_node=numbered(node),
        find_epoch=text(
            select(*state).where(
                epoch.c.node_id == bindparam("n"),
                epoch.c.stream == bindparam("s"),
                epoch.c.uid == bindparam("u"),
            )
        ),
        epochs=text(epochs),
        unfinished=text(epochs.where(epoch.c.finished == _NONE)),
        add_epoch=numbered(epoch),
        set_epoch=text(
            update(epoch)
            .values({name: bindparam(f"new_{name}") for name in _CURSOR})
            .where(epoch.c.id == bindparam("i"), epoch.c.version == bindparam("v"))
        ),
        find_past=text(select(past.c.ended).where(*gone)),
        forget_past=text(delete(past).where(*gone)),
        header=text(_header(batch)),
        quarantined_header=text(_header(metadata.tables["quarantine"])),
        add_batch=added("batch"),
        add_signer=_text(insert_into(signer, dialect).on_conflict_do_nothing(), dialect, signer),
        any_signer=text(select(signer.c.id).limit(_ONE).offset(_NONE)),
        add_gap=added("gap"),
        gapped=text(select(gap.c.epoch_id).where(gap.c.epoch_id.is_not(None)).distinct()),
        later_gaps=text(
            select(gap.c.id, gap.c.first, gap.c.last, gap.c.time)
            .where(gap.c.epoch_id == bindparam("e"), gap.c.first > bindparam("q"), gap.c.kind == _GAP)
            .order_by(gap.c.first)
            .limit(_SOME)
            .offset(_NONE)
        ),
        move_gap=text(update(gap).values(time=bindparam("t")).where(gap.c.id == bindparam("i"))),
        add_quarantine=added("quarantine"),
        find_policy=text(select(policy.c.id).where(policy.c.digest == bindparam("d"))),
        add_policy=numbered(policy),
        add_attestation=added("attestation"),
        add_withheld=added("withheld"),
        withheld_before=text(_stubs_before(withheld)),
        extend_withheld=text(
            update(withheld).values(count=bindparam("c")).where(withheld.c.id == bindparam("i"))
        ),
        add_usage=_text(count.on_conflict_do_update(index_elements=["stream"], set_=sums), dialect, usage),
        add_rows={stream: added(table.name) for stream, table in rows.items()},
        time_before={stream: text(_neighbour(table, before=True)) for stream, table in rows.items()},
        time_after={stream: text(_neighbour(table, before=False)) for stream, table in rows.items()},
    )


def _header(table: Table) -> Select[Any]:
    columns = (table.c.header, table.c.first, table.c.count)
    found = select(*columns).where(table.c.epoch_id == bindparam("e"), table.c.first <= bindparam("l"))
    return found.order_by(desc(table.c.first)).limit(_ONE).offset(_NONE)


def _stubs_before(table: Table) -> Select[Any]:
    columns = [table.c[name] for name in ("id", "first", "count", "policy_id", "arrived")]
    found = select(*columns).where(table.c.epoch_id == bindparam("e"), table.c.first < bindparam("f"))
    return found.order_by(desc(table.c.first)).limit(_ONE).offset(_NONE)


def _neighbour(table: Table, *, before: bool) -> Select[Any]:
    seq: Column[int] = table.c.seq
    query = select(table.c.time).where(table.c.epoch_id == bindparam("e")).limit(_ONE).offset(_NONE)
    if before:
        return query.where(seq < bindparam("q")).order_by(desc(seq))
    return query.where(seq > bindparam("q")).order_by(seq)


def insert_into(table: Table, dialect: Dialect) -> postgresql.Insert | sqlite.Insert:
    """An insert that answers nothing unless it is told to: one dialect would ask for each new id of itself."""
    if not dialect.positional:
        raise ValueError(f"{dialect.name}: the parameters have to be given by position")
    try:
        return _INSERTS[dialect.name](table).inline()
    except KeyError:
        raise StoreError(
            "the store cannot be kept there", expected="SQLite or PostgreSQL", found=dialect.name
        ) from None


def _names(table: Table) -> list[str]:
    """The columns that the writer gives: all but an id that the database makes."""
    return [column.name for column in table.columns if column.name != "id"]


def _text(statement: Any, dialect: Dialect, table: Table) -> str:
    return str(statement.compile(dialect=dialect, column_keys=_names(table)))
