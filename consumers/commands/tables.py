"""The tables of commands in a store, on both engines, as the desk keeps them.

The dispatcher works beside the recorder, with connections of its own, and writes the tables of commands alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from tabard.brokers.wire.answers import ENDS, OUTPUT, STATE_OF
from tabard.brokers.wire.codec import pack, unpack
from tabard.brokers.wire.command import CANCEL, Approval, Document, Order, decode_document
from tabard.brokers.wire.messages import NONCE_BYTES
from tabard.brokers.wire.streams import CONTROL, STREAM_NAMES
from tabard.consumers.commands.course import QUEUED, Course
from tabard.consumers.commands.ports import Answer, Answers, Item, Marks, Output, Place, Seen
from tabard.consumers.store import opening
from tabard.consumers.store.layout import RECORDS, STATE, check_version
from tabard.consumers.store.place import Place as StorePlace
from tabard.consumers.store.reading import POSTGRESQL, Reading
from tabard.errors import StoreError, WireError

PROGRAM: Final = "tabard dispatcher"
IDLE_SECONDS: Final = 5.0
"""How long a server lets a transaction stand still."""
ANSWERS_AT_ONCE: Final = 500
ASKED_ONE_BY_ONE: Final = 20
"""Nodes up to which each is asked for; of more, all are read."""
MAX_DATA: Final = 2**21
"""Bytes of a control record's data."""
LOCK: Final = 0x7461_6261_7267
"""The advisory lock of the one dispatcher of a store on a server."""

_COURSE: Final = (
    "made",
    "expires",
    "timeout",
    "state",
    "reason",
    "attempts",
    "sent",
    "nonce",
    "said",
    "exit",
    "doubtful",
    "parts",
    "cut",
)
_ITEM: Final = (
    f"SELECT id, uid, group_uid, zone, node, batch, approvals, CASE WHEN kind = '{CANCEL}' THEN document END,"  # noqa: S608
    f" {', '.join(_COURSE)} FROM command"
)
_ADDED: Final = (
    "uid",
    "group_uid",
    "zone",
    "node",
    "issuer",
    "kind",
    "document",
    "signature",
    "credentials",
    "approvals",
    "batch",
)
_ADD: Final = (
    f"INSERT INTO command ({', '.join((*_ADDED, *_COURSE, 'changed'))})"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(_ADDED) + len(_COURSE) + 1))}) RETURNING id"
)
_CHANGE: Final = (
    "UPDATE command SET state = ?, reason = ?, attempts = ?, sent = ?, nonce = ?, said = ?, exit = ?, doubtful = ?, parts = ?, cut = ?,"
    " changed = ? WHERE id = ?"
)
_EVENT: Final = "INSERT INTO command_event (command_id, time, state, reason) VALUES (?, ?, ?, ?)"
_OUTPUT: Final = "INSERT INTO command_output (command_id, part, fd, data) VALUES (?, ?, ?, ?) ON CONFLICT (command_id, part) DO NOTHING"
_MARK: Final = "INSERT INTO command_mark (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_KINDS: Final = (*STATE_OF, OUTPUT)
_MARKS: Final = ", ".join("?" * len(_KINDS))
_ANSWERS: Final = (
    "SELECT control.id, zone, name, kind, data, time FROM control JOIN node ON node.id = control.node_id"  # noqa: S608
    f" WHERE control.id > ? AND control.id <= ? AND kind IN ({', '.join('?' * len(_KINDS))}) ORDER BY control.id LIMIT ?"
)
SEEN: Final = "SELECT zone, name, nonce, beacon, interval, state, facts FROM presence JOIN node ON node.id = presence.node_id"
_GAP: Final = "SELECT max(gap.arrived) FROM gap JOIN node ON node.id = gap.node_id WHERE zone = ? AND name = ? AND stream = ?"
_GAPS: Final = "SELECT zone, name, max(gap.arrived) FROM gap JOIN node ON node.id = gap.node_id WHERE stream = ? GROUP BY zone, name"
_SETTLED: Final = (
    "SELECT (SELECT last_value FROM control_id_seq), pg_snapshot_xmin(pg_current_snapshot())::text::bigint,"
    " pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
)


class Tables:
    """A `DeskStore`, and what it answers besides. Raises StoreError, wherever the store cannot be asked."""

    def __init__(self, place: StorePlace) -> None:
        """Opens nothing; see `open`."""
        self._place = place
        self._closing = contextlib.ExitStack()
        self._parts: dict[str, Reading] = {}
        self._observed: tuple[int, int] | None = None
        self._settled = 0
        self._inode: int | None = None
        self.states: dict[int, str] = {}

    def open(self) -> bool:
        """Connect. False: another dispatcher works for this store. Raises StoreError."""
        for kind in (RECORDS, STATE):
            if self._place.url:
                manager: Any = opening.served(self._place, kind, PROGRAM, idle=IDLE_SECONDS)
            else:
                manager = opening.file(self._place, kind)
            part = self._closing.enter_context(manager)
            self._parts[kind.name] = part
            if not self._place.url:
                check_version(part, str(opening.path_of(self._place, kind)))
        if not self._place.url:
            self._inode = _inode(self._place)
            return True
        with self.asking(STATE.name) as state:
            return bool(state.execute("SELECT pg_try_advisory_lock(?)", (LOCK,)).fetchone()[0])

    def replaced(self) -> bool:
        """Whether another file was put in the place of the one that is open."""
        return self._inode is not None and self._inode != _inode(self._place)

    def close(self) -> None:
        """Disconnect."""
        self._parts.clear()
        with contextlib.suppress(StoreError):
            self._closing.close()

    # --- what the desk asks ----------------------------------------------------------------

    def marks(self) -> Marks:
        """See `DeskStore.marks`."""
        with self.asking(STATE.name) as state:
            found = dict(state.execute("SELECT name, value FROM command_mark").fetchall())
        return Marks(found.get("row", 0), found.get("turns", 0))

    def unfinished(self) -> list[Item]:
        """See `DeskStore.unfinished`."""
        ends = sorted(ENDS)
        marks = ", ".join("?" * len(ends))
        return self._items(f"{_ITEM} WHERE state NOT IN ({marks}) ORDER BY id", ends)

    def find(self, uids: Collection[bytes]) -> list[Item]:
        """See `DeskStore.find`."""
        return [item for uid in uids for item in self._items(f"{_ITEM} WHERE uid = ?", (uid,))]

    def group(self, group: bytes) -> list[Item]:
        """Those of one submission, in order."""
        return self._items(f"{_ITEM} WHERE group_uid = ? ORDER BY id", (group,))

    def order(self, number: int) -> Order:
        """See `DeskStore.order`."""
        with self.asking(STATE.name) as state:
            row = state.execute(
                "SELECT document, signature, credentials, approvals FROM command WHERE id = ?", (number,)
            ).fetchone()
        if row is None:
            raise StoreError("a command is gone", expected=f"row {number} of its table", found="none")
        document, signature, credentials = map(bytes, row[:3])
        return Order(document, signature, credentials, _approvals(row[3]))

    def seen(self, places: Collection[Place]) -> dict[Place, Seen]:
        """See `DeskStore.seen`."""
        with self.asking(RECORDS.name) as records:
            if len(places) > ASKED_ONE_BY_ONE:
                rows = records.execute(SEEN).fetchall()
            else:
                asked = f"{SEEN} WHERE zone = ? AND name = ?"
                rows = [row for place in places for row in records.execute(asked, place).fetchall()]
        rows = [row for row in rows if (row[0], row[1]) in places and row[2] is not None]
        return {
            (zone, name): Seen(bytes(nonce), heard, interval, _behind(state))
            for zone, name, nonce, heard, interval, state, _facts in rows
            if len(nonce) == NONCE_BYTES
        }

    def gaps(self, places: Collection[Place]) -> dict[Place, int]:
        """See `DeskStore.gaps`."""
        with self.asking(STATE.name) as state:
            if len(places) > ASKED_ONE_BY_ONE:
                rows = state.execute(_GAPS, (CONTROL,)).fetchall()
            else:
                rows = [(*place, state.execute(_GAP, (*place, CONTROL)).fetchone()[0]) for place in places]
        return {
            (zone, name): int(arrived)
            for zone, name, arrived in rows
            if arrived is not None and (zone, name) in places
        }

    def answers(self, after: int) -> Answers:
        """See `DeskStore.answers`."""
        with self.asking(STATE.name) as state:
            (last,) = state.execute("SELECT max(id) FROM control WHERE id > ?", (after,)).fetchone()
            if last is None:
                return Answers((), after, complete=True)
            upto = min(int(last), self._settle(state))
            if upto <= after:
                return Answers((), after, complete=False)
            rows = state.execute(_ANSWERS, (after, upto, *_KINDS, ANSWERS_AT_ONCE)).fetchall()
        if len(rows) == ANSWERS_AT_ONCE:
            upto = int(rows[-1][0])
        found = [
            Answer(row, (zone, name), kind, _map(data), time) for row, zone, name, kind, data, time in rows
        ]
        return Answers(found, upto, complete=upto == last)

    def _settle(self, state: Reading) -> int:
        """Up to which row nobody adds any before it. Several recorders commit in another order than they draw numbers."""
        if state.sql is not POSTGRESQL:
            return 2**63 - 1
        last, oldest, next_ = state.execute(_SETTLED).fetchone()
        if self._observed is not None and oldest >= self._observed[1]:
            self._settled = self._observed[0]
            self._observed = None
        if oldest == next_:
            self._settled = int(last)
        elif self._observed is None:
            self._observed = (int(last), int(next_))
        return self._settled

    def commit(self, items: Sequence[Item], outputs: Sequence[Output], marks: Marks, now: int) -> None:
        """See `DeskStore.commit`."""
        states: dict[int, str] = {}
        with self.changing() as state:
            for item in items:
                course = item.course
                before = self.states.get(item.number)
                state.execute(_CHANGE, (*_changing_part(course), now, item.number))
                states[item.number] = course.state
                if before != course.state:
                    state.execute(_EVENT, (item.number, now, course.state, course.reason))
            for output in outputs:
                state.execute(_OUTPUT, output)
            for name, value in marks._asdict().items():
                state.execute(_MARK, (name, value))
        self.states.update(states)

    def add(self, orders: Iterable[tuple[Order, Document, str]], batch: int, now: int) -> list[Item]:
        """Keep commands, each with its document and its issuer's name; those that are known already are not added again."""
        items: list[Item] = []
        with self.changing() as state:
            for order, document, issuer in orders:
                known = state.execute("SELECT id FROM command WHERE uid = ?", (document.id,)).fetchone()
                if known is not None:
                    continue
                course = Course(now, document.expires, round(document.timeout * 1e9))
                approvals = _packed(order)
                who = (document.id, document.group, document.zone, document.node, issuer, document.kind)
                what = (*order[:3], approvals, batch)
                (number,) = state.execute(_ADD, (*who, *what, *_row(course), now)).fetchone()
                state.execute(_EVENT, (number, now, QUEUED, ""))
                items.append(
                    Item(
                        int(number),
                        document.id,
                        document.group,
                        document.zone,
                        document.node,
                        batch,
                        course,
                        _cancels(document),
                        len(order.approvals),
                    )
                )
        self.states.update((item.number, item.course.state) for item in items)
        return items

    def approve(self, items: Sequence[tuple[Item, Order, str]], now: int) -> list[Item]:
        """Keep orders with more approvals, each with whose came now; the items as they are then."""
        with self.changing() as state:
            for item, order, who in items:
                state.execute("UPDATE command SET approvals = ? WHERE id = ?", (_packed(order), item.number))
                state.execute(_EVENT, (item.number, now, item.course.state, f"approved by {who}"))
        return [item._replace(approved=len(order.approvals)) for item, order, _ in items]

    # --- inside ----------------------------------------------------------------------------

    def _items(self, text: str, values: Sequence[Any]) -> list[Item]:
        with self.asking(STATE.name) as state:
            rows = state.execute(text, values).fetchall()
        items = []
        for number, uid, group, zone, node, batch, approvals, cancellation, *course in rows:
            known = _course(course)
            cancels = _cancels(decode_document(bytes(cancellation))) if cancellation else b""
            approved = len(_approvals(approvals))
            items.append(Item(number, bytes(uid), bytes(group), zone, node, batch, known, cancels, approved))
            self.states[number] = known.state
        return items

    @contextlib.contextmanager
    def asking(self, part: str) -> Iterator[Reading]:
        """One part of the store. Raises StoreError, also in place of the driver's errors within."""
        found = self._parts.get(part)
        if found is None:
            raise StoreError("the store is not open", where=str(self._place))
        with _sentences(str(self._place)):
            yield found

    @contextlib.contextmanager
    def changing(self) -> Iterator[Reading]:
        """A transaction on the tables of commands. Raises StoreError."""
        with self.asking(STATE.name) as state:
            state.execute("BEGIN" if self._place.url else "BEGIN IMMEDIATE")
            try:
                yield state
            except BaseException:
                with contextlib.suppress(Exception):
                    state.execute("ROLLBACK")
                raise
            state.execute("COMMIT")


@contextlib.contextmanager
def _sentences(where: str) -> Iterator[None]:
    """Raises StoreError in place of the driver's errors."""
    import sqlite3

    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            "the store cannot be used", expected="one that answers", found=str(error), where=where
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "psycopg2":
            raise
        found = " ".join(str(error).split())
        raise StoreError(
            "the store cannot be used", expected="one that answers", found=found, where=where
        ) from error


def _inode(place: StorePlace) -> int:
    """Of the file with the control stream; 0 while there is none."""
    try:
        return opening.path_of(place, STATE).stat().st_ino
    except OSError:
        return 0


def _row(course: Course) -> tuple[Any, ...]:
    return tuple(int(each) if isinstance(each, bool) else each for each in course[: len(_COURSE)])


def _course(row: Sequence[Any]) -> Course:
    found = Course(*row)
    return found._replace(nonce=bytes(found.nonce), said=bool(found.said), doubtful=bool(found.doubtful))


def _changing_part(course: Course) -> tuple[Any, ...]:
    return _row(course)[3:]


def _packed(order: Order) -> bytes:
    return pack([tuple(each) for each in order.approvals])


def _approvals(packed: bytes) -> tuple[Approval, ...]:
    return tuple(Approval(*each) for each in unpack(bytes(packed), limit=MAX_DATA, maps=False))


def _cancels(document: Document) -> bytes:
    return bytes.fromhex(document.words[0]) if document.kind == CANCEL else b""


def _behind(state: str) -> int:
    control = mapping(state).get(STREAM_NAMES[CONTROL])
    behind = control.get("behind") if isinstance(control, dict) else None
    return behind if type(behind) is int else 1


def mapping(text: str) -> dict[str, Any]:
    """What a text of JSON says; {} where it is no map."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _map(data: bytes) -> dict[str, Any]:
    try:
        found = unpack(bytes(data), limit=MAX_DATA)
    except WireError:
        return {}
    return found if isinstance(found, dict) else {}
