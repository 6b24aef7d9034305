"""A whole chain in virtual time: nodes, brokers, a recorder, and a schedule of faults drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tabard.agents.journal.limits import Limits
from tabard.brokers.delivery.book import forked_id
from tabard.brokers.delivery.ports import EpochCursor, NodeKey, SinkStore
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tests.sim.clock import Time
from tests.sim.net import Link, SimBroker
from tests.sim.node import SimNode
from tests.sim.sink import SimRecorder

FAULTS = (
    "kill node",
    "stop node",
    "power cut",
    "freeze node",
    "restore journal",
    "kill recorder",
    "freeze recorder",
    "store away",
    "doubtful commits",
    "restore store",
    "restore store while running",
    "kill broker",
    "cut link",
    "clock jump",
    "disk full",
    "disk read-only",
    "restore journal while running",
    "restore host",
)


@dataclass
class Plan:
    """What a seed decides before anything runs."""

    nodes: int = 2
    brokers: int = 2
    seconds: float = 60.0
    loss: float = 0.0
    capacity: int = 500
    budget: int = 60
    faults: tuple[str, ...] = FAULTS
    fault_count: int = 6
    quota: int = 64 * 1024 * 1024
    burst: int = 40
    segment: int = 4096
    keep_acked: int = 0
    age: float = 86_400.0
    done: list[str] = field(default_factory=list)

    @classmethod
    def drawn(cls, rng: Random) -> Plan:
        """A plan of any kind."""
        return cls(
            nodes=rng.choice((1, 1, 2, 3)),
            brokers=rng.choice((1, 2, 3)),
            seconds=rng.choice((30.0, 60.0)),
            loss=rng.choice((0.0, 0.0, 0.02, 0.15)),
            capacity=rng.choice((20, 100, 500)),
            budget=rng.choice((8, 60, 200)),
            fault_count=rng.choice((1, 3, 6, 9)),
            quota=rng.choice((24 * 1024, 64 * 1024 * 1024, 64 * 1024 * 1024)),
            burst=rng.choice((3, 40)),
            segment=rng.choice((2048, 8192)),
            keep_acked=rng.choice((0, 8192)),
        )


class World:
    """All of it, from one seed."""

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.plan = plan or Plan.drawn(self.rng)
        self.time = Time()
        self.links: list[Link] = []
        self.journal_restores = 0
        self.store_restores = 0
        self.host_restores = 0
        self.healed = False
        plan = self.plan
        self.recorder = SimRecorder(self.time, self.rng, self._down_top, plan.budget)
        self.brokers = [SimBroker(f"b{n}", "lab") for n in range(plan.brokers)]
        self._join()
        limits = Limits(segment=plan.segment, bytes=plan.quota, age=plan.age, keep_acked=plan.keep_acked)
        self.nodes: list[SimNode] = []
        for number in range(plan.nodes):
            up = self._link(self.brokers[0].up)
            node = SimNode(self.time, self.rng, f"n{number}", "lab", up.send, limits)
            self.brokers[0].down_links[f"d/lab/n{number}/"] = self._link(node.receive)
            self.nodes.append(node)

    def _link(self, deliver) -> Link:  # type: ignore[no-untyped-def]
        link = Link(self.time, self.rng, deliver, capacity=self.plan.capacity, loss=self.plan.loss)
        self.links.append(link)
        return link

    def _join(self) -> None:
        for lower, upper in zip(self.brokers, self.brokers[1:], strict=False):
            lower.up_link = self._link(upper.up)
            upper.down_links["d/lab/"] = self._link(lower.down)
        self.brokers[-1].up_link = self._link(self.recorder.receive)
        self._top = self._link(self.brokers[-1].down)

    def _down_top(self, frames: list[bytes]) -> None:
        self._top.send(frames)

    # --- running ---------------------------------------------------------------------------

    def run(self) -> None:
        """Faults and records for the planned time; then everything is healed and must come to rest."""
        plan = self.plan
        self.recorder.start()
        for node in self.nodes:
            node.start()
        self._schedule_records()
        for _ in range(plan.fault_count):
            fault = self.rng.choice(plan.faults)
            at = self.rng.uniform(1.0, plan.seconds)
            self.time.at(at, lambda fault=fault: self._inflict(fault))
        self.time.run(plan.seconds)
        self._heal()
        for _ in range(30):
            self.time.run(self.time.now + 10.0)
            if self._at_rest():
                return

    def _schedule_records(self) -> None:
        for node in self.nodes:
            at = 0.1
            while at < self.plan.seconds:
                stream = LOGS if self.rng.random() < 0.75 else SAMPLES
                count = self.rng.randint(1, self.plan.burst)
                self.time.at(at, lambda node=node, stream=stream, count=count: node.produce(stream, count))
                at += self.rng.expovariate(1 / 0.6)

    def _inflict(self, fault: str) -> None:
        self.plan.done.append(f"{self.time.now:.2f} {fault}")
        INFLICT[fault](self)

    def after(self, low: float, high: float, action) -> None:  # type: ignore[no-untyped-def]
        """Let `action` happen some time later, unless everything was healed by then."""
        self.time.at(self.time.now + self.rng.uniform(low, high), lambda: None if self.healed else action())

    def _heal(self) -> None:
        self.healed = True
        for link in self.links:
            link.cut = False
            link._loss = 0.0
        for broker in self.brokers:
            broker.alive = True
        self.recorder.flaky.down = False
        self.recorder.flaky.doubtful = 0.0
        self.recorder.thaw()
        if not self.recorder.alive:
            self.recorder.start()
        for node in self.nodes:
            node.disk.heal()
            node.thaw()
            if not node.alive:
                node.start()

    def _at_rest(self) -> bool:
        """Whether every node's journal is stored as far as it goes, and every past epoch is accounted for."""
        store = self.recorder.flaky.store
        for node in self.nodes:
            if not node.alive:
                return False
            for stream, journal in node.journals.items():
                newest = latest(store, node.key, stream, journal.spans()[-1].epoch)
                if newest is None or any(
                    cursor.epoch != newest.epoch for cursor in store.unfinished(node.key, stream)
                ):
                    return False
                for span in journal.spans():
                    cursor = latest(store, node.key, stream, span.epoch)
                    if cursor is None or cursor.ranges.holes(span.last, span.oldest):
                        return False
        return True

    @property
    def at_rest(self) -> bool:
        """See `run`."""
        return self._at_rest()


def latest(store: SinkStore, key: NodeKey, stream: int, epoch: bytes) -> EpochCursor | None:
    """The cursor of the latest history that the store has of what a node calls `epoch`."""
    cursor = None
    while (found := store.load(key, stream, [epoch]).get(epoch)) is not None:
        cursor, epoch = found, forked_id(epoch)
    return cursor


# --- faults ------------------------------------------------------------------------------------


def _node(world: World) -> SimNode:
    return world.rng.choice(world.nodes)


def _restart(world: World, node: SimNode) -> None:
    life = node.life
    world.after(0.05, 15.0, lambda: node.start() if node.life == life and not node.alive else None)


def _kill_node(world: World) -> None:
    node = _node(world)
    node.kill()
    _restart(world, node)


def _stop_node(world: World) -> None:
    node = _node(world)
    node.stop()
    _restart(world, node)


def _power_cut(world: World) -> None:
    node = _node(world)
    node.power_cut()
    _restart(world, node)


def _freeze_node(world: World) -> None:
    node = _node(world)
    node.freeze()
    world.after(0.1, 20.0, node.thaw)


def _restore_journal(world: World) -> None:
    node = _node(world)
    if not node.alive:
        return
    snapshot = node.disk.snapshot()
    mark = len(node.accepted)

    def back() -> None:
        node.kill()
        node.disk.restore(snapshot)
        node.unsynced.clear()
        node.rolled_back.extend(node.accepted[mark:])
        world.journal_restores += 1
        _restart(world, node)

    world.after(0.5, 20.0, back)


def _kill_recorder(world: World) -> None:
    recorder = world.recorder
    recorder.kill()
    life = recorder.life
    world.after(0.05, 20.0, lambda: recorder.start() if recorder.life == life else None)


def _freeze_recorder(world: World) -> None:
    world.recorder.freeze()
    world.after(0.1, 20.0, world.recorder.thaw)


def _store_away(world: World) -> None:
    world.recorder.flaky.down = True

    def back() -> None:
        world.recorder.flaky.down = False

    world.after(0.1, 10.0, back)


def _doubtful(world: World) -> None:
    world.recorder.flaky.doubtful = 0.3

    def back() -> None:
        world.recorder.flaky.doubtful = 0.0

    world.after(0.1, 10.0, back)


def _restore_store(world: World) -> None:
    recorder = world.recorder
    recorder.snapshot()

    def back() -> None:
        if recorder.image is None:
            return
        recorder.kill()
        recorder.restore()
        world.store_restores += 1
        life = recorder.life
        world.after(0.05, 5.0, lambda: recorder.start() if recorder.life == life else None)

    world.after(0.5, 20.0, back)


def _restore_store_running(world: World) -> None:
    world.recorder.snapshot()

    def back() -> None:
        if world.recorder.restore():
            world.recorder.flaky.replaced = True
            world.store_restores += 1

    world.after(0.5, 20.0, back)


def _kill_broker(world: World) -> None:
    broker = world.rng.choice(world.brokers)
    broker.alive = False

    def back() -> None:
        broker.alive = True

    world.after(0.05, 15.0, back)


def _cut_link(world: World) -> None:
    link = world.rng.choice(world.links)
    link.cut = True

    def back() -> None:
        link.cut = False

    world.after(0.05, 15.0, back)


def _clock_jump(world: World) -> None:
    _node(world).clock.jump += world.rng.choice((-2, 2)) * 86_400.0


def _disk_full(world: World) -> None:
    node = _node(world)
    node.disk.capacity = node.disk.used + 600
    world.after(0.1, 10.0, node.disk.heal)


def _disk_read_only(world: World) -> None:
    node = _node(world)
    node.disk.read_only = True
    world.after(0.1, 10.0, node.disk.heal)


def _restore_journal_running(world: World) -> None:
    node = _node(world)
    snapshot = node.disk.snapshot()
    mark = len(node.accepted)

    def back() -> None:
        node.disk.restore(snapshot)
        node.unsynced.clear()
        if node.alive:
            node.exchanged_at = mark if node.exchanged_at is None else min(mark, node.exchanged_at)
        else:
            node.rolled_back.extend(node.accepted[mark:])
        world.journal_restores += 1

    world.after(0.5, 20.0, back)


def _restore_host(world: World) -> None:
    node = _node(world)
    if not node.alive or node.frozen is not None or node.exchanged_at is not None:
        return
    snapshot = node.host_snapshot()
    mark = len(node.accepted)

    def back() -> None:
        node.kill()
        node.rolled_back.extend(node.accepted[mark:])
        world.journal_restores += 1
        world.host_restores += 1
        node.host_restore(snapshot)

    world.after(0.5, 20.0, back)


INFLICT = {
    "kill node": _kill_node,
    "stop node": _stop_node,
    "power cut": _power_cut,
    "freeze node": _freeze_node,
    "restore journal": _restore_journal,
    "kill recorder": _kill_recorder,
    "freeze recorder": _freeze_recorder,
    "store away": _store_away,
    "doubtful commits": _doubtful,
    "restore store": _restore_store,
    "restore store while running": _restore_store_running,
    "kill broker": _kill_broker,
    "cut link": _cut_link,
    "clock jump": _clock_jump,
    "disk full": _disk_full,
    "disk read-only": _disk_read_only,
    "restore journal while running": _restore_journal_running,
    "restore host": _restore_host,
}
