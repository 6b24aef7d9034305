"""The agent between its parts: intake and samplers write the journals, the publisher hands them up.

Everything happens in one thread round one loop; only the syncing of files runs in another. A record goes
intake, batcher, journal (accepted), sync (durable), publisher, in this order and never past one of them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from tabard._version import VERSION
from tabard.agents.accounting import Accounts
from tabard.agents.commands.rules import Rules
from tabard.agents.commands.taking import Commands
from tabard.agents.intake import bridge
from tabard.agents.intake.batcher import Batcher, BatchLimits
from tabard.agents.intake.defaults import Defaults
from tabard.agents.intake.server import IntakeServer
from tabard.agents.intake.shared import prepare
from tabard.agents.intake.spill import SpillReader
from tabard.agents.intake.tail.specs import tails_of
from tabard.agents.intake.tail.tailer import Tailer
from tabard.agents.journals import Journals
from tabard.agents.osname import os_name
from tabard.agents.required import RequiredSinks
from tabard.agents.sampling import Sampling
from tabard.agents.syncer import SyncedJournal, Syncer
from tabard.brokers import sockets
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.starting import AGE
from tabard.brokers.loop import Loop, Timer
from tabard.brokers.news.member import Member
from tabard.brokers.topology import Ends
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.rolekeys import RoleSeal
from tabard.brokers.uplink import Uplink
from tabard.brokers.wire import topics
from tabard.brokers.wire.control import control_body
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.rosters import NODE, Speaker
from tabard.clock import SystemClock, boot_id
from tabard.errors import JournalError
from tabard.home import Home
from tabard.settings import Settings

ENFORCE_EVERY: Final = 2.0
"""Seconds between two looks at the journal's bounds."""
IDLE: Final = 60.0
"""Seconds after which the publisher is asked again when nothing is to be said to any sink."""
BURST: Final = 64
"""Batches sent before everything else has its turn."""
_IDS: Final = ("product", "system", "subsystem", "subsubsystem", "user1", "user2")
"""Settings of the node that fill the fields of the same names."""

_log = logging.getLogger(__name__)


class Agent:
    """One host's agent.

    Raises from the constructor:
        JournalError: the journal cannot be used at all.
        IntakeError: the shared directory cannot be used.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        loop: Loop,
        made: sockets.Sockets,
        trust: Trust | None = None,
    ) -> None:
        """``trust``: the keys of the home, where they were read already."""
        self._loop = loop
        self._clock = SystemClock()
        self._key = NodeKey(settings.str("node.name"), settings.str("node.zone"))
        self._sinks = settings.strings("agent.sinks")
        self._linger = settings.seconds("agent.linger")
        shared = prepare(settings.str("intake.shared")) if settings.str("intake.shared") else None
        rooms = [home, shared.home] if shared else [home]
        self._seal = RoleSeal.of_node(home, self._clock, self._key, trust)
        self.journals = Journals(home, settings, self._key, self._clock, self._seal)
        self.publisher = Publisher(
            self._key,
            self._sinks,
            self.journals.by_stream,
            self._seal,
            os.urandom,
            interval=settings.seconds("agent.beacon"),
            facts=self._facts,
            notes=self.journals.notes,
        )
        me = Speaker(NODE, self._key.zone, self._key.node)
        self._rosters = Member(
            lambda: me,
            lambda: self._seal.trust,
            loop,
            self.publisher.counters,
            lambda link, frames: self._uplink.tell(int(link), frames),
            lambda: loop.call_soon(self._look_at_keys),
        )
        self._required = RequiredSinks(
            home, self.journals.notes, self.journals, self.publisher, self._note_durably
        )
        self._accounts = Accounts(home, lambda: self.journals.control.marks, self._account)
        self._syncer = Syncer(
            loop, (self.journals.logs, self.journals.samples), settings.seconds("journal.fsync"), self._pump
        )
        self._batcher = Batcher(
            SyncedJournal(self.journals.logs, self._syncer.request),
            loop,
            linger=self._linger,
            limits=BatchLimits(records=settings.int("agent.batch_records")),
        )
        marks = dict(self.journals.logs.marks)
        defaults = Defaults(**{name: settings.str(f"node.{name}") for name in _IDS})
        self._server = IntakeServer(
            loop,
            self._batcher,
            self._clock,
            path=str(home.socket("intake.sock")) if settings.flag("intake.socket") else "",
            tcp=settings.str("intake.tcp"),
            marks=marks,
            max_clients=settings.int("agent.max_clients"),
            defaults=defaults,
            shared=shared,
        )
        self._spill = SpillReader(
            loop,
            self._batcher,
            self._server.sources,
            self._clock.wall,
            [room.spool for room in rooms],
            defaults=defaults,
        )
        self._tailer = Tailer(
            loop,
            self._batcher,
            self._clock,
            tails_of(settings),
            marks=marks,
            backlog=settings.bytes("intake.tail_backlog"),
            exclude=[str(room.path) for room in rooms],
            defaults=defaults,
        )
        self._bridge = bridge.of(
            settings,
            bridge.Surroundings(
                loop,
                self._batcher,
                self._clock,
                marks=marks,
                defaults=defaults,
                max_clients=settings.int("agent.max_clients"),
            ),
        )
        self._rules = Rules.of(settings)
        most = settings.bytes("journal.control_bytes")
        self._commands = Commands(
            self._key,
            home.journal / "commands",
            self.journals.control,
            loop,
            self._clock,
            rules=lambda: self._rules,
            directory=lambda: self._seal.trust.directory if self._seal.trust is not None else None,
            unbox=self._seal.unbox,
            knows=self.publisher.knows,
            roomy=lambda: self.journals.control.status()["bytes"] <= most // 2,
            refusals=self.publisher.admission.refusals,
            counters=self.publisher.counters,
            answered=self._pump,
            every=settings.seconds("agent.beacon"),
        )
        self._sampling = Sampling(
            home, settings, loop, self._clock, self.journals.samples, self._syncer.request
        )
        self._uplink = Uplink(
            made,
            loop,
            [topics.down_topic(self._key.zone, self._key.node), *map(topics.all_topic, self._sinks)],
            take=self._receive,
            taken=self._pump,
            moved=self._moved,
            counters=self.publisher.counters,
            linked=lambda which, frames: self._rosters.hear(str(which), frames),
        )
        self._wake: Timer | None = None
        self._progress = (0, 0)
        self._progress_at = loop.now()
        self.settings = settings

    # --- life ------------------------------------------------------------------------------

    def start(self, ends: Sequence[Ends]) -> None:
        """Connect, listen, begin to read and to sample; of the brokers in `ends` the first one is preferred.

        Raises IntakeError when an address cannot be used.
        """
        self._uplink.start(ends)
        self._server.open()
        self._spill.open()
        self._bridge.open()
        self._tailer.start()
        self._loop.every(ENFORCE_EVERY, self._enforce)
        self._note("agent.started", {"version": VERSION, "boot": boot_id(), "pid": os.getpid()})
        self._required.look_after(self._loop.now())
        self._sampling.start()
        self._commands.look_after()
        self._pump()

    def take(self, settings: Settings) -> None:
        """Take over what may change while running."""
        self._tailer.take(tails_of(settings), backlog=settings.bytes("intake.tail_backlog"))
        self.settings = self._sampling.settings = settings
        self._rules = Rules.of(settings)
        self._note("agent.reloaded", {"pid": os.getpid()})
        self._look_at_keys()

    def finish(self) -> None:
        """Stop reading, journal what was read, send what can still be sent, and close the journals in order."""
        self._server.close()
        self._spill.close()
        self._bridge.close()
        self._tailer.close()
        self._batcher.flush()
        if left := self._batcher.waiting:
            _log.error("%d records that were read cannot be journaled: %s", left, self._batcher.blocked)
        self._syncer.close()
        self._note("agent.stopped", {})
        try:
            self.journals.logs.sync()
            self.journals.samples.sync()
        except JournalError as error:
            _log.error("what was accepted last is not durable: %s", error)
        self._send_all()
        self.journals.close(lambda error: _log.error("%s", error))

    def _note(self, kind: str, data: Mapping[str, Any]) -> None:
        """A control record about the agent itself: what an auditor asks for later."""
        try:
            self._note_durably(kind, data)
        except JournalError as error:
            _log.error("cannot note %s: %s", kind, error)

    def _note_durably(self, kind: str, data: Mapping[str, Any]) -> None:
        self._account(self._clock.wall(), kind, data, {})

    def _account(self, time: int, kind: str, data: Mapping[str, Any], marks: Mapping[str, Any]) -> None:
        self.journals.control.append(control_body([(time, kind, data)]), 1, marks)

    # --- publishing ------------------------------------------------------------------------

    def _receive(self, frames: list[bytes]) -> None:
        if len(frames) != len(Message._fields):
            self.publisher.counters["malformed message"] += 1
        elif self._commands.is_one(message := Message(*frames)):
            self._commands.take(message)
        else:
            self.publisher.receive(self._loop.now(), message)

    def _moved(self) -> None:
        """Say at once through the other broker what was sent: some of it is lost."""
        self.publisher.speak(self._loop.now())
        self._pump()

    def _pump(self) -> None:
        """Send what may be sent, in bursts, and see that the next deadline is met."""
        now = self._loop.now()
        messages = self.publisher.outgoing(now, self._clock.wall(), BURST)
        for message in messages:
            self._uplink.send(message)
        self._batcher.linger = self.publisher.linger(now, self._linger)
        if self._wake is not None:
            self._wake.cancel()
        due = now if len(messages) >= BURST else min(self.publisher.deadline(), now + IDLE)
        self._wake = self._loop.call_at(due, self._pump)

    def _send_all(self) -> None:
        now = self._loop.now()
        while True:
            messages = self.publisher.outgoing(now, self._clock.wall(), BURST)
            for message in messages:
                self._uplink.send(message)
            if len(messages) < BURST:
                return

    def _enforce(self) -> None:
        now = self._loop.now()
        self.journals.enforce(now)
        self._required.look_after(now)
        self._commands.look_after()
        self._accounts.take()
        self._look_at_keys()
        for refusal in self.publisher.admission.refusals.due(now):
            _log.error("%s", refusal)
        self._pump()

    def _look_at_keys(self) -> None:
        """Take up keys that came or changed, and let the sinks know at once."""
        if self._seal.look():
            _log.warning("the keys of this home have changed: %s", self._seal)
            self.publisher.speak(self._loop.now())
        try:
            self.journals.rotate()
        except JournalError as error:
            _log.error("new epochs for another key are put off: %s", error)

    # --- what it says of itself ------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        journals = self.journals.status()
        faults = [f"{fault.kind}: {fault.where}: {fault.detail}" for fault in self.journals.faults()]
        return {
            "version": VERSION,
            "boot": boot_id(),
            "os": os_name(),
            "journal_bytes": sum(stream["bytes"] for stream in journals.values()),
            AGE: max(stream.get("oldest_age", 0.0) for stream in journals.values()),
            "faults": faults[:8],
            "rosters": self._rosters.versions(),
        }

    def idle(self) -> float:
        """Seconds since anything was accepted or sent; infinite when all there is was read and stored."""
        now = self._loop.now()
        sent = sum(
            stream["sent"]
            for sink in self.publisher.sinks(now).values()
            for stream in sink["streams"].values()
        )
        progress = (self._batcher.accepted, sent)
        if progress != self._progress:
            self._progress, self._progress_at = progress, now
        nothing_left = (
            not self._batcher.waiting
            and not self._spill.busy
            and not any(source.get("lag") for source in self._tailer.sources())
            and not self.journals.unsynced
            and self.publisher.delivered()
        )
        return float("inf") if nothing_left else now - self._progress_at

    @property
    def accepted(self) -> int:
        """Log records journaled since the start."""
        return self._batcher.accepted

    def bridged(self) -> list[dict[str, Any]]:
        """The intakes of the bridge in numbers."""
        return bridge.rows(self._bridge.reports())

    def status(self) -> dict[str, Any]:
        """For the status file."""
        reports = self._bridge.reports()
        return {
            "node": self._key.node,
            "zone": self._key.zone,
            "intake": [*self._server.addresses(), *bridge.addresses(reports)],
            "clients": [*self._server.clients(), *bridge.clients(reports)],
            "bridge": bridge.rows(reports),
            "sources": [*self._tailer.sources(), *self._spill.sources()],
            "accepted": self._batcher.accepted,
            "blocked": str(self._batcher.blocked) if self._batcher.blocked else None,
            "samples_lost": self._sampling.lost,
            "journals": self.journals.status(),
            "sinks": self._required.status(self._loop.now()),
            "links": self._uplink.status(),
            "keys": self._seal.status(),
            "rosters": self._rosters.status(),
            "commands": self._commands.status(),
            "refused": self.publisher.admission.refusals.report(self._loop.now()),
            "faults": [*map(list, self.journals.faults()), *self._spill.faults(), *bridge.faults(reports)],
            "counters": {**self.publisher.counters, **self._counted(), **bridge.counters(reports)},
        }

    def _counted(self) -> dict[str, int]:
        """What the intake counted since the start, bad input above all."""
        counts = asdict(self._server.stats)
        counted = {f"intake {name.replace('_', ' ')}": count for name, count in counts.items() if count}
        if self._sampling.lost:
            counted["samples lost"] = self._sampling.lost
        spilled = asdict(self._spill.stats)
        return {**counted, **{f"spool {name}": count for name, count in spilled.items() if count}}
