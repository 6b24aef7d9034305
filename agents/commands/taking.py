"""Takes commands in: each is answered in the transaction that remembers it, before anything of it is begun."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tabard.agents.commands import answers, table
from tabard.agents.commands.deciding import (
    CLOCKS,
    LOST,
    Decision,
    Load,
    What,
    check_approvals,
    decide,
    may_have_been,
    recalled,
)
from tabard.agents.commands.hearing import Heard, Ignored, hear
from tabard.agents.commands.rules import Rules
from tabard.agents.commands.runner import Runner
from tabard.agents.control import Control
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.refusals import Refusals
from tabard.brokers.loop import Loop
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.trust.commanding import approvers, check_issuer
from tabard.brokers.trust.directory import Directory
from tabard.brokers.wire.answers import ENDS
from tabard.brokers.wire.command import (
    CANCEL,
    COMMAND_KIND,
    MAX_LIFE,
    Document,
    Order,
    decode_command,
    encode_order,
)
from tabard.brokers.wire.messages import Message, kind_of
from tabard.clock import Clock
from tabard.errors import JournalError, RefusedError, TrustError, WireError

_REPEATED: Final = 10_000
"""Commands of which is remembered when they were answered last."""

_log = logging.getLogger(__name__)


class Commands:
    """All that a node does about commands.

    Args:
        me: this node.
        room: a directory for the folders of those that run.
        control: the control stream.
        loop: calls back.
        clock: stamps answers, and tells how long ago a dispatcher was heard.
        rules: what holds now.
        directory: whom to believe; None in a home without keys.
        unbox: opens what is sealed to this node's key.
        knows: whether a nonce is that of one of the last beacons.
        roomy: whether the control stream has room for what a command may say.
        refusals: where it is noted who is not believed.
        counters: the agent's.
        answered: is called when there are new answers.
        every: seconds between two answers to a command that is known already.
    """

    def __init__(
        self,
        me: NodeKey,
        room: Path,
        control: Control,
        loop: Loop,
        clock: Clock,
        *,
        rules: Callable[[], Rules],
        directory: Callable[[], Directory | None],
        unbox: Callable[[bytes], bytes | None],
        knows: Callable[[bytes], bool],
        roomy: Callable[[], bool],
        refusals: Refusals,
        counters: Counter[str],
        answered: Callable[[], object],
        every: float,
    ) -> None:
        self._me = me
        self._control = control
        self._clock = clock
        self._rules = rules
        self._directory = directory
        self._unbox = unbox
        self._knows = knows
        self._roomy = roomy
        self._refusals = refusals
        self._counters = counters
        self._answered = answered
        self._every = every
        self._now: tuple[int, float] | None = None
        """What a dispatcher's clock said last, and when that was."""
        self._repeated: OrderedDict[bytes, float] = OrderedDict()
        self.runner = Runner(room, control, loop, clock, rules, self._has_expired, self._believe, answered)

    def look_after(self) -> None:
        """Find what an agent before this one began, and begin what waits."""
        self.runner.restore()
        self.runner.begin()

    def is_one(self, message: Message) -> bool:
        """Whether a message of the down lane is a command."""
        try:
            return kind_of(message.head) == COMMAND_KIND
        except WireError:
            return False

    def take(self, message: Message) -> None:
        """Take in a message of kind 9. What is nothing for this node is counted."""
        now = self._clock.monotonic()
        try:
            heard = hear(message, self._me, self._directory(), self._unbox, self._knows, self._clock.wall())
        except Ignored as error:
            self._counters[f"command ignored: {error}"] += 1
        except TrustError as error:
            self._refusals.note(now, f"dispatcher {_claimed(message)}", "command", error.reason)
        except WireError:
            self._counters["malformed command"] += 1
        else:
            self._now = (heard.now, now)
            self._settle(heard, now)

    def _settle(self, heard: Heard, now: float) -> None:
        if now - self._repeated.get(heard.document.id, float("-inf")) < self._every:
            return  # answered just now
        if not self.runner.ready:
            self.runner.restore()
        try:
            with self._control.transaction() as db:
                table.ensure(db)
                before = table.memory(db)
                memory = recalled(before, heard.now, self._clock.wall())
                if memory.since is not None and memory != before:
                    table.remember_since(db, memory.since)
                known, named = table.find(db, heard.document.id), self._named(db, heard)
                load = Load(table.count(db), table.count(db, table.WAITING))
                decision = decide(
                    heard, self._rules(), known, memory, load, lambda: self._approved(heard), named
                )
                keeps = decision.what is What.KEEP
                if decision.what is What.PUT_OFF or (keeps and not (self.runner.ready and self._roomy())):
                    self._counters["command put off"] += 1  # its dispatcher sends it again
                    return
                ends = self._note(db, heard, decision, known or named, memory, now)
                table.forget(db, heard.now)
        except JournalError as error:
            self._repeated.pop(heard.document.id, None)
            self._counters["command put off"] += 1
            self.runner.look_again()
            _log.error("a command is put off: %s", error)
            return
        self.runner.waits |= decision.what is What.KEEP
        if ends is not None:
            self.runner.end(ends)
        self._answered()
        self.runner.begin()

    def _note(
        self,
        db: sqlite3.Connection,
        heard: Heard,
        decision: Decision,
        row: table.Row | None,
        memory: table.Memory,
        now: float,
    ) -> bytes | None:
        """Write down what was decided, with its answers; the command that is to be ended, if one is. Raises JournalError.

        `row`: that of the command, or of the one that it cancels.
        """
        uid, issuer = heard.document.id.hex(), _shown(heard.issuer)
        if decision.what is What.REPEAT:
            assert row is not None
            self._repeat(row.id, now)
            self.runner.say(row.answer)
            table.expires_at(db, row.id, heard.document.expires)
            return None
        accepted: answers.Answer = (
            answers.ACCEPTED,
            {"id": uid, "issuer": issuer, "what": answers.shown(heard.document)},
        )
        done: answers.Answer = (answers.DONE, {"id": uid, "exit": 0, "seconds": 0.0, "cut": 0, "parts": 0})
        ends: bytes | None = None
        said: list[answers.Answer] = []
        remembers = True
        if decision.what is What.EXPIRE:
            said = [(answers.EXPIRED, {"id": uid, "now": heard.now})]
            if heard.document.expires <= heard.now:
                table.remember_expired(db, heard.document.expires)
            remembers = False
        elif decision.what is What.LOSE:
            said = [(answers.LOST, {"id": uid, "reason": decision.reason})]
            remembers = False  # as long as it knows that it does not know
        elif decision.what is What.REFUSE:
            refusal = {"reason": decision.reason, "expected": decision.expected, "issuer": issuer, "parts": 0}
            said = [(answers.REFUSED, {"id": uid, **refusal})]
        elif decision.what is What.CANCEL:
            ends, others, failed = self._cancel(db, heard, issuer, row, memory)
            last = (answers.FAILED, {**done[1], "exit": 1, "reason": failed}) if failed else done
            said = [accepted, *others, last]
        elif decision.what is What.ANSWER:
            said = [accepted, done]
        else:
            said = [accepted]
        keeps = encode_order(heard.order) if decision.what is What.KEEP else b""
        if remembers:
            table.insert(db, heard.document.id, issuer, heard.document.expires, keeps, *said[-1])
        self._repeat(heard.document.id, now)
        self.runner.say(*said)
        return ends

    def _cancel(
        self, db: sqlite3.Connection, heard: Heard, by: str, row: table.Row | None, memory: table.Memory
    ) -> tuple[bytes | None, list[answers.Answer], str]:
        """Which command is to be ended, what is to be said of it, and why it cannot be cancelled."""
        target = bytes.fromhex(heard.document.words[0])
        said: answers.Answer = (answers.CANCELLED, {"id": target.hex(), "by": by, "parts": 0})
        if row is None:  # it may come yet, or be one of those that are not remembered any more
            said = answers.CANCELLED, {**said[1], "forgotten": memory.forgotten}
            if may_have_been(memory, heard.now - MAX_LIFE):
                said = answers.LOST, {"id": target.hex(), "reason": LOST}
            table.insert(db, target, by, heard.now + CLOCKS + MAX_LIFE, b"", *said)
            return None, [said], ""
        if row.state in ENDS:
            return None, [], f"it has ended: {row.state}"
        if row.state == table.WAITING:
            table.answer(db, target, *said)
            return None, [said], ""
        table.cancelled_by(db, target, by)
        return target, [], ""

    def _named(self, db: sqlite3.Connection, heard: Heard) -> table.Row | None:
        """The command that is to be cancelled."""
        document = heard.document
        return table.find(db, bytes.fromhex(document.words[0])) if document.kind == CANCEL else None

    def _approved(self, heard: Heard) -> int:
        directory = self._directory()
        assert directory is not None  # or its issuer had not been believed
        return len(approvers(directory, self._me.zone, heard.order, heard.issuer, heard.now))

    def _believe(self, order: Order, document: Document) -> None:
        """See that those are believed still who wanted what has waited. Raises RefusedError, WireError."""
        directory = self._directory()
        if directory is None:
            raise RefusedError(
                "this node has no keys any more",
                expected="those by which it believed the issuer",
                found="a home without keys",
            )
        now = self._dispatchers_now() or document.issued
        issuer = check_issuer(directory, self._me.zone, order, document, now)
        check_approvals(self._rules(), lambda: len(approvers(directory, self._me.zone, order, issuer, now)))

    def _repeat(self, uid: bytes, now: float) -> None:
        self._repeated[uid] = now
        self._repeated.move_to_end(uid)
        if len(self._repeated) > _REPEATED:
            self._repeated.popitem(last=False)

    def _has_expired(self, expires: int) -> bool:
        now = self._dispatchers_now()
        return now is not None and expires <= now

    def _dispatchers_now(self) -> int | None:
        """Nanoseconds since 1970 by the clock of the dispatcher that was heard last; None: none was since the agent was started."""
        if self._now is None:
            return None
        said, when = self._now
        return said + int((self._clock.monotonic() - when) * 1e9)

    def status(self) -> dict[str, Any]:
        """For the status file."""
        rules = self._rules()
        return {
            "accept": sorted(rules.accept),
            "actions": sorted(rules.actions),
            "running": self.runner.running,
        }


def _shown(issuer: Certificate) -> str:
    return f"{issuer.name} of {issuer.zone}"


def _claimed(message: Message) -> str:
    try:
        return decode_command(message.head).dispatcher
    except WireError:
        return "of no name"
