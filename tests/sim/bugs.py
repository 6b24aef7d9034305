"""Seeded bugs: each breaks one rule of delivery in a production class, and the simulation must notice.

A bug is a context manager that patches one or two attributes. Its plan names the faults that provoke it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tabard.agents.journal.journal import Journal
from tabard.agents.journal.quota import Quota
from tabard.brokers.delivery.book import EpochBook
from tabard.brokers.delivery.credit import Budget
from tabard.brokers.delivery.intake import Intake
from tabard.brokers.delivery.ports import Entry, StoreUnavailable
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.ranges import ChainBroken, Range, Ranges
from tabard.brokers.delivery.reply import Reply
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.batch import EPOCH_BYTES
from tests.sim.clock import HostClock
from tests.sim.disk import SimDisk, SimFile
from tests.sim.node import SimNode
from tests.sim.sink import FlakyStore

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Bug:
    """One broken rule."""

    name: str
    rule: str
    """What the unbroken code does."""
    patch: Patch
    faults: tuple[str, ...]
    plan: dict[str, Any] = field(default_factory=dict)
    """What the plan must be like for the bug to show."""


BUGS: list[Bug] = []


def _bug(name: str, rule: str, faults: tuple[str, ...], **plan: Any) -> Callable[[Patch], Patch]:
    def register(function: Patch) -> Patch:
        BUGS.append(Bug(name, rule, function, faults, plan))
        return function

    return register


def _replaced(owner: Any, name: str, value: Any) -> AbstractContextManager[Any]:
    return patch.object(owner, name, value)


# --- the sink ------------------------------------------------------------------------------


@_bug(
    "acknowledge before commit",
    "a cursor is sent only after a durable commit",
    ("kill recorder", "store away"),
    fault_count=6,
)
def _early_cursor() -> AbstractContextManager[Any]:
    original = Sink.flush

    def flush(self: Sink, now: float, wall: int) -> bool:
        for node in list(self._dirty):
            books = [book for stream in node.streams.values() for book in stream.epochs.values()]
            committed = [book.cursor.ranges for book in books]
            for book in books:
                book.cursor.ranges = book.seen.copy()
            self._answer(now, node)
            for book, ranges in zip(books, committed, strict=True):
                book.cursor.ranges = ranges
        return original(self, now, wall)

    return _replaced(Sink, "flush", flush)


@_bug(
    "failed commit taken for done",
    "what a failed commit held is dropped and asked for again",
    ("store away",),
    fault_count=6,
)
def _deaf_commit() -> AbstractContextManager[Any]:
    original = FlakyStore.commit

    def commit(self: FlakyStore, work: Any, arrived: int) -> None:
        try:
            original(self, work, arrived)
        except StoreUnavailable:
            for item in work:
                item.cursor.version += 1

    return _replaced(FlakyStore, "commit", commit)


@_bug(
    "cursor committed without its rows",
    "rows and cursor are one transaction",
    ("kill recorder",),
)
def _bare_cursor() -> AbstractContextManager[Any]:
    original = EpochBook.work
    calls = [0]

    def work(self: EpochBook, key: Any, stream: int) -> Any:
        found = original(self, key, stream)
        calls[0] += 1
        if calls[0] % 7 == 0:
            found.entries = []
        return found

    return _replaced(EpochBook, "work", work)


@_bug(
    "pending kept after a failed commit",
    "a failed commit ends the session",
    ("doubtful commits",),
    fault_count=6,
)
def _stubborn() -> AbstractContextManager[Any]:
    def store_lost(self: Sink, _error: Exception) -> None:
        self.counters["store unavailable"] += 1

    return _replaced(Sink, "store_lost", store_lost)


@_bug("holes never asked for", "the sink asks for what it misses", ("cut link",), loss=0.15)
def _no_wants() -> AbstractContextManager[Any]:
    return _replaced(Reply, "_wants", lambda *_: ())


@_bug(
    "asked range never forgotten",
    "what was asked for and got lost is asked for again",
    ("cut link",),
    loss=0.15,
)
def _ask_once() -> AbstractContextManager[Any]:
    original = Sink._account

    def account(self: Sink, node: Any, stream: Any, envelope: Any, *, received: int) -> None:
        asked = dict(stream.asked)
        original(self, node, stream, envelope, received=received)
        stream.asked = asked

    return _replaced(Sink, "_account", account)


@_bug(
    "gap frame ignored",
    "a gap stands in place of what was dropped",
    ("cut link", "kill recorder"),
    quota=24 * 1024,
    fault_count=6,
)
def _no_gaps() -> AbstractContextManager[Any]:
    return _replaced(Intake, "_take_gap", lambda *_: False)


@_bug(
    "gap without a row",
    "a loss is itself stored",
    ("cut link", "kill recorder", "store away"),
    quota=24 * 1024,
    burst=40,
    fault_count=6,
)
def _silent_gap() -> AbstractContextManager[Any]:
    return _replaced(EpochBook, "unsaid", lambda *_: [])


@_bug("oldest of the node ignored", "what a node keeps no more is a gap", ("restore store",), fault_count=4)
def _no_loss() -> AbstractContextManager[Any]:
    return _replaced(Intake, "_lose", lambda *_args, **_options: None)


@_bug(
    "past epochs never closed",
    "an epoch that is not listed any more is accounted for",
    ("restore store", "kill node"),
    fault_count=6,
)
def _open_ends() -> AbstractContextManager[Any]:
    return _replaced(Intake, "_close_unlisted", lambda *_: None)


@_bug("power cut not said", "what a power cut may have taken is a doubt", ("power cut",), fault_count=6)
def _no_power() -> AbstractContextManager[Any]:
    original = Intake._open

    def opened(self: Intake, key: Any, stream: Any, book: Any, info: Any) -> None:
        original(self, key, stream, book, info._replace(power=False, lost=None))

    return _replaced(Intake, "_open", opened)


@_bug(
    "duplicates told by number only", "only an equal digest is a duplicate", ("restore host",), fault_count=6
)
def _by_number() -> AbstractContextManager[Any]:
    return _replaced(Intake, "_compare", lambda *_: None)


@_bug(
    "chain of digests not checked",
    "a batch must follow the one stored before it",
    ("restore host",),
    fault_count=6,
)
def _unchained() -> AbstractContextManager[Any]:
    original = Ranges.add

    def add(self: Ranges, new: Range) -> None:
        try:
            original(self, new)
        except ChainBroken:
            original(self, new._replace(before=b"", after=b""))

    @contextmanager
    def both() -> Iterator[None]:
        with _replaced(Ranges, "add", add), _replaced(Intake, "_compare", lambda *_: None):
            yield

    return both()


@_bug("credit never comes back", "what was sent is given back to the budget", ("cut link",), budget=8)
def _leak() -> AbstractContextManager[Any]:
    original = Budget.use

    def use(self: Budget, account: Any, sent: int, sent_bytes: int) -> None:
        before = self.out
        original(self, account, sent, sent_bytes)
        self.out = before

    return _replaced(Budget, "use", use)


# --- the node ------------------------------------------------------------------------------


@_bug("epoch kept over a restart", "every start opens a new epoch", ("kill node", "power cut"), fault_count=6)
def _same_epoch() -> AbstractContextManager[Any]:
    original = Journal.open.__func__  # type: ignore[attr-defined]

    def opened(cls: type[Journal], *args: Any, **options: Any) -> Journal:
        entropy = options["entropy"]
        options["entropy"] = lambda size: (
            b"the same epoch".ljust(size) if size == EPOCH_BYTES else entropy(size)
        )
        made: Journal = original(cls, *args, **options)
        return made

    return _replaced(Journal, "open", classmethod(opened))


@_bug(
    "trim before the cursor",
    "a record leaves the journal only when it is stored",
    ("kill recorder", "cut link"),
    fault_count=4,
)
def _eager_trim() -> AbstractContextManager[Any]:
    def release(self: Publisher) -> None:
        for journal in self._journals.values():
            journal.release(
                {span.epoch: Ranges([Range(1, span.last, b"", b"")]) for span in journal.spans() if span.last}
            )

    return _replaced(Publisher, "_release", release)


@_bug(
    "publish before the sync", "only what a power cut would leave is published", ("power cut",), fault_count=6
)
def _eager_publish() -> AbstractContextManager[Any]:
    produce = SimNode.produce

    def spans(self: Journal) -> Any:
        return self._catalog.spans_upto(self._catalog.tip)

    def produce_and_send(self: SimNode, stream: int, count: int) -> None:
        produce(self, stream, count)
        self.pump()

    @contextmanager
    def both() -> Iterator[None]:
        with _replaced(Journal, "spans", spans), _replaced(SimNode, "produce", produce_and_send):
            yield

    return both()


@_bug(
    "lower cursor of a new session refused",
    "a new session may lower a cursor",
    ("restore store",),
    fault_count=4,
)
def _proud() -> AbstractContextManager[Any]:
    original = Publisher._is_current

    def current(self: Publisher, state: Any, cursor: Any) -> bool:
        if state.number and cursor.session != state.session:
            return False
        return original(self, state, cursor)

    return _replaced(Publisher, "_is_current", current)


@_bug("age by the wall clock", "a clock jump never trims", ("clock jump", "kill recorder"), fault_count=6)
def _wall_age() -> AbstractContextManager[Any]:
    original = HostClock.monotonic

    def monotonic(self: HostClock) -> float:
        return original(self) + max(self.jump, 0.0)

    return _replaced(HostClock, "monotonic", monotonic)


@_bug("sync that syncs no file", "a synced record survives a power cut", ("power cut",), fault_count=6)
def _no_sync() -> AbstractContextManager[Any]:
    return _replaced(SimFile, "sync", lambda *_: None)


@_bug(
    "sync that syncs no directory", "a new segment's name survives a power cut", ("power cut",), fault_count=6
)
def _no_directory_sync() -> AbstractContextManager[Any]:
    return _replaced(SimDisk, "sync_directory", lambda *_: None)


@_bug(
    "quota drops without a gap",
    "what a bounded journal drops leaves a gap",
    ("cut link", "kill recorder"),
    quota=24 * 1024,
    burst=40,
    fault_count=6,
)
def _bare_drop() -> AbstractContextManager[Any]:
    def give_way(self: Quota, segment: Any, _reason: str) -> bool:
        return self._drop(segment)

    return _replaced(Quota, "_give_way", give_way)


@_bug("records of a batch stored twice", "each record has one row", ("kill recorder",))
def _twice() -> AbstractContextManager[Any]:
    original = Intake._entry

    def entry(self: Intake, key: Any, stream: Any, book: Any, batch: Any) -> Entry:
        made = original(self, key, stream, book, batch)
        if made.groups and len(made.groups[0][3]) > 1:
            source, mark, origin, records = made.groups[0]
            made.groups = ((source, mark, origin, (records[0], records[0], *records[2:])), *made.groups[1:])
        return made

    return _replaced(Intake, "_entry", entry)
