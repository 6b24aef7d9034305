"""A dispatcher at work: the desk's turns, what is sent, and what people of its home ask."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tabard.brokers.loop import Loop
from tabard.brokers.trust.commanding import approvers, check_issuer
from tabard.brokers.trust.files import Trust
from tabard.brokers.wire.command import CANCEL, Document, Order, decode_document
from tabard.clock import Clock
from tabard.consumers.commands.approving import needed, needs_of, with_approval
from tabard.consumers.commands.asked import AskedTables, Known, chosen
from tabard.consumers.commands.carrying import Carrier
from tabard.consumers.commands.course import NONCES, QUEUED, STATES, Rules
from tabard.consumers.commands.desk import Desk
from tabard.consumers.commands.following import Follower
from tabard.consumers.commands.ports import Item, Witness
from tabard.consumers.commands.serving import Client
from tabard.consumers.commands.talk import (
    NOT_ASKED,
    ORDERS_AT_ONCE,
    of_bytes,
    of_order,
    to_approvals,
    to_order,
    waits_for,
)
from tabard.consumers.commands.targets import groups_of, resolve
from tabard.consumers.store.place import Place
from tabard.errors import RefusedError, StoreError, TrustError, UsageError

LOOK_EVERY: Final = 1.0
"""Seconds between two turns when nothing wakes it."""
FORGET_EVERY: Final = 3_600.0
LISTED: Final = 1_000
MAX_SHOWN: Final = 8 * 2**20
"""Bytes of output in one answer, about."""
_SHOWN: Final = (
    "zone",
    "node",
    "issuer",
    "kind",
    "words",
    "timeout",
    "state",
    "reason",
    "exit",
    "attempts",
    "approved",
    "made",
    "expires",
    "changed",
    "parts",
    "cut",
)
_HEX: Final = frozenset("0123456789abcdef")
_ID: Final = 32

_log = logging.getLogger(__name__)


class Office:
    """One dispatcher. `groups` and `needs` are the entries of `dispatcher.groups` and `dispatcher.approvals`, `keep` nanoseconds."""

    def __init__(
        self,
        place: Place,
        carrier: Carrier,
        trust: Trust,
        rules: Rules,
        witness: Witness,
        loop: Loop,
        clock: Clock,
        groups: Sequence[str],
        keep: int,
        needs: Sequence[str] = (),
    ) -> None:
        self.groups = groups
        self.keep = keep
        self.needs: Mapping[str, int] = needs_of(needs)
        self.rules = rules
        self.fault: str | None = "not begun"
        self._place = place
        self._carrier = carrier
        self._trust = trust
        self._witness = witness
        self._loop = loop
        self._clock = clock
        self._tables = AskedTables(place)
        self._desk: Desk | None = None
        self._followers: list[Follower] = []
        self._forgot = float("-inf")
        self._asked: Mapping[str, Callable[[Client, dict[str, Any]], dict[str, Any]]] = {
            "resolve": self._resolve,
            "check": self._check,
            "submit": self._submit,
            "list": self._list,
            "show": self._show,
            "follow": self._follow,
            "cancel": self._cancel,
            "orders": self._orders_of,
            "approve": self._approve,
        }

    def start(self) -> None:
        """Begin, and go on until the loop ends."""
        self.turn()
        self._loop.every(LOOK_EVERY, self.turn)

    def turn(self) -> None:
        """Everything that there is to do now."""
        with contextlib.suppress(TrustError):  # what was known before goes on to hold
            self._trust.reload()  # who was revoked is refused here, and not only by nodes, who say nothing to that
        self._carrier.look()
        try:
            desk = self._open()
            if desk is None:
                return
            self._turns(desk)
            if waiting := {each.group for each in self._followers if each.waits}:
                self._tell(waiting)
            if self._loop.now() - self._forgot > FORGET_EVERY and not self._tables.forget(
                self._clock.wall() - self.keep
            ):
                self._forgot = self._loop.now()
        except StoreError as error:
            self._drop(error)

    def _turns(self, desk: Desk) -> None:
        now = self._clock.wall()
        turn = desk.turn(now, self._loop.now())
        for item in turn.sends:
            self._carrier.send(item, self._tables.order(item.number), now)
        if turn.changed:
            self._tell(turn.changed)
        if turn.more:
            self._loop.call_soon(self.turn)

    def _open(self) -> Desk | None:
        if self._tables.replaced():
            raise StoreError("the store was replaced by another one", where=str(self._place))
        if self._desk is not None:
            return self._desk
        if not self._tables.open():
            self._tables.close()
            self._say("another dispatcher works for this store: this one waits for its end")
            return None
        desk = Desk(self._tables, self.rules, self._witness, self._is_held)
        desk.start(self._clock.wall())
        if desk.restored:
            _log.warning(
                "the store is an earlier state of itself: commands that had not ended by then are asked for again"
            )
        self._say(None)
        self._desk = desk
        return desk

    def _drop(self, error: StoreError) -> None:
        self._desk = None
        self._tables.close()
        self._tables = AskedTables(self._place)
        self._say(str(error))

    def _say(self, fault: str | None) -> None:
        if fault is not None and fault != self.fault:
            _log.warning("commands wait: %s", fault)
        elif fault is None:
            _log.info("commands go on")
        self.fault = fault

    def close(self) -> None:
        """Leave the store."""
        self._tables.close()

    def status(self) -> dict[str, Any]:
        """For the status file."""
        return {
            "fault": self.fault or self._carrier.fault,
            "open": 0 if self._desk is None else self._desk.open,
            "counters": dict(self._carrier.counters),
        }

    # --- what people ask -------------------------------------------------------------------

    def handle(self, client: Client, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request. Raises TabardError."""
        name = request.get("op")
        asked = self._asked.get(name) if isinstance(name, str) else None
        if asked is None:
            raise UsageError(
                NOT_ASKED, expected="op, one of " + ", ".join(self._asked), found=repr(name)[:60]
            )
        if self._desk is None:
            self.turn()
        try:
            self._ready()
            return {"ok": True, **asked(client, request)}
        except StoreError as error:
            self._drop(error)
            raise

    def _ready(self) -> Desk:
        if self._desk is None:
            raise StoreError("the dispatcher has no store just now", found=self.fault, where=str(self._place))
        return self._desk

    def _resolve(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        targets = request.get("targets")
        if not isinstance(targets, list) or not all(isinstance(each, str) for each in targets):
            raise UsageError("wrong targets", expected="a list of texts", found=repr(targets)[:60])
        now = self._clock.wall()
        known: list[Known] = []
        gone: list[Known] = []
        for each in self._tables.nodes():
            (known if self._carrier.knows((each.zone, each.node), now) else gone).append(each)
        meant = resolve(targets, known, groups_of(self.groups), gone)
        return {"nodes": [{**_node(each, now), "approvals": needed(self.needs, each.zone)} for each in meant]}

    def _check(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        """Whether these orders would be taken: asked of all before the first is given."""
        self._orders(request)
        return {}

    def _submit(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        desk, batch = self._ready(), request.get("batch", 0)
        if type(batch) is not int or not 0 <= batch < 2**31:
            raise UsageError("a wrong batch", expected="a number, 0 for all at once", found=repr(batch)[:60])
        items = self._tables.add(self._orders(request), batch, self._clock.wall())
        desk.add(items)
        self._loop.call_soon(self.turn)
        return {"added": [item.uid.hex() for item in items]}

    def _orders(self, request: dict[str, Any]) -> list[tuple[Order, Document, str]]:
        orders = request.get("orders")
        if not isinstance(orders, list) or not 0 < len(orders) <= ORDERS_AT_ONCE:
            raise UsageError(
                "wrong orders", expected=f"a list of 1 to {ORDERS_AT_ONCE}", found=repr(orders)[:60]
            )
        now = self._clock.wall()
        return [self._checked(to_order(each), now) for each in orders]

    def _checked(self, order: Order, now: int) -> tuple[Order, Document, str]:
        """A command that its node may be asked to do. Raises WireError, TrustError, RefusedError."""
        document = decode_document(order.document)
        issuer = check_issuer(self._trust.directory, document.zone, order, document, now)
        approved = approvers(self._trust.directory, document.zone, order, issuer, now)
        if len(approved) != len(order.approvals):
            raise RefusedError(
                "an approval that does not count",
                expected="those of operators besides its issuer, each once",
                found=f"{len(order.approvals)}, of which {len(approved)} count",
            )
        self._carrier.key_of((document.zone, document.node), now)
        if document.expires <= now:
            raise RefusedError(
                "the command has expired already",
                expected="an expiry in the future",
                found=f"{document.node}: {document.expires}",
            )
        return order, document, str(issuer)

    def _list(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        limit, state = request.get("limit", 50), request.get("state")
        if type(limit) is not int or not 0 < limit <= LISTED:
            raise UsageError("a wrong limit", expected=f"1 to {LISTED}", found=repr(limit)[:60])
        if state is not None and state not in STATES:
            raise UsageError("not a state of commands", expected=", ".join(STATES), found=repr(state)[:60])
        return {"commands": [self._row(each) for each in self._tables.listed(limit, state=state)]}

    def _show(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        shown, room = [], MAX_SHOWN
        for row in self._found(request):
            history, printed = self._tables.history(row["id"]), self._printed(row["id"], room)
            room -= sum(len(each["data"]) for each in printed)
            shown.append({**self._row(row), "history": history, "output": printed})
        return {"commands": shown}

    def _printed(self, number: int, room: int) -> list[dict[str, Any]]:
        """What a command printed, as far as it fits into one answer."""
        found: list[dict[str, Any]] = []
        while room > 0:
            parts = self._tables.output(number, found[-1]["part"] if found else 0)
            if not parts:
                break
            found += [{"part": each.part, "fd": each.fd, "data": of_bytes(each.data)} for each in parts]
            room -= sum(len(each.data) for each in parts)
        return found

    def _follow(self, client: Client, request: dict[str, Any]) -> dict[str, Any]:
        rows = self._found(request)
        follower = Follower(client, rows[0]["group_uid"])
        self._followers.append(follower)
        client.on_room = lambda: self._loop.call_soon(lambda: self._tell({follower.group}))
        self._loop.call_soon(lambda: self._tell({follower.group}))
        return {}

    def _cancel(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        desk = self._ready()
        rows = {row["uid"]: row for row in self._found(request)}
        withdrawn, items = [], []
        underway: list[dict[str, Any]] = []
        ended: list[dict[str, Any]] = []
        for item in self._tables.find(rows):
            course = self.rules.withdrawn(item.course)
            if course is not None:
                items.append(item._replace(course=course))
                withdrawn.append(
                    self._row({**rows[item.uid], "state": course.state, "reason": course.reason})
                )
            else:
                (ended if item.course.ended else underway).append(self._row(rows[item.uid]))
        if items:
            desk.take(items, self._clock.wall())
            self._loop.call_soon(lambda: self._tell({item.group for item in items}))
        return {"withdrawn": withdrawn, "underway": underway, "ended": ended}

    def _is_held(self, item: Item) -> bool:
        return not item.cancels and item.approved < needed(self.needs, item.zone)

    def _orders_of(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        """What others are to approve, as its issuer signed it: whoever signs reads that, and not what is said of it."""
        rows = self._found(request)
        return {"orders": [{**self._row(row), **of_order(self._tables.order(row["id"]))} for row in rows]}

    def _approve(self, _client: Client, request: dict[str, Any]) -> dict[str, Any]:
        """The word of one more operator on commands that have not ended: on all of them or none."""
        desk, now = self._ready(), self._clock.wall()
        given = to_approvals(request.get("approvals"))
        items = self._tables.find(given)
        ended = [item for item in items if item.course.ended]
        if ended or len(items) != len(given):
            raise RefusedError(
                "nothing is left to approve",
                expected="commands that have not ended",
                found=", ".join(f"{each.uid.hex()}: {each.course.state}" for each in ended) or "unknown ones",
            )
        more = []
        for item in items:
            order = self._tables.order(item.number)
            document = decode_document(order.document)
            more.append((item, *with_approval(self._trust.directory, order, document, given[item.uid], now)))
        desk.add(self._tables.approve(more, now))
        self._loop.call_soon(self.turn)
        return {"approved": [self._row(row) for row in self._tables.rows_of([item.uid for item in items])]}

    def _found(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """The commands of an id, or of the beginning of one. Raises UsageError."""
        prefix = request.get("id")
        if not isinstance(prefix, str) or not 4 <= len(prefix) <= _ID or not _HEX.issuperset(prefix):
            raise UsageError(
                "not the id of a command",
                expected="its first 4 digits at least, hexadecimal",
                found=repr(prefix)[:60],
            )
        rows = self._tables.named(prefix)
        return chosen(rows, prefix)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A command as people see it: of one that is held they are told why."""
        missing = 0 if row["kind"] == CANCEL else needed(self.needs, row["zone"]) - row["approved"]
        reason = waits_for(missing) if row["state"] == QUEUED and missing > 0 else row["reason"]
        named = {"id": row["uid"].hex(), "group": row["group_uid"].hex()}
        return {**named, **{name: row[name] for name in _SHOWN}, "reason": reason}

    def _tell(self, groups: set[bytes]) -> None:
        kept = []
        try:
            for follower in self._followers:
                if follower.over or (
                    follower.group in groups and follower.push(self._tables, self._loop.now())
                ):
                    continue
                kept.append(follower)
            self._followers = kept
        except StoreError as error:
            self._drop(error)


def _node(known: Known, now: int) -> dict[str, Any]:
    facts = {name: known.facts.get(name) for name in ("os", "version")}
    here = abs(now - known.heard) <= NONCES * known.interval
    return {"zone": known.zone, "node": known.node, "heard": known.heard, "here": here, **facts}
