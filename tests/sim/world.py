"""A whole chain in virtual time: nodes, brokers, a recorder, and a schedule of faults drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

from tabard.agents.journal.limits import Limits
from tabard.brokers.delivery.book import forked_id
from tabard.brokers.delivery.ports import EpochCursor, EpochSpan, NodeKey, SinkStore
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import OpenSeal, Seal
from tabard.brokers.wire.batch import NO_DIGEST
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES, STREAM_NAMES
from tests.sim.boundary import BELOW, OWN, ROOT, Border
from tests.sim.clock import EPOCH_NS, Time
from tests.sim.failing import FailPoints
from tests.sim.faults import FAULTS, RARE
from tests.sim.forger import Forger
from tests.sim.keys import Keys
from tests.sim.net import Link, SimBroker
from tests.sim.node import SimNode
from tests.sim.plan import Plan
from tests.sim.sink import SimRecorder
from tests.sim.thief import Thief
from tests.trustees import Trustees

REST = (1.0,) * 20 + (5.0,) * 20 + (10.0,) * 20
"""Seconds between looks at whether everything has come to rest."""
SIGNED = 3
"""One world in so many has keys, and a forger."""
LIMITED = 8
"""Of so many worlds,"""
LIMITS = (1_500, 20_000)
"""these have links with a limited rate, in bytes a second."""
BOUNDED = 2
"""One of those in so many has a boundary with a policy."""
STREAMS = (LOGS, LOGS, LOGS, SAMPLES, CONTROL)
"""What a batch is of, each equally likely."""


class World:
    """All of it, from one seed."""

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        signed, bounded = seed % SIGNED == 0, seed % (SIGNED * BOUNDED) == 0
        self.plan = plan or replace(
            Plan.drawn(self.rng, tuple(FAULTS)),
            signed=signed,
            policy=signed and bounded,
            limit=LIMITS[seed % LIMITED] if seed % LIMITED < len(LIMITS) else 0,
        )
        self.trustees = Trustees(seed, "lab", EPOCH_NS) if self.plan.signed else None
        self.forger = Forger(self.trustees, seed) if self.trustees is not None else None
        self.border = (
            Border(self.trustees, Random(seed)) if self.trustees is not None and self.plan.policy else None
        )
        self.zone = BELOW if self.border else ROOT
        """Of the nodes, and of the lowest broker."""
        self.time = Time()
        self.points = FailPoints()
        self.links: list[Link] = []
        self.done: list[str] = []
        """When which fault struck."""
        self._healed = False
        plan = self.plan
        self.brokers = [self._broker(number) for number in range(plan.brokers)]
        if self.border is not None:
            self.border.keep(self.brokers[0].forwarder)
        self._join()
        begins = dict(zip(plan.sinks, plan.begins, strict=False))
        self.recorders = [self._recorder(name, begins.get(name, "oldest")) for name in plan.sinks]
        self.nodes = [self._node(f"n{number}") for number in range(plan.nodes)]
        self.keys = self._changing_keys()

    def _changing_keys(self) -> Keys:
        """Keys that change, and whoever steals them."""
        keys = Keys(self.trustees, self.time, self.nodes, self.recorders, self.seed)
        if self.forger is not None:
            self.forger.thief = Thief(keys, Random(f"thief {self.seed}"))
        return keys

    def _broker(self, number: int) -> SimBroker:
        """The lowest one limits what it hands up, the highest one what comes from the one below it."""
        limit, below = self.plan.limit, {f"b{number - 1}": self.plan.limit} if number else None
        zone = ROOT if number else self.zone
        return SimBroker(f"b{number}", zone, self.time, 0 if number else limit, below)

    def _node(self, name: str) -> SimNode:
        plan, lowest = self.plan, self.brokers[0]
        limits = Limits(bytes=plan.quota, age=plan.age, segment=plan.segment, keep_acked=plan.keep_acked)
        outbox = Limits(bytes=plan.outbox, keep_acked=plan.keep_acked)
        up = self._link(lowest.up, below=True).send
        seal = self.trustees.node(name, self.zone, plan.sinks) if self.trustees else OpenSeal()
        node = SimNode(self.time, self.rng, name, self.zone, up, limits, outbox, plan, seal)
        lowest.down_links[f"d/{self.zone}/{name}/"] = self._link(node.receive, stray=plan.stray, below=True)
        return node

    def _recorder(self, name: str, begins: str) -> SimRecorder:
        below = self._is_below(name)
        top = self.brokers[0 if below else -1]
        plan = self.plan
        seal = self.recorder_seal(name)
        down = self._link(top.down, below=below).send
        recorder = SimRecorder(
            name, self.time, self.rng, down, plan.budget, begins, aside=plan.aside, seal=seal
        )
        top.up_links[f"u/{name}/"] = self._link(recorder.receive, self.plan.rate, below=below)
        return recorder

    def recorder_seal(self, sink: str) -> Seal:
        """A new key of a recorder of that sink, or none."""
        zone = BELOW if self._is_below(sink) else ROOT
        return self.trustees.recorder(sink, zone) if self.trustees else OpenSeal()

    def _is_below(self, sink: str) -> bool:
        """Whether its database is in the nodes' zone, below a boundary."""
        return self.border is not None and sink == OWN

    def _link(
        self,
        deliver: Callable[[list[bytes]], None],
        rate: float = float("inf"),
        stray: float = 0.0,
        *,
        below: bool = False,
    ) -> Link:
        """`below`: it does not cross the boundary, if there is one. Who forges above it has not seen what is below."""
        plan = self.plan
        inside = below and self.border is not None
        touch = partial(self.forger.touch, below=inside) if self.forger else None
        link = Link(
            self.time,
            self.rng,
            deliver,
            capacity=plan.capacity,
            loss=plan.loss,
            rate=rate,
            stray=stray,
            touch=touch,
        )
        self.links.append(link)
        return link

    def _join(self) -> None:
        """Chain the brokers."""
        for lower, upper in zip(self.brokers, self.brokers[1:], strict=False):
            link = self._link(upper.up)
            for sink in self.plan.sinks:
                if not self._is_below(sink):
                    lower.up_links[f"u/{sink}/"] = link
            upper.down_links[f"d/{ROOT}/"] = self._link(lower.down)

    @property
    def recorder(self) -> SimRecorder:
        """The first sink's."""
        return self.recorders[0]

    # --- running ---------------------------------------------------------------------------

    def run(self) -> None:
        """Records and faults for the planned time; then everything is healed and must come to rest."""
        with self.points.installed():
            self.start()
            for node in self.nodes:
                self._schedule_records(node)
            if self.border is not None:  # at first and for a while it cannot tell its policy
                self.border.blind()
                self.time.at(1.0, self.border.see)
                self.time.at(self.plan.seconds * 0.4, self.border.blind)
                self.time.at(self.plan.seconds * 0.5, self.border.see)
            drawn = set()
            for _ in range(self.plan.fault_count):
                fault = self.rng.choice(self.plan.faults)
                drawn.add(fault)
                self.time.at(self.rng.uniform(1.0, self.plan.seconds), self.inflict, fault)
            self.keys.schedule(self.plan.seconds, self.plan.rekeys, self.plan.revoking)
            self.time.run(self.plan.seconds)
            self.heal()
            self.settle()

    def start(self) -> None:
        """Start every process."""
        for recorder in self.recorders:
            if recorder is self.recorder or not self.plan.late:
                recorder.start()
            else:
                self.time.at(self.plan.late, recorder.start_first)
        for node in self.nodes:
            node.start()

    def settle(self) -> None:
        """Let time pass until everything is at rest, or should long have been."""
        for pause in REST:
            self.time.run(self.time.now + pause)
            if self.at_rest():
                return

    def _schedule_records(self, node: SimNode) -> None:
        at = 0.1
        while at < self.plan.seconds:
            stream, count = self.rng.choice(STREAMS), self.rng.randint(1, self.plan.burst)
            self.time.at(at, node.produce, stream, count)
            at += self.rng.expovariate(1 / self.plan.pace)

    def inflict(self, fault: str) -> None:
        """Let a fault strike now."""
        self.done.append(f"{self.time.now:.2f} {fault}")
        (FAULTS.get(fault) or RARE[fault])(self)

    def after(self, low: float, high: float, action: Callable[[], None]) -> None:
        """Let `action` happen some time later, unless everything was healed by then."""
        self.time.at(self.time.now + self.rng.uniform(low, high), lambda: None if self._healed else action())

    def heal(self) -> None:
        """No more faults; whatever is down comes up, and every stream goes on with one more record."""
        self._healed = True
        self.points.disarm()
        if self.forger is not None:
            self.forger.active = False
        if self.border is not None:
            self.border.see()
        self.keys.heal()
        for link in self.links:
            link.heal()
        for broker in self.brokers:
            broker.alive = True
        for recorder in self.recorders:
            recorder.flaky.down = False
            recorder.flaky.doubtful = 0.0
            recorder.thaw()
            if not recorder.alive:
                recorder.start()
        for node in self.nodes:
            node.disk.heal()
            node.disk.fuse = None
            node.database.refuse(refusing=False)
            node.thaw()
            if not node.alive:
                node.start()
            for stream in STREAM_NAMES:
                self.time.at(self.time.now + 1.5, node.produce, stream, 1)
        self.time.run(self.time.now + 2.0)

    def at_rest(self) -> bool:
        """Whether every node's journal is stored as far as it goes, and every past epoch is accounted for."""
        return all(
            self.stored(node, recorder)
            for node in self.nodes
            for recorder in self.recorders
            if recorder.name not in node.retired()
        )

    def stored(self, node: SimNode, recorder: SimRecorder) -> bool:
        """Whether that holds for one node and one sink."""
        store = recorder.flaky.store
        for stream, journal in node.journals.items():
            newest = None
            for span in journal.spans():
                newest = latest(store, node.key, stream, span.epoch)
                settled = span.epoch in node.settled(recorder.name, stream)
                if newest is None or not (settled or _is_stored(newest.ranges, span)):
                    return False
            open_ended = {cursor.epoch for cursor in store.unfinished(node.key, stream)}
            if newest is None or open_ended - {newest.epoch}:
                return False
        return node.alive and not node.unsynced


def _is_stored(ranges: Ranges, span: EpochSpan) -> bool:
    """Whether what is stored of an epoch is all that its node has, and nothing else."""
    if ranges.holes(span.last) or ranges.high != span.last:
        return False
    after = ranges.items[-1].after
    return not after or span.digest in (NO_DIGEST, after)


def latest(store: SinkStore, key: NodeKey, stream: int, epoch: bytes) -> EpochCursor | None:
    """The cursor of the latest history that the store has of what a node calls `epoch`."""
    cursor = None
    while (found := store.load(key, stream, [epoch]).get(epoch)) is not None:
        cursor, epoch = found, forked_id(epoch)
    return cursor
