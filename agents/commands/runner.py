"""Begins what was accepted, once, and follows it to its end, over any number of starts of the agent.

What is begun is committed as about to be begun first. After a start the folder of such a command says whether anybody began it: who makes
the file `begun` first decides that, the keeper or this agent, so one that was not begun can wait for its turn again without being run twice.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tabard import failpoints
from tabard.agents.commands import answers, table
from tabard.agents.commands.keeping import Folder, Kept, sweep
from tabard.agents.commands.rules import Rules
from tabard.agents.commands.table import Row
from tabard.agents.control import Control
from tabard.brokers.loop import Loop
from tabard.brokers.wire.answers import OUTPUT, RUNNING
from tabard.brokers.wire.command import Document, Order, decode_document, decode_order
from tabard.clock import Clock, boot_id
from tabard.errors import JournalError, RefusedError, WireError

POLL: Final = 0.25
"""Seconds between two looks at a keeper of an agent before."""
GATHER: Final = 0.1
"""Seconds for which output is gathered."""
RETRY: Final = 1.0
"""Seconds after which what the disk refused is tried again."""

STARTING = failpoints.declare("commands.starting", "past the commit that says that a command is begun now")
WRITTEN = failpoints.declare("commands.written", "where what a command is to do lies in its folder")
STARTED = failpoints.declare("commands.started", "where a command is begun, and nothing says so yet")
ENDED = failpoints.declare("commands.ended", "where a command has ended, and nothing says so yet")

GONE: Final = "the process that stood by it is gone, and nobody knows how it ended"
BOOTED: Final = "the host was started anew while it ran"

_log = logging.getLogger(__name__)


class Program(NamedTuple):
    """What is to be begun."""

    words: tuple[str, ...]
    timeout: float


@dataclass
class _Watched:
    """A command that was begun."""

    kept: Kept
    state: str
    """As it is committed,"""
    read: int = 0
    chunk: int = 0
    """and how much of its output."""
    pid: int | None = None
    over: bool = False
    """Its keeper has ended."""
    due: bool = False
    """A look is due already."""
    last: float = 0.0


class Runner:
    """Owned by the agent's loop.

    Args:
        room: where the folders of commands are.
        control: the control stream, whose database has the table.
        loop: calls back.
        clock: stamps the answers.
        rules: what holds now.
        expired: whether an expiry, ns since 1970, has come by a dispatcher's clock, as far as is known.
        believed: sees that who issued and approved an order is believed still; raises RefusedError, WireError.
        answered: is called when there are new answers.
    """

    def __init__(
        self,
        room: Path,
        control: Control,
        loop: Loop,
        clock: Clock,
        rules: Callable[[], Rules],
        expired: Callable[[int], bool],
        believed: Callable[[Order, Document], None],
        answered: Callable[[], object],
    ) -> None:
        self._room = room
        self._control = control
        self._loop = loop
        self._clock = clock
        self._rules = rules
        self._expired = expired
        self._believed = believed
        self._answered = answered
        self._watched: dict[bytes, _Watched] = {}
        self.ready = False
        """What an agent before this one left was looked at."""
        self.waits = True
        """Something may wait for its turn."""
        self._told = ""

    @property
    def running(self) -> int:
        """How many are begun and not over."""
        return len(self._watched)

    def say(self, *said: answers.Answer) -> None:
        """Append answers, in a transaction under way. Raises JournalError."""
        self._control.append(answers.body(self._clock.wall(), said), len(said), {})

    # --- what was left ---------------------------------------------------------------------

    def restore(self) -> None:
        """Find again what an agent before this one began. What the disk refuses is tried again by the next call."""
        if self.ready:
            return
        try:
            with self._control.transaction() as db:
                table.ensure(db)
                left = table.unfinished(db)
            for row in left:
                self._find(row)
        except (JournalError, OSError) as error:
            if self._told != str(error):  # it is tried every few seconds
                _log.error("what became of the commands that were begun cannot be seen now: %s", error)
            self._told = str(error)
            return
        self.ready = True
        sweep(self._room, [each.kept.folder.path.name for each in self._watched.values()])
        self.begin()

    def _find(self, row: Row) -> None:
        if row.id in self._watched:
            return
        folder = Folder(self._room, row.id, row.attempt)
        same_boot = row.boot == boot_id()
        if row.state == table.STARTING and same_boot and folder.never_begun():
            if row.by:
                self._end(row.id, answers.CANCELLED, {"id": row.id.hex(), "by": row.by})
                return
            with self._control.transaction() as db:
                table.not_begun(db, row.id)
            return
        kept = Kept.found(folder)
        if kept is None or not (same_boot or folder.result()):
            self._end(row.id, answers.LOST, {"id": row.id.hex(), "reason": GONE if same_boot else BOOTED})
            folder.end_program()
            return
        self._watched[row.id] = _Watched(kept, row.state, row.read, row.chunk)
        if row.by:
            kept.end()
        self._look_at(row.id, self._loop.now())

    # --- beginning -------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin what waits, as many as may run at a time."""
        try:
            while self.ready and self.waits and self.running < self._rules().running:
                self.waits = self._begin_next()
        except JournalError as error:
            self.look_again()
            _log.error("no command is begun now: %s", error)

    def look_again(self) -> None:
        """The disk refused something, and may have taken it all the same: what is committed is looked at before anything is begun."""
        self.ready, self.waits = False, True

    def _begin_next(self) -> bool:
        with self._control.transaction() as db:
            row = table.next_waiting(db)
            if row is None:
                return False
            program = self._look_again(row)
            if isinstance(program, Program):
                table.starting(db, row.id, boot_id())
            else:
                self._say_end(db, row.id, *program)
        if not isinstance(program, Program):
            self._answered()
            return True
        failpoints.hit(STARTING)
        folder = Folder(self._room, row.id, row.attempt)
        try:
            folder.write(program.words, program.timeout, self._rules().output)
            failpoints.hit(WRITTEN)
            kept = Kept.start(folder)
        except OSError as error:
            reason = f"cannot start: {error.strerror or error}"
            self._end(
                row.id, answers.FAILED, {"id": row.id.hex(), "reason": reason, "seconds": 0.0, "cut": 0}
            )
            folder.remove()
            return True
        failpoints.hit(STARTED)
        self._watched[row.id] = _Watched(kept, table.STARTING)
        self._loop.add_reader(kept.descriptor, partial(self._heard, row.id))
        return True

    def _look_again(self, row: Row) -> Program | answers.Answer:
        """The program of what has waited, or how it ends now: time has passed, and settings and keys may be others."""
        uid = row.id.hex()
        if self._expired(row.expires):
            return answers.EXPIRED, {"id": uid, "now": self._clock.wall()}
        try:
            order = decode_order(row.order)
            document = decode_document(order.document)
            self._believed(order, document)
            words = self._rules().words(document)
        except (RefusedError, WireError) as error:
            expected = error.expected or ""
            return answers.REFUSED, {
                "id": uid, "reason": error.what, "expected": expected, "issuer": row.issuer
            }  # fmt: skip
        if words is None:
            return answers.DONE, {"id": uid, "exit": 0, "seconds": 0.0, "cut": 0}
        return Program(words, document.timeout)

    def end(self, uid: bytes) -> None:
        """End one that was begun: somebody cancelled it, which is committed."""
        watched = self._watched.get(uid)
        if watched is not None:
            watched.kept.end()

    # --- following -------------------------------------------------------------------------

    def _heard(self, uid: bytes) -> None:
        watched = self._watched[uid]
        descriptor = watched.kept.descriptor
        pid, over = watched.kept.hear()
        news = pid is not None and watched.pid is None
        watched.pid = watched.pid or pid
        if over:
            watched.over = True
            self._loop.remove_reader(descriptor)
            watched.kept.close()
        self._look_at(uid, self._loop.now() if over or news else watched.last + GATHER)

    def _look_at(self, uid: bytes, when: float) -> None:
        watched = self._watched[uid]
        if not watched.due:
            watched.due = True
            self._loop.call_at(max(when, self._loop.now()), partial(self._look, uid))
        elif when <= self._loop.now():
            self._loop.call_soon(partial(self._look, uid))

    def _look(self, uid: bytes) -> None:
        watched = self._watched.get(uid)
        if watched is None:
            return
        watched.due, watched.last = False, self._loop.now()
        own = watched.kept.descriptor >= 0
        if not own and not watched.over:
            watched.over = not watched.kept.is_alive()
        try:
            while self._tell(uid, watched):
                self._answered()
            if watched.over:
                self._finish(uid, watched)
        except (JournalError, OSError) as error:
            _log.error("what a command says is kept in its folder until it can be sent: %s", error)
            self._look_at(uid, self._loop.now() + RETRY)
        else:
            if not own and not watched.over:
                self._look_at(uid, self._loop.now() + POLL)

    def _tell(self, uid: bytes, watched: _Watched) -> bool:
        """Send what is new, in one transaction; False when nothing is."""
        said: list[answers.Answer] = []
        pid = watched.kept.folder.program() if watched.pid is None else watched.pid
        if watched.state == table.STARTING and pid is not None:
            said.append((answers.IS_RUNNING, {"id": uid.hex(), "pid": pid}))
        pieces, read = watched.kept.folder.output(watched.read)
        for number, (descriptor, data) in enumerate(pieces, watched.chunk + 1):
            said.append((OUTPUT, {"id": uid.hex(), "n": number, "fd": descriptor, "data": data}))
        if not said:
            return False
        chunk = watched.chunk + len(pieces)
        with self._control.transaction() as db:
            row = table.find(db, uid)
            if row is not None and (row.read, row.chunk) != (watched.read, watched.chunk):
                watched.state, watched.read, watched.chunk = row.state, row.read, row.chunk
                return True  # it was taken when the disk seemed to refuse it: its numbers are not given twice
            if said[0][0] == answers.IS_RUNNING:
                table.answer(db, uid, *said[0])
            table.sent(db, uid, read, chunk)
            self.say(*said)
        watched.state, watched.read, watched.chunk, watched.pid = RUNNING, read, chunk, pid
        return True

    def _finish(self, uid: bytes, watched: _Watched) -> None:
        failpoints.hit(ENDED)
        result = watched.kept.folder.result()
        with self._control.transaction() as db:
            row = table.find(db, uid)
        by = row.by if row else ""
        if result is not None:
            self._end(uid, *answers.ending(uid.hex(), result, by))
        elif watched.kept.folder.never_begun():
            reason = "cannot start: the process that should have begun it ended before it did"
            failed = answers.FAILED, {"id": uid.hex(), "reason": reason, "seconds": 0.0, "cut": 0}
            self._end(uid, *((answers.CANCELLED, {"id": uid.hex(), "by": by}) if by else failed))
        else:
            self._end(uid, answers.LOST, {"id": uid.hex(), "reason": GONE})
            watched.kept.folder.end_program()
        del self._watched[uid]
        watched.kept.folder.remove()
        self._loop.call_soon(self.begin)

    def _end(self, uid: bytes, kind: str, data: Mapping[str, object]) -> None:
        with self._control.transaction() as db:
            self._say_end(db, uid, kind, data)
        self._answered()

    def _say_end(self, db: sqlite3.Connection, uid: bytes, kind: str, data: Mapping[str, object]) -> None:
        """Write down how one ended, with how many parts of its output were sent: whoever reads waits for those."""
        row = table.find(db, uid)
        whole = {**data, "parts": row.chunk if row else 0}
        table.answer(db, uid, kind, whole)
        self.say((kind, whole))
