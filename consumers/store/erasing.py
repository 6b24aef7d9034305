"""Erasing personal data: what a node said, or every record with a text in it. Beside a recorder that runs.

What was decided, and why:

* **A record with a text in it is overwritten in its place**: node, epoch, sequence number, times and severity stay, all else
  goes, and it says that it was erased. So it is no loss, links to it lead to it, and nobody takes its id.
* **What a node said is deleted**, of every stream, with its heartbeats, beacon, versions and quarantined batches. The newest row of a
  table is overwritten instead: its id would be given again. Losses, batch headers (digests, no text), cursors and the
  node's name stay: without cursors the node would send all it still has a second time. A row of `erasure` says what is missing.
* **In samples and the control stream** a row with the text in it is deleted: they have no form in which they could say so. Entries of the audit stay.
* **What is under a legal hold stays**, each transaction asks anew.
* Rows are looked through by this program, a few hundred at a time, so that both engines find the same; they are changed in
  transactions of `STEP_ROWS`, with a rest behind each. A kill between two of them costs nothing: done is done, and the same
  command does the rest.
* The search index of SQLite forgets in the same transaction; that of a server does so by itself.
* What is noted of an erasure has no text in it, but a digest with a salt: whoever knows the text can show that it was this one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Text

from tabard.consumers.store import holds, indexing, marks, models
from tabard.consumers.store.accounts import NOT_AUDIT
from tabard.consumers.store.erasing_parts import Part
from tabard.consumers.store.filters import zone_condition
from tabard.consumers.store.layout import QUARANTINED, RECORDS, STATE, FileKind
from tabard.consumers.store.room import uncount
from tabard.consumers.store.words import fold
from tabard.records import clean_text

STEP_ROWS: Final = 200
LOOKED_AT: Final = 1_000
"""Rows looked through in one view of the data, and held in memory at once: of the largest there are, 256 MiB."""
LISTED: Final = 20_000
"""The same where no text is looked for in them, so that only their places are held."""
ERASED: Final = "(erased)"
_EMPTY_MAP: Final = b"\x80"
_STREAMS: Final = {"log": 2, "sample": 3, "control": 1}

_LOG: Final = models.RECORDS.tables["log"]
_TEXTS: Final = tuple(column.name for column in _LOG.columns if isinstance(column.type, Text))
_KEPT: Final = frozenset(
    {"id", "node_id", "epoch_id", "seq", "arrived", "time", "severity", "message", "attributes"}
)
_BLANK: Final = ", ".join(f"{column.name} = NULL" for column in _LOG.columns if column.name not in _KEPT)
_SEARCHED: Final = {
    "log": _TEXTS,
    "sample": ("kind", "data"),
    "control": ("kind", "data"),
    "quarantine": ("reason", "body"),
}
_TABLES: Final = {RECORDS: ("log", "sample", "quarantine"), STATE: ("control", "quarantine")}
_BESIDE: Final = {RECORDS: ("heartbeat", "deployment", "presence"), STATE: ()}
"""What goes only with all that a node said."""


class Spot(NamedTuple):
    """Where a row is."""

    id: int
    arrived: int
    """On a server that says in the table of which day it is: without it all of them would be looked through."""


class Wanted(NamedTuple):
    """What is to be erased: all that is given narrows it. Times are nanoseconds since 1970 UTC."""

    node: str | None = None
    zone: str | None = None
    """With those below it."""
    texts: tuple[str, ...] = ()
    """Records with any of these in any of their fields, in any case of their letters."""
    service: str | None = None
    since: int | None = None
    """Happened or arrived from then on."""
    until: int | None = None

    @property
    def everything(self) -> bool:
        """Whether all that nodes said is meant, and not some of their records."""
        return not self.texts and self.service is None


class Found(NamedTuple):
    """What there is, or was, of it in one table."""

    part: str
    table: str
    rows: int
    erased: int
    held: int
    """Under a legal hold: they stay."""
    holds: tuple[str, ...] = ()
    """By which."""


class Matcher:
    """Whether a row has one of the texts in it."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._wanted = [forms for text in texts if (forms := _forms(text))]

    def __call__(self, values: Sequence[Any]) -> bool:
        """`values` are texts, bytes or None."""
        if not self._wanted:
            return True
        said = [fold(_text(value)) or "" for value in values if value is not None]
        return any(form in text for forms in self._wanted for form in forms for text in said)


def _forms(text: str) -> set[str]:
    """A text as it may stand in a record: also as JSON writes it, for attributes."""
    clean = clean_text(text)
    written = {clean, json.dumps(clean)[1:-1], json.dumps(clean, ensure_ascii=False)[1:-1]}
    return {form for each in written if (form := fold(each))}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")


def nodes(part: Part) -> set[tuple[str, str]]:
    """Zone and name of every node that one part knows, also of those of which all was erased."""
    with part.view():
        return {(str(zone), str(name)) for zone, name in part.ask("SELECT zone, name FROM node")}


Told = Callable[[str, int, int, int], None]
"""Hears after every step of the table, the rows found there, and how far it is read: up to which id, of which."""


def unheard(_table: str, _rows: int, _at: int, _last: int) -> None:
    """Nobody looks on."""


def look(part: Part, wanted: Wanted, told: Told = unheard) -> list[Found]:
    """What there is of it in one part; nothing is changed."""
    return [_look(part, wanted, table, told) for table in _tables(part.kind, wanted)]


def erase(part: Part, wanted: Wanted, *, now: int, by: str, reason: str, told: Told = unheard) -> list[Found]:
    """Erase it in one part; `told` hears of every step. What was erased stays so whatever happens then."""
    uid = _begin(part, wanted, now, by, reason)
    done = [_erase(part, wanted, table, now, told) for table in _tables(part.kind, wanted)]
    with part.changing():
        part.run(
            "UPDATE erasure SET erased = ?, held = ?, ended = ? WHERE uid = ?",
            (sum(each.erased for each in done), sum(each.held for each in done), now, uid),
        )
    return done


def _tables(kind: FileKind, wanted: Wanted) -> tuple[str, ...]:
    if wanted.service is not None:  # only log records have one
        return ("log",) if kind == RECORDS else ()
    return (*_TABLES[kind], *(_BESIDE[kind] if wanted.everything else ()))


def _begin(part: Part, wanted: Wanted, now: int, by: str, reason: str) -> str:
    """Note who erases what, before anything is."""
    uid = secrets.token_hex(8)
    digests = [
        f"{salt}${hashlib.blake2b(text.encode(), digest_size=16, key=bytes.fromhex(salt)).hexdigest()}"
        for text in wanted.texts
        if (salt := secrets.token_hex(8))
    ]
    with part.changing():
        part.run(
            "INSERT INTO erasure (uid, made, made_by, reason, node, zone, service, since, until, digests, erased, held)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
            (uid, now, by, reason, wanted.node, wanted.zone, wanted.service, wanted.since, wanted.until,
             " ".join(digests)),
        )  # fmt: skip
    return uid


# --- finding --------------------------------------------------------------------------------------------


def _condition(wanted: Wanted, table: str) -> tuple[str, list[Any]]:
    """What narrows a table by itself; the texts are looked for in the rows."""
    parts, values = ["1 = 1"], []
    if wanted.node is not None or wanted.zone is not None:
        of: list[str] = []
        if wanted.node is not None:
            of.append("node.name = ?")
            values.append(wanted.node)
        if wanted.zone is not None:
            inside, ends = zone_condition("node.zone", wanted.zone)
            of.append(inside)
            values += ends
        parts.append(f"{table}.node_id IN (SELECT node.id FROM node WHERE {' AND '.join(of)})")  # noqa: S608
    if wanted.service is not None:
        parts.append(f"{table}.service = ?")
        values.append(wanted.service)
    if table == "control":
        parts.append(NOT_AUDIT)
    within, bounds = _within(wanted, table)
    return " AND ".join([*parts, *within]), [*values, *bounds]


_TIMES: Final = {
    "heartbeat": (("minute", "minute"),),
    "deployment": (("last", "since"), ("arrived", "arrived")),
    "presence": (("beacon", "beacon"),),
}
"""Last and first moment that a row speaks of, where it is not its time and its arrival."""


def _within(wanted: Wanted, table: str) -> tuple[list[str], list[int]]:
    bounds = [("{last} >= ?", wanted.since), ("{first} < ?", wanted.until)]
    given = [(text, bound) for text, bound in bounds if bound is not None]
    if not given:
        return [], []
    texts: list[str] = []
    values: list[int] = []
    for last, first in _TIMES.get(table, (("time", "time"), ("arrived", "arrived"))):
        names = {"last": f"{table}.{last}", "first": f"{table}.{first}"}
        texts.append(" AND ".join(text.format(**names) for text, _bound in given))
        values += [bound for _text, bound in given]
    return ["(" + " OR ".join(f"({text})" for text in texts) + ")"], values


def _matching(part: Part, wanted: Wanted, table: str) -> Iterator[tuple[list[Spot], int, int]]:
    """The rows that are meant, by id, as many as one view finds, with how far that was read, and how far there is to read.

    Of those that are there when it begins.

    Whoever goes on saying it would keep this at work for ever.
    """
    columns = ", ".join((*Spot._fields, *(_SEARCHED[table] if wanted.texts else ())))
    most = LOOKED_AT if wanted.texts else LISTED
    condition, values = _condition(wanted, table)
    match = Matcher(wanted.texts)
    at = 0
    with part.view():
        last = int(part.ask(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0])  # noqa: S608
    while True:
        with part.view():
            end = part.ask(
                f"SELECT max(id) FROM (SELECT id FROM {table} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?) AS next",  # noqa: S608
                (at, last, most),
            )[0][0]
            if end is None:
                return
            rows: Any = part.connection.execute(
                f"SELECT {columns} FROM {table} WHERE id > ? AND id <= ? AND {condition} ORDER BY id",  # noqa: S608
                (at, end, *values),
            )
            found = [Spot(*row[:2]) for row in rows if match(row[2:])]
        at = end
        yield found, int(at), last


def _look(part: Part, wanted: Wanted, table: str, told: Told) -> Found:
    if table in _BESIDE[part.kind]:
        with part.view():
            held = _held(part, table)
            condition, values = _condition(wanted, table)
            count, kept = part.ask(
                f"SELECT count(*), coalesce(sum(CASE WHEN {held.text} THEN 1 ELSE 0 END), 0) FROM {table}"  # noqa: S608
                f" WHERE {condition}",
                (*held.values, *values),
            )[0]
        return Found(part.kind.name, table, int(count), 0, int(kept))
    rows, kept, names = 0, 0, set[str]()
    for spots, at, last in _matching(part, wanted, table):
        rows += len(spots)
        for start in range(0, len(spots), STEP_ROWS):
            with part.view():
                held_ids, by = _held_among(part, table, spots[start : start + STEP_ROWS])
            kept += len(held_ids)
            names |= by
        told(table, rows, at, last)
    return Found(part.kind.name, table, rows, 0, kept, tuple(sorted(names)))


def _held(part: Part, table: str) -> holds.Condition:
    if table == "presence":  # the last beacon: the next one is there in ten seconds
        return holds.NOTHING
    return holds.condition(holds.listed(part.connection, ""), table, part.connection.sql)


def _held_among(part: Part, table: str, spots: Sequence[Spot]) -> tuple[set[int], set[str]]:
    """Those of the rows that a hold covers, and the names of the holds."""
    found: set[int] = set()
    names: set[str] = set()
    for hold in holds.in_force(part.connection):
        condition = holds.condition([hold], table, part.connection.sql)
        covered = part.ask(
            f"SELECT id FROM {table} WHERE {_at(spots)} AND {condition.text}",  # noqa: S608
            condition.values,
        )
        if covered:
            names.add(hold.name)
            found |= {int(row[0]) for row in covered}
    return found, names


# --- erasing --------------------------------------------------------------------------------------------


def _erase(part: Part, wanted: Wanted, table: str, now: int, told: Told) -> Found:
    if table in _BESIDE[part.kind]:
        return _erase_beside(part, wanted, table, told)
    rows = erased = kept = 0
    names: set[str] = set()
    for spots, at, last in _matching(part, wanted, table):
        rows += len(spots)
        for start in range(0, len(spots), STEP_ROWS):
            some = spots[start : start + STEP_ROWS]
            with part.changing():
                held_ids, by = _held_among(part, table, some)
                going = [each for each in some if each.id not in held_ids]
                done = _take(part, wanted, table, going, now) if going else 0
            erased, kept = erased + done, kept + len(held_ids)
            names |= by
            told(table, erased, some[-1].id, last)
        told(table, erased, at, last)
    return Found(part.kind.name, table, rows, erased, kept, tuple(sorted(names)))


def _erase_beside(part: Part, wanted: Wanted, table: str, told: Told) -> Found:
    """Small tables without ids that would count: all at once."""
    condition, values = _condition(wanted, table)
    with part.changing():
        if part.served:
            holds.in_force(part.connection)
        held = _held(part, table)
        count = part.ask(f"SELECT count(*) FROM {table} WHERE {condition}", values)[0][0]  # noqa: S608
        done = part.run(f"DELETE FROM {table} WHERE {condition} AND {held.free}", (*values, *held.values))  # noqa: S608
    told(table, done, 1, 1)
    return Found(part.kind.name, table, int(count), done, int(count) - done)


def _take(part: Part, wanted: Wanted, table: str, spots: Sequence[Spot], now: int) -> int:
    """Overwrite or delete rows, in an open transaction; how many there were."""
    newest = part.ask(f"SELECT max(id) FROM {table}")[0][0]  # noqa: S608
    overwritten = (
        list(spots)
        if table == "log" and not wanted.everything
        else [each for each in spots if each.id == newest]
    )
    stays = set(overwritten)
    deleted = [each for each in spots if each not in stays]
    if table == "quarantine":  # nothing else would be left of it, and its ids are nobody's address
        overwritten, deleted = [], list(spots)
    done = 0
    if overwritten:
        done += _overwrite(part, table, overwritten, now)
    if deleted:
        within = _at(deleted)
        if part.file is None:
            marks.uncounted(part.connection, table)
        else:
            _uncount(part.file, table, within)
            if table == "log":
                indexing.forget(part.file, within)
        done += part.run(f"DELETE FROM {table} WHERE {within}")  # noqa: S608
    return done


def _overwrite(part: Part, table: str, spots: Sequence[Spot], now: int) -> int:
    within = _at(spots)
    if table != "log":
        return part.run(f"UPDATE {table} SET kind = 'erased', data = ? WHERE {within}", (_EMPTY_MAP,))  # noqa: S608
    if part.file is not None:
        indexing.forget(part.file, within)
    done = part.run(
        f"UPDATE log SET message = ?, attributes = ?, {_BLANK} WHERE {within}",  # noqa: S608
        (ERASED, json.dumps({"erased": now})),
    )
    if part.file is not None:
        indexing.enter(part.file, within)
    return done


def _uncount(file: Any, table: str, within: str) -> None:
    """What `usage` says of rows that are about to go."""
    if table == "quarantine":
        size = "coalesce(sum(length(header) + length(signature) + length(body)), 0)"
        stream = QUARANTINED
    else:
        size, stream = ("0" if table == "log" else "coalesce(sum(length(data)), 0)"), _STREAMS[table]
    rows, taken = file.execute(f"SELECT count(*), {size} FROM {table} WHERE {within}").fetchone()  # noqa: S608
    uncount(file, stream, rows, taken)


def _at(spots: Sequence[Spot]) -> str:
    """The condition for these rows."""
    ids = ", ".join(str(int(spot.id)) for spot in spots)
    arrived = [int(spot.arrived) for spot in spots]
    return f"id IN ({ids}) AND arrived BETWEEN {min(arrived)} AND {max(arrived)}"
