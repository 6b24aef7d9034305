"""What can befall a world. Each fault strikes once, at random, and heals itself after a while."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.sim.node import SimNode
from tests.sim.sink import Machine, SimRecorder

if TYPE_CHECKING:
    from tests.sim.world import World

Fault = Callable[["World"], None]
FAULTS: Final[dict[str, Fault]] = {}

DEADLY: Final = (
    "journal.before_write",
    "journal.after_write",
    "journal.before_sync",
    "journal.after_sync",
    "journal.before_roll",
    "journal.gap_written",
    "journal.before_unlink",
    "outbox.before_commit",
    "outbox.after_commit",
    "store.before_cursor",
    "store.before_rows",
    "store.before_commit",
    "store.after_commit",
)
"""The fail-points of what runs in a world."""


def _fault(name: str) -> Callable[[Fault], Fault]:
    def register(fault: Fault) -> Fault:
        FAULTS[name] = fault
        return fault

    return register


def _node(world: World) -> SimNode:
    return world.rng.choice(world.nodes)


def _restart(world: World, node: SimNode) -> None:
    life = node.life
    world.after(0.05, 15.0, lambda: node.start() if node.life == life and not node.alive else None)


def _recorder(world: World) -> SimRecorder:
    return world.rng.choice(world.recorders)


def _restart_recorder(world: World, recorder: SimRecorder, longest: float) -> None:
    life = recorder.life
    world.after(0.05, longest, lambda: recorder.start() if recorder.life == life else None)


# --- processes -----------------------------------------------------------------------------


@_fault("kill node")
def _kill_node(world: World) -> None:
    node = _node(world)
    node.kill()
    _restart(world, node)


@_fault("stop node")
def _stop_node(world: World) -> None:
    node = _node(world)
    node.stop()
    _restart(world, node)


@_fault("freeze node")
def _freeze_node(world: World) -> None:
    node = _node(world)
    node.freeze()
    world.after(0.1, 20.0, node.thaw)


@_fault("kill recorder")
def _kill_recorder(world: World) -> None:
    recorder = _recorder(world)
    recorder.kill()
    _restart_recorder(world, recorder, 20.0)


@_fault("freeze recorder")
def _freeze_recorder(world: World) -> None:
    recorder = _recorder(world)
    recorder.freeze()
    world.after(0.1, 20.0, recorder.thaw)


@_fault("die at a fail-point")
def _die_at_point(world: World) -> None:
    world.points.arm(world.rng.choice(DEADLY), world.rng.choice((0, 1, 4)))


@_fault("die in a write")
def _die_in_write(world: World) -> None:
    disk = _node(world).disk
    disk.fuse = disk.operations + world.rng.randint(1, 12)


# --- power and disks -----------------------------------------------------------------------


@_fault("power cut")
def _power_cut(world: World) -> None:
    node = _node(world)
    node.power_cut()
    _restart(world, node)


@_fault("disk full")
def _disk_full(world: World) -> None:
    node = _node(world)
    node.disk.capacity = node.disk.used + 600
    world.after(0.1, 10.0, node.disk.heal)


@_fault("disk read-only")
def _disk_read_only(world: World) -> None:
    node = _node(world)
    node.disk.read_only = node.was_read_only = True
    node.database.refuse(refusing=True)

    def back() -> None:
        node.disk.heal()
        node.database.refuse(refusing=False)

    world.after(0.1, 10.0, back)


@_fault("disk errors")
def _disk_errors(world: World) -> None:
    """Syncs and changes of names fail now and then; what a failed sync dropped is not in the page cache any more."""
    disk = _node(world).disk
    for _ in range(world.rng.randint(1, 4)):
        disk.fail(
            world.rng.choice(("sync", "syncdir", "rename", "unlink", "create")),
            after=world.rng.randint(0, 20),
            times=world.rng.randint(1, 3),
        )


@_fault("no descriptor left")
def _no_descriptor(world: World) -> None:
    disk = _node(world).disk
    for operation in ("open", "create"):
        disk.fail(operation, errno.EMFILE, times=world.rng.randint(1, 6))
    world.after(0.1, 5.0, disk.heal)


@_fault("clock jump")
def _clock_jump(world: World) -> None:
    _node(world).clock.jump += world.rng.choice((-2, 2)) * 86_400.0


# --- the way between -----------------------------------------------------------------------


@_fault("kill broker")
def _kill_broker(world: World) -> None:
    broker = world.rng.choice(world.brokers)
    broker.alive = False
    world.after(0.05, 15.0, lambda: setattr(broker, "alive", True))


@_fault("cut link")
def _cut_link(world: World) -> None:
    link = world.rng.choice(world.links)
    link.cut = True
    world.after(0.05, 15.0, lambda: setattr(link, "cut", False))


# --- the store -----------------------------------------------------------------------------


@_fault("store away")
def _store_away(world: World) -> None:
    flaky = _recorder(world).flaky
    flaky.down = True
    world.after(0.1, 10.0, lambda: setattr(flaky, "down", False))


@_fault("doubtful commits")
def _doubtful(world: World) -> None:
    flaky = _recorder(world).flaky
    flaky.doubtful = 0.3
    world.after(0.1, 10.0, lambda: setattr(flaky, "doubtful", 0.0))


# --- sinks, only in plans that ask for it ---------------------------------------------------


def _retire_sink(world: World) -> None:
    """Somebody says in a node's home that its last sink is retired."""
    node = _node(world)
    node.retire(world.recorders[-1].name)


def _ask_again(world: World) -> None:
    """Somebody asks for what the last sink lacks; it may be asked again when all is healed."""
    recorder = world.recorders[-1]
    recorder.flaky.store.ask_again(None, None, "root", recorder.wall())


RARE: Final[dict[str, Fault]] = {"retire sink": _retire_sink, "ask again": _ask_again}
"""What befalls a world when its plan names it."""


# --- restored to an older state --------------------------------------------------------------


@_fault("restore store")
def _restore_store(world: World) -> None:
    recorder = _recorder(world)
    image = recorder.snapshot()

    def back() -> None:
        recorder.kill()
        recorder.restore(image)
        _restart_recorder(world, recorder, 5.0)

    world.after(0.5, 20.0, back)


@_fault("restore store while running")
def _restore_store_running(world: World) -> None:
    recorder = _recorder(world)
    image = recorder.snapshot()

    def back() -> None:
        recorder.restore(image, noticed=world.rng.random() >= world.plan.unnoticed)

    world.after(0.5, 20.0, back)


@_fault("restore recorder's machine")
def _restore_recorder_machine(world: World) -> None:
    recorder = _recorder(world)
    if not recorder.alive or recorder.frozen is not None:
        return
    machines: list[Machine] = []
    recorder.mortal(
        lambda _sink: machines.append(recorder.machine_snapshot())
    )  # a commit on its way is done first
    if machines:
        world.after(0.5, 60.0, lambda: recorder.machine_restore(machines[0]))


@_fault("wipe store")
def _wipe_store(world: World) -> None:
    recorder = _recorder(world)
    recorder.kill()
    recorder.wipe()
    _restart_recorder(world, recorder, 5.0)


@_fault("restore journal")
def _restore_journal(world: World) -> None:
    node = _node(world)
    if not node.alive:
        return
    snapshot = node.disk_snapshot()
    mark = len(node.accepted)

    def back() -> None:
        node.kill()
        node.disk_restore(snapshot)
        node.roll_back(mark)
        node.journal_restores += 1
        _restart(world, node)

    world.after(0.5, 20.0, back)


@_fault("restore journal while running")
def _restore_journal_running(world: World) -> None:
    """Of the segment files only: a database must not be replaced under a process that has it open."""
    node = _node(world)
    snapshot = node.disk.snapshot()
    mark = len(node.accepted)

    def back() -> None:
        node.disk.restore(snapshot)
        node.unsynced.clear()
        node.journal_restores += 1
        node.restored_alive = True
        if not node.alive:
            node.roll_back(mark)
        elif node.exchanged_at is None or mark < node.exchanged_at:
            node.exchanged_at = mark

    world.after(0.5, 20.0, back)


@_fault("restore host")
def _restore_host(world: World) -> None:
    node = _node(world)
    if not node.alive or node.frozen is not None or node.exchanged_at is not None:
        return
    snapshot = node.host_snapshot()
    mark = len(node.accepted)

    def back() -> None:
        node.roll_back(mark)
        node.journal_restores += 1
        node.host_restores += 1
        node.host_restore(snapshot)

    world.after(0.5, 20.0, back)
