"""Seeded bugs: each breaks one production class in one way that somebody could plausibly write.

The simulation is only worth its time if it catches every one of them, within few seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from tabard.agents.journal import quota
from tabard.agents.journal.aging import JournalTime
from tabard.agents.journal.gaps import GapMaker
from tabard.agents.journal.journal import Journal
from tabard.agents.journal.mend import Expect, mend
from tabard.agents.journal.outbox import Outbox
from tabard.agents.journal.pen import Pen
from tabard.agents.journal.quota import Quota
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.writer import SyncJob, Writer, reopen_segment
from tabard.brokers.delivery import intake as intake_module
from tabard.brokers.delivery import ranges as ranges_module
from tabard.brokers.delivery import sender as sender_module
from tabard.brokers.delivery.book import EpochBook
from tabard.brokers.delivery.credit import Budget
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.history import Verdict
from tabard.brokers.delivery.intake import Intake
from tabard.brokers.delivery.ports import CursorConflict, EpochWork, StoreUnavailable
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.reply import Reply
from tabard.brokers.delivery.sender import Sender
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.trust import seal as seal_module
from tabard.brokers.trust.seal import KeySeal
from tabard.consumers.store.commit import Commit
from tests.sim.plan import PLENTY, Plan

Patch = Callable[[], Any]


@dataclass(frozen=True)
class Bug:
    """One bug: how to make it, and worlds in which it shows."""

    name: str
    patch: Patch
    plan: Plan
    seeds: int
    """Seeds within which the simulation must catch it."""


BUGS: Final[list[Bug]] = []
CALM: Final = Plan(("kill broker",), seconds=12.0, fault_count=0, burst=5, loss=0.1)
"""Nothing befalls anybody, but links lose some messages."""


def _bug(
    name: str, *faults: str, seeds: int = 30, **plan: Any
) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Any]]:
    def register(patch: Callable[[], Iterator[None]]) -> Callable[[], Any]:
        made = contextmanager(patch)
        drawn = replace(CALM, faults=faults, fault_count=4) if faults else CALM
        BUGS.append(Bug(name, made, replace(drawn, **plan), seeds))
        return made

    return register


@contextmanager
def _set(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


sink_bug = _bug
set_for = _set


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """Do nothing."""


# --- the sink: commits and cursors ---------------------------------------------------------


@_bug(
    "a cursor is sent before its commit",
    "store away",
    "cut link",
    burst=40,
    pace=0.2,
    fault_count=12,
    seconds=25.0,
)
def _() -> Iterator[None]:
    flush = Sink.flush

    def early(self: Sink, now: float, wall: int) -> list[EpochWork]:
        for node in list(self._dirty):
            for stream in node.streams.values():
                for book in stream.epochs.values():
                    book.cursor.ranges = book.seen.copy()
            if all(stream.newest for stream in node.streams.values()):
                self._out.append(self._reply.cursor(now, node))
        return flush(self, now, wall)

    with _set(Sink, "flush", early):
        yield


class _Deaf:
    """A store whose failures nobody hears of."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Take every commit for done."""
        try:
            self._store.commit(work, arrived)
        except (CursorConflict, StoreUnavailable):
            for item in work:
                item.cursor.version += 1


@_bug("a failed commit is taken for done", "store away", burst=40, pace=0.3)
def _() -> Iterator[None]:
    flush = Sink.flush

    def deaf(self: Sink, now: float, wall: int) -> list[EpochWork]:
        store, self._store = self._store, _Deaf(self._store)
        try:
            return flush(self, now, wall)
        finally:
            self._store = store

    with _set(Sink, "flush", deaf):
        yield


@_bug("what a failed commit held stays pending", "doubtful commits")
def _() -> Iterator[None]:
    def keep(self: Sink, error: Exception) -> None:
        self.fault = str(error)
        self._dirty.update(dict.fromkeys(self._nodes.values()))

    with _set(Sink, "store_lost", keep):
        yield


@_bug("the cursor is committed before its rows", "die at a fail-point", fault_count=12, seconds=25.0)
def _() -> Iterator[None]:
    set_cursors = Commit._set_cursors

    def alone(self: Commit, work: Sequence[EpochWork], nodes: Sequence[int]) -> None:
        set_cursors(self, work, nodes)
        self._writer.commit()
        self._writer.begin()

    with _set(Commit, "_set_cursors", alone):
        yield


@_bug(
    "compare-and-set does not compare",
    "restore store while running",
    seconds=25.0,
    unnoticed=1.0,
    fault_count=1,
)
def _() -> Iterator[None]:
    def blind(self: Commit, work: Sequence[EpochWork], nodes: Sequence[int]) -> None:
        for item, node_id in zip(work, nodes, strict=True):
            ranges = item.cursor.ranges.encode()
            self._writer.run(
                "INSERT INTO epoch (node_id, stream, uid, version, ranges, previous_last, opened, finished, created) "
                "VALUES (?, ?, ?, 1, ?, 0, 1, 0, 0) ON CONFLICT DO UPDATE SET ranges = excluded.ranges",
                (node_id, item.stream, item.cursor.epoch, ranges),
            )

    with _set(Commit, "_set_cursors", blind):
        yield


# --- the sink: commits beside the loop ------------------------------------------------------


@_bug("what comes in during a commit is taken for stored", aside=True, burst=40, pace=0.1, seeds=10)
def _() -> Iterator[None]:
    committed = EpochBook.committed

    def greedy(self: EpochBook, work: EpochWork) -> None:
        committed(self, work)
        self.entries, self.gaps, self.changed = [], [], False

    with _set(EpochBook, "committed", greedy):
        yield


@_bug("a commit that has begun is taken for done", "kill recorder", aside=True, burst=40, pace=0.1)
def _() -> Iterator[None]:
    begin = Sink.begin

    def rash(self: Sink) -> list[EpochWork]:
        works = begin(self)
        for begun in self._begun:
            begun.book.cursor = begun.work.cursor
        return works

    with _set(Sink, "begin", rash):
        yield


@_bug(
    "what came in behind a failed commit is kept",
    "doubtful commits",
    "store away",
    aside=True,
    burst=40,
    pace=0.1,
    seconds=25.0,
)
def _() -> Iterator[None]:
    def keep(self: Sink, error: Exception) -> None:
        self.fault = str(error)

    with _set(Sink, "store_lost", keep):
        yield


# --- the sink: what is missing -------------------------------------------------------------


@_bug("holes are never asked for")
def _() -> Iterator[None]:
    with _set(Reply, "_wants", lambda *_: ()):
        yield


@_bug("a lost tail is not noticed", "kill node", "cut link", seconds=25.0)
def _() -> Iterator[None]:
    spans = Intake.spans

    def short(self: Intake, node: Any, stream: Any, part: Any, **rest: Any) -> None:
        seen = {epoch: book.seen.high for epoch, book in stream.epochs.items()}
        known = tuple(
            (epoch, oldest, min(last, seen.get(epoch, last)), digest)
            for epoch, oldest, last, digest in part.spans
        )
        spans(self, node, stream, part._replace(spans=known), **rest)

    with _set(Intake, "spans", short):
        yield


@_bug("a range that was asked for is never asked for again", loss=0.3)
def _() -> Iterator[None]:
    account = Sink._account

    def remember(self: Sink, node: Any, stream: Any, envelope: Any, *, received: int) -> None:
        asked = dict(stream.asked)
        account(self, node, stream, envelope, received=received)
        stream.asked = asked

    with _set(Sink, "_account", remember):
        yield


@_bug("what a node no longer keeps is waited for", "restore store")
def _() -> Iterator[None]:
    with _set(Intake, "_lose", _nothing):
        yield


@_bug("epochs that no beacon names are never closed", "restore journal", "kill node", "restore store")
def _() -> Iterator[None]:
    with _set(Intake, "_close_unlisted", _nothing):
        yield


@_bug("gap frames are ignored", "cut link", "store away", quota=24 * 1024, burst=40, seconds=25.0)
def _() -> Iterator[None]:
    with _set(Intake, "_take_gap", lambda *_: False):
        yield


@_bug(
    "a gap claims records that are stored", "cut link", "store away", quota=24 * 1024, burst=40, seconds=25.0
)
def _() -> Iterator[None]:
    with _set(EpochBook, "unsaid", lambda _self, lo, hi: [(lo, hi)]):
        yield


@_bug("a power cut is not told", "power cut", fsync=2.0)
def _() -> Iterator[None]:
    opened = Intake._open

    def silent(self: Intake, key: Any, stream: Any, book: Any, info: Any) -> None:
        opened(self, key, stream, book, info._replace(power=False, lost=None))

    with _set(Intake, "_open", silent):
        yield


# --- two histories ---------------------------------------------------------------------------


@_bug("a duplicate is told by its number alone", "restore host", "freeze recorder", seeds=60)
def _() -> Iterator[None]:
    with (
        _set(Intake, "_compare", _nothing),
        _set(intake_module, "_contradicts", lambda seen, last, _digest: last < seen.high),
        _set(ranges_module, "_must_join", _nothing),
    ):
        yield


@_bug("nothing is made of a beacon that ends otherwise", "restore host", seeds=60)
def _() -> Iterator[None]:
    with _set(intake_module, "_contradicts", lambda *_: False):
        yield


@_bug("a fork does not know what is stored already", "restore host")
def _() -> Iterator[None]:
    with _set(Epochs, "held_before", lambda *_: False):
        yield


BOTH_BACK: Final[dict[str, Any]] = {"seconds": 40.0, "burst": 20, "pace": 0.5, "loss": 0.0}


@_bug(
    "what is stored before a hole counts as proven",
    "restore host",
    "restore store",
    nodes=2,
    fault_count=8,
    **BOTH_BACK,
)
def _() -> Iterator[None]:
    with _set(intake_module, "is_proven", lambda *_: True):
        yield


@_bug(
    "a fork is taken to follow what is stored before it",
    *("restore host", "restore store", "restore store", "restore host", "wipe store"),
    nodes=3,
    fault_count=12,
    **BOTH_BACK,
)
def _() -> Iterator[None]:
    with _set(intake_module, "follow", _nothing):
        yield


@_bug("a node believes every cursor", "restore host", "freeze recorder", burst=40, pace=0.3)
def _() -> Iterator[None]:
    with _set(sender_module, "judge", lambda *_: Verdict.OURS):
        yield


@_bug("a fork is not told", "restore journal", seeds=60)
def _() -> Iterator[None]:
    fork = Intake._fork

    def silent(self: Intake, stream: Any, book: Any) -> Any:
        told = len(book.gaps)
        forked = fork(self, stream, book)
        del book.gaps[told:]
        return forked

    with _set(Intake, "_fork", silent):
        yield


@_bug("a doubt names no epoch", "power cut", fsync=2.0)
def _() -> Iterator[None]:
    doubt = intake_module._doubt

    def nowhere(_epoch: bytes, _first: int, reason: str, detail: str) -> Any:
        return doubt(None, 1, reason, detail)  # type: ignore[arg-type]

    with _set(intake_module, "_doubt", nowhere):
        yield


# --- gaps and the chain ----------------------------------------------------------------------


@_bug("every gap counts one record", "store away", quota=24 * 1024, burst=40, pace=0.3)
def _() -> Iterator[None]:
    add = Intake._add_gaps

    def one(book: Any, lost: Any, reason: str, *, at_least: bool = False) -> None:
        before = len(book.gaps)
        add(book, lost, reason, at_least=at_least)
        book.gaps[before:] = [gap._replace(count=1) for gap in book.gaps[before:]]

    with _set(Intake, "_add_gaps", staticmethod(one)):
        yield


@_bug("an epoch forgets where the one before it ended", "kill node")
def _() -> Iterator[None]:
    opened = Intake._open

    def forgetful(self: Intake, key: Any, stream: Any, book: Any, info: Any) -> None:
        opened(self, key, stream, book, info)
        book.previous_last = 0

    with _set(Intake, "_open", forgetful):
        yield


# --- credit and sessions -------------------------------------------------------------------


@_bug("credit is lost with the session that held it", "die at a fail-point", budget=8, fault_count=60)
def _() -> Iterator[None]:
    with _set(Budget, "close", _nothing), _set(Budget, "expire", _nothing):
        yield


@_bug(
    "a lower cursor of a new session is not believed",
    "restore store",
    "die at a fail-point",
    fault_count=12,
    seconds=25.0,
    keep_acked=PLENTY,
)
def _() -> Iterator[None]:
    begin = Sender.begin

    def keep(self: Sender, session: bytes) -> None:
        cursors, settled = self.cursors, self.settled
        begin(self, session)
        self.cursors, self.settled = cursors, settled

    with _set(Sender, "begin", keep):
        yield


@_bug("a new session is taken for an old one", "kill recorder")
def _() -> Iterator[None]:
    current = Publisher._is_current

    def first_only(self: Publisher, state: Any, cursor: Any) -> bool:
        known = state.number > 0 and cursor.session != state.session
        return not known and current(self, state, cursor)

    with _set(Publisher, "_is_current", first_only):
        yield


@_bug("stored epochs crowd the beacon", "die at a fail-point", "cut link", fault_count=60, keep_acked=PLENTY)
def _() -> Iterator[None]:
    with _set(Sender, "unsettled", lambda self: list(self.journal.spans())):
        yield


# --- keys ----------------------------------------------------------------------------------


@_bug("signatures are not looked at", signed=True, burst=20)
def _() -> Iterator[None]:
    with _set(KeySeal, "_verified", staticmethod(lambda *_: "")):
        yield


@_bug("any zone may have a sink", signed=True, loss=0.3)
def _() -> Iterator[None]:
    with _set(seal_module, "zone_within", lambda *_: True):
        yield


# --- the journal ---------------------------------------------------------------------------


@_bug("an epoch is kept over a restart", "power cut", fsync=2.0)
def _() -> Iterator[None]:
    begin = Pen.begin

    def go_on(self: Pen) -> Writer:
        newest = self._catalog.newest
        writer = reopen_segment(self._shelf, newest) if newest and not newest.head.gap else None
        if newest is None or writer is None:
            return begin(self)
        head = newest.head
        expect = Expect(head.epoch, head.base, head.previous, newest.end, newest.digest)
        found = mend(self._shelf.read(newest.name), expect, GapMaker(self._author.stream))
        writer.index = found.index
        newest.size = found.index.offsets[-1] + found.index.lengths[-1]
        writer.file.truncate(newest.size)
        self.writer = writer
        return writer

    with _set(Pen, "begin", go_on):
        yield


@_bug("segments are removed before they are stored", "cut link", "store away", "kill recorder")
def _() -> Iterator[None]:
    def trust(self: Quota, *_: Any) -> None:
        for segment in list(self._catalog)[:-1]:
            self._catalog.set_acked(segment, acked=True)

    with _set(Quota, "mark", trust):
        yield


@_bug("batches are published before they are synced", "power cut", fsync=2.0)
def _() -> Iterator[None]:
    with _set(Journal, "spans", lambda self: self._catalog.spans()):
        yield


class _NotSynced:
    """A file whose sync does nothing."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def sync(self) -> None:
        """Believe the page cache."""


@_bug("a sync does not sync the file", "power cut")
def _() -> Iterator[None]:
    run = SyncJob.run

    def hasty(self: SyncJob) -> None:
        for writer, *_rest in self._goals:
            if not isinstance(writer.file, _NotSynced):
                writer.file = _NotSynced(writer.file)
        run(self)

    with _set(SyncJob, "run", hasty):
        yield


@_bug("a sync does not sync the directory", "power cut")
def _() -> Iterator[None]:
    with _set(Shelf, "sync", _nothing):
        yield


@_bug("a gap names the digest of another batch", "store away", quota=24 * 1024, burst=40, pace=0.3)
def _() -> Iterator[None]:
    make = GapMaker.make

    def wrong(self: GapMaker, dropped: Any, *rest: Any) -> Any:
        return make(self, dropped._replace(after=b"x" * 32), *rest)

    with _set(GapMaker, "make", wrong):
        yield


@_bug("a gap hides the epoch's opening", "kill recorder", "power cut", quota=24 * 1024, burst=40, pace=0.2)
def _() -> Iterator[None]:
    with _set(quota, "opening_of", lambda _: b""):
        yield


@_bug("age is measured by the wall clock", "clock jump", "store away", age=3600.0)
def _() -> Iterator[None]:
    with (
        _set(JournalTime, "now", lambda self: self._clock.wall() // 1_000_000),
        _set(JournalTime, "at", lambda self, _monotonic: self._clock.wall() // 1_000_000),
    ):
        yield


@_bug("a full outbox forgets the oldest answers", "kill recorder", outbox=8 * 1024, burst=40, pace=0.2)
def _() -> Iterator[None]:
    def forget(self: Outbox, size: int) -> None:
        while self._bytes + size > self._limits.bytes and len(self._epochs) + self._bytes:
            with self.transaction() as db:
                db.execute("DELETE FROM outbox_batch WHERE rowid = (SELECT min(rowid) FROM outbox_batch)")
                self._load(db)

    with _set(Outbox, "_make_room", forget):
        yield
