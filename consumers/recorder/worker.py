"""The recorder between its sockets and its store: takes batches in, commits them, answers with cursors.

It commits as soon as the socket is drained, so that a single record is stored at once; under load the
socket is not drained, and a commit comes every `commit_rows` records or `commit_delay` seconds.

Where the database is a server, a thread commits while the loop takes in and makes ready what comes next: up to
`commit_rows` records or what `Sizing` says, then the loop waits. What came in during a commit is committed when that is done.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tabard import failpoints
from tabard.brokers import sockets
from tabard.brokers.delivery.aside import StoreAside
from tabard.brokers.delivery.leases import RECORDER, Identity, Keeper
from tabard.brokers.delivery.ports import CursorConflict, EpochWork, Presence, StoreUnavailable
from tabard.brokers.delivery.seal import KEYLESS, OpenSeal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.loop import Loop, Timer
from tabard.brokers.news.member import Member
from tabard.brokers.recorderhops import RecorderHops
from tabard.brokers.topology import Ends
from tabard.brokers.trust.rolekeys import RoleSeal
from tabard.brokers.wire import topics
from tabard.brokers.wire.hop import BOOT_BYTES
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.rosters import Speaker
from tabard.clock import Clock
from tabard.consumers.recorder.backfilling import Backfilling
from tabard.consumers.recorder.beside import Beside
from tabard.consumers.recorder.keeping import Hands, Keeping
from tabard.consumers.recorder.owning import Watch
from tabard.consumers.recorder.sizing import Sizing
from tabard.consumers.recorder.steps import Steps
from tabard.consumers.store.ports import RecorderStore, Upkeep

PRESENCE_EVERY: Final = 1.0
"""Seconds between two writings of who was heard."""
HELLOS: Final = (0.05, 0.25, 1.0, 3.0, 8.0)
"""Seconds after it gained shards at which the sink says hello: the first may be lost while connections come up."""
HELLO_EVERY: Final = 30.0
RETRY: Final = 1.0
"""Seconds until a store that could not be written is tried again."""
TURN: Final = 512
"""Messages taken in before timers have their turn."""

UNREAD: Final = f"refused beacon: {KEYLESS}"
"""The counter of beacons that are signed, in a home without keys."""

RECEIVED = failpoints.declare("recorder.received", "a recorder took in a message and has not committed it")
COMMITTED = failpoints.declare("recorder.committed", "a recorder committed and has not sent the cursor")
SENT = failpoints.declare("recorder.sent", "a recorder sent a cursor")

_log = logging.getLogger(__name__)


class CommitLimits(NamedTuple):
    """When pending records are committed at the latest."""

    rows: int
    delay: float
    """Seconds."""


class Budget(NamedTuple):
    """What all nodes together may have on their way to the sink."""

    batches: int
    bytes: int


class Leases(NamedTuple):
    """Under which identity the recorder takes shards, and for how long at a time."""

    me: Identity
    length: float
    """Seconds."""


class Recorder:
    """Drives one `Sink`."""

    def __init__(
        self,
        sink: str,
        store: RecorderStore,
        made: sockets.Sockets,
        loop: Loop,
        clock: Clock,
        limits: CommitLimits,
        budget: Budget,
        leases: Leases,
        *,
        seal: RoleSeal | None = None,
        upkeep: Upkeep | None = None,
        apart: bool = False,
        began: int | None = None,
        zone: str = "",
        waking: Callable[[Sequence[EpochWork]], None] = lambda _works: None,
    ) -> None:
        """`zone`: in which all its brokers are, or below it. `seal`: the keys of its home, which goes unsigned without. `apart`: the database works in other processes, so that a commit leaves this one time for the next."""
        self.limits = limits
        self._seal = seal
        self._store = store
        self._waking = waking
        self._loop = loop
        self._clock = clock
        self._upkeep = upkeep
        self._steps = Steps(loop, upkeep, self._wait)
        self._thread = Beside("commit", lambda: loop.call_soon(self._go_on)) if apart else None
        self._aside = StoreAside(store, self._thread) if self._thread is not None else None
        self._sizing = Sizing()
        self._committed: list[EpochWork] = []
        """What was committed last, kept until the next commit has begun."""
        self.sink = Sink(
            sink,
            self._aside or store,
            self._seal or OpenSeal(),
            os.urandom,
            budget=budget.batches,
            budget_bytes=budget.bytes,
            prepare=store.prepare,
            began=began,
            claims={},
        )
        self._watch = Watch(store, self.sink)
        self._backfilling = Backfilling(store, self.sink, clock.wall)
        self._made = made
        self._hops = RecorderHops(zone, os.urandom(BOOT_BYTES), self.sink.counters, self._is_asked)
        self._up = made.subscriber()
        self._up.subscribe(topics.LINK_PREFIX)
        self._down = made.publisher()
        self._keeping = Keeping(
            Keeper(leases.me, RECORDER, leases.length, store.leases(RECORDER), loop.now),
            self.sink,
            loop,
            Hands(
                subscribe=self._up.subscribe,
                unsubscribe=self._up.unsubscribe,
                wait=self._wait,
                finish=self._finish,
                call=self._call,
            ),
        )
        self._rosters = Member(
            self._speaker,
            lambda: seal.trust if seal is not None else None,
            loop,
            self.sink.counters,
            lambda _link, frames: sockets.send(self._down, frames),
            lambda: loop.call_soon(self.look_at_keys),
        )
        self._pending_since: float | None = None
        self._unread = 0
        """How many signed beacons were not believed, for want of keys, before the keys changed last."""
        self._told: str | None = None
        """The fault of the store that was recorded last."""
        self._wake: Timer | None = None
        self._wake_at = float("inf")
        self._heard = loop.now()

    def start(self, ends: Sequence[Ends]) -> None:
        """Connect to every broker of the pair and begin; they need not be there yet. Each node uses one of them."""
        for end in ends:
            self._made.connect(self._up, end.up)
            self._made.connect(self._down, end.down)
        self._loop.add_socket(self._up, self._receive)
        self._loop.every(PRESENCE_EVERY, self._note_presence)
        self._loop.every(HELLO_EVERY, self._hello)
        self._watch.look()
        self._judge()
        self._keeping.start()
        self._arm()

    def _is_asked(self, sink: str, shard: str) -> bool:
        return sink == self.sink.name and self._keeping.asks(shard)

    def _call(self) -> None:
        """Call the nodes of shards that were gained."""
        now = self._loop.now()
        for delay in HELLOS:
            self._loop.call_at(now + delay, self._hello)

    def _hello(self) -> None:
        self._send(self.sink.hellos())

    def _receive(self) -> None:
        """Take in what the socket has, committing on the way when enough is pending, and at its end."""
        self._keeping.look()
        for _ in range(TURN):
            frames = sockets.receive(self._up)
            if frames is None:
                self._commit()
                return
            if frames[0].startswith(topics.LINK_PREFIX) and self._rosters.hear("", frames):
                continue
            failpoints.hit(RECEIVED)
            now = self._loop.now()
            if self._hops.take(now, frames):
                continue
            self._heard = now
            if len(frames) == len(Message._fields):
                self.sink.receive(now, self._clock.wall(), Message(*frames))
            else:
                self.sink.counters["malformed message"] += 1
            if self._pending_since is None:
                self._pending_since = now
            if (
                self.sink.pending_records >= self._most()
                or now - self._pending_since >= self.limits.delay
                or self._done()
            ):
                self._commit()
        self._commit()

    def _commit(self) -> None:
        """Commit what is pending, or leave it for the end of the commit that is on its way."""
        self._pending_since = None
        aside = self._aside
        if aside is None:
            self._committed = self.sink.flush(self._loop.now(), self._clock.wall())
            self._settled()
            return
        settled = aside.busy
        if aside.busy:
            if not aside.done and self.sink.pending_records < self._most():
                return
            outcome, now = aside.outcome(), self._loop.now()
            self._sizing.end(now)
            self.sink.finish(now, outcome)
            self._keeping.look()
        records, works = self.sink.pending_records, self.sink.begin()
        if works:  # the server first: it has work while the nodes are told of the commit before
            self._sizing.begin(self._loop.now(), records)
            aside.begin(works, self._clock.wall())
        if settled or not works:
            self._settled()
        self._committed = works  # those of the commit before go now: to take thousands of records apart lasts

    def _most(self) -> int:
        """How many records go into one commit."""
        rows = self.limits.rows
        return rows if self._aside is None else self._sizing.most(rows)

    def _go_on(self) -> None:
        """The thread has done a commit, which may have been settled by now."""
        if self._done():
            self._commit()

    def _done(self) -> bool:
        """Whether a commit waits to be settled."""
        return self._aside is not None and self._aside.busy and self._aside.done

    def _settled(self) -> None:
        self._tell()
        failpoints.hit(COMMITTED)
        self._send(self.sink.outgoing(self._loop.now()))
        self._waking(self._committed)
        self._keeping.look()
        self._arm()
        if self._upkeep is not None:  # nodes have heard by now
            self._upkeep.follow()

    def _tell(self) -> None:
        """Record when the store cannot be written any more, and when it can again."""
        fault = self._store.fault
        if fault is not None and self._told is None:
            _log.error("the store cannot be written, records wait on their nodes: %s", fault)
        elif fault is None and self._told is not None:
            _log.warning("the store can be written again")
        self._told = fault

    def look_at_keys(self) -> None:
        """Take up keys, certificates and rosters that came or changed."""
        if self._seal is not None and self._seal.look():
            _log.warning("the keys of this home have changed: %s", self._seal)
            self._unread = self.sink.counters[UNREAD]
            self.sink.recheck(self._loop.now())
            self._hello()

    def _judge(self) -> None:
        """Leave the shards to other recorders, if there are any, while no node believes this one."""
        why = None if self._seal is None else self._seal.unfit()
        if why is None and self._seal is not None and not self._seal.credentials and self._is_signed():
            why = "nodes of this sink sign what they say, and this home has no keys"
        if why is not None:
            why = f"takes no shards while other recorders do: {why}. Give this home keys of a recorder of the sink: tabard node add, tabard join"
        self._keeping.judge(why)

    def _is_signed(self) -> bool:
        """Whether nodes sign, by what is heard of them and by what is stored."""
        if self.sink.counters[UNREAD] > self._unread:
            return True
        self._wait()
        try:
            return self._store.signed()
        except StoreUnavailable:
            return False  # nothing is taken then either

    def _speaker(self) -> Speaker | None:
        """Under which name this role speaks to its brokers: that of its key."""
        own = self._seal.own if self._seal is not None else None
        return None if own is None else Speaker(own.role, own.zone, own.name)

    def _tell_refused(self) -> None:
        """Record, now and then, what is not believed to be of the node whose name it bears."""
        for refusal in self.sink.admission.refusals.due(self._loop.now()):
            _log.error("%s", refusal)

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            sockets.send(self._down, self._hops.numbered(message, self._made.changes(self._down)))
            failpoints.hit(SENT)

    def _arm(self) -> None:
        """See that `outgoing` is called when it is due."""
        due = self.sink.deadline()
        if due >= self._wake_at and self._wake is not None and not self._wake.cancelled:
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wake_at = due
        self._wake = self._loop.call_at(due, self._due)

    def _due(self) -> None:
        self._wake = None
        self._wake_at = float("inf")
        self._keeping.look()
        self._send(self.sink.outgoing(self._loop.now()))
        self._arm()

    def _wait(self) -> None:
        """Until the connection is free."""
        if self._aside is not None:
            self._aside.wait()

    def _note_presence(self) -> None:
        """Also how a store that was replaced is noticed when nothing else is written."""
        beacons: list[Presence] = self.sink.presence()
        self._wait()
        try:
            self._watch.look()
            self._backfilling.step(self._loop.now())
            self._store.presence(beacons)
            self._store.idle()
        except (CursorConflict, StoreUnavailable) as error:
            _log.warning("the store is not usable as it was: %s", error)
            self.sink.store_lost(error)
        self._send(self.sink.outgoing(self._loop.now()))
        self.look_at_keys()
        self._judge()
        self._tell_refused()
        self._steps.go()

    def idle(self) -> float:
        """Seconds since the last batch or beacon."""
        return self._loop.now() - self._heard

    def finish(self) -> None:
        """Commit what is pending, tell the nodes, and leave the shards to others; the last thing before the end."""
        self._finish()
        self._keeping.end()

    def _finish(self) -> None:
        self._commit()
        while self._aside is not None and self._aside.busy:
            self._aside.wait()
            self._commit()

    def close(self) -> None:
        """End the thread; before the store is closed."""
        if self._thread is not None:
            self._thread.close()

    def status(self) -> dict[str, Any]:
        """For the status file."""
        return {
            "sink": self.sink.name,
            "fault": self.sink.fault
            or self._store.fault
            or self._keeping.keeper.fault
            or (self._keeping.clock_fault(self._clock.wall()) if self._aside is not None else None)
            or (self._upkeep.fault if self._upkeep else None),
            "shards": self._keeping.status(),
            "hops": self._hops.status(self._loop.now(), self._clock.wall()),
            "counters": dict(self.sink.counters),
            "credit": self.sink.credit(),
            "keys": None if self._seal is None else self._seal.status(),
            "rosters": self._rosters.status(),
            "refused": self.sink.admission.refusals.report(self._loop.now()),
            "retired": None if self.sink.retiring.word is None else self.sink.retiring.word._asdict(),
        }
