"""Several sinks: one that begins with what is new, one that is retired, one that is away; none of it touches the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tests.sim.check import check, skipped, stored
from tests.sim.faults import FAULTS
from tests.sim.node import SimNode
from tests.sim.plan import PLENTY, Plan
from tests.sim.run import simulate
from tests.sim.sink import SimRecorder
from tests.sim.test_scenarios import calm, log, seqs
from tests.sim.world import World

LATE = 8.0
ROUGH = tuple(name for name in FAULTS if "store" not in name.split() and "restore" not in name)
"""Faults after which a store still knows whom it knew."""


@pytest.mark.parametrize("seed", range(60))
def test_a_sink_that_begins_with_what_is_new_skips_each_node_once(seed: int) -> None:
    """Started late, among all faults: what nodes had by then is skipped, and every record after is stored or lost aloud."""
    plan = Plan(
        ROUGH, nodes=2, sinks=("main", "new"), begins=("oldest", "now"), late=LATE, fault_count=6, loss=0.05
    )
    world = simulate(seed, plan)
    new = world.recorders[1]
    assert any(skipped(new, node, LOGS) for node in world.nodes)


def test_a_new_node_is_not_skipped() -> None:
    """It was installed after the sink began, so all it has is new; also when the sink was away just then."""
    world = calm(sinks=("main", "new"), begins=("oldest", "now"))
    main, new = world.recorders
    main.start()
    new.start()
    world.time.run(3.0)
    new.kill()
    node = world.nodes[0]
    node.start()
    log(world, node, 5)
    node.stop()
    node.start()
    log(world, node, 5)
    new.start()
    world.settle()
    check(world)
    assert [skipped(new, node, stream) for stream in (CONTROL, LOGS, SAMPLES)] == [[], [], []]
    assert len(stored(new, node, LOGS)[0]) == 50


def test_more_epochs_than_fit_a_beacon_are_skipped_all() -> None:
    """Nothing of what a node had is sent, nothing is said to be lost, and its journal lets go of it."""
    world = calm(sinks=("main", "new"), begins=("oldest", "now"), keep_acked=0, segment=2048)
    main, new = world.recorders
    main.start()
    node = world.nodes[0]
    for _ in range(20):
        node.start()
        log(world, node, 2)
        node.stop()
    node.start()
    world.time.run(30.0)
    kept = len(node.journals[LOGS].spans())
    assert kept > 8
    new.start()
    world.time.run(60.0)
    log(world, node, 3)
    world.settle()
    check(world)
    rows, losses = stored(new, node, LOGS)
    assert ([row.seq for row in rows], losses) == ([*range(2, 17)], [])
    assert len(skipped(new, node, LOGS)) == kept - 1 or len(skipped(new, node, LOGS)) == kept
    assert len(node.journals[LOGS].spans()) == 1


def test_a_sink_whose_store_was_replaced_gets_what_is_kept() -> None:
    """The nodes have met it: that it does not know them any more is no reason to skip anything."""
    world = calm(sinks=("main", "new"), begins=("oldest", "now"), keep_acked=PLENTY)
    world.start()
    node = world.nodes[0]
    log(world, node, 10)
    world.time.run(10.0)
    new = world.recorders[1]
    new.kill()
    new.wipe()
    new.start()
    world.settle()
    check(world)
    assert (len(stored(new, node, LOGS)[0]), skipped(new, node, LOGS)) == (50, [])


def test_a_sink_that_is_away_costs_the_other_nothing() -> None:
    """The journal drops what one of them has: gaps there, and here every record, none of them late."""
    world = calm(sinks=("main", "other"), quota=24 * 1024, segment=2048)
    main, other = world.recorders
    main.start()
    node = world.nodes[0]
    node.start()
    for _ in range(40):
        log(world, node, 2, 20)
        world.time.run(world.time.now + 0.5)
        assert seqs(world)[-1] == len(seqs(world)) + 1
    other.start()
    world.settle()
    check(world)
    assert stored(main, node, LOGS)[1] == []
    (gap,) = stored(other, node, LOGS)[1]
    assert (gap.kind, gap.at_least) == ("gap", False)


def _away(other: SimRecorder) -> None:
    other.kill()


def _refusing(other: SimRecorder) -> None:
    other.flaky.down = True


def _doubtful(other: SimRecorder) -> None:
    other.flaky.doubtful = 0.7


def _wiped(other: SimRecorder) -> None:
    other.kill()
    other.wipe()
    other.start()


def _put_back(other: SimRecorder) -> None:
    image = other.snapshot()
    other.time.at(other.time.now + 2.0, other.restore, image)


@pytest.mark.parametrize("trouble", [_away, _refusing, _doubtful, SimRecorder.freeze, _wiped, _put_back])
def test_whatever_befalls_one_sink_the_other_has_each_record_at_once(
    trouble: Callable[[SimRecorder], None],
) -> None:
    """Every batch is stored there before the next one is said, without a resend; and here too in the end."""
    world = calm(nodes=2, sinks=("main", "other"), keep_acked=PLENTY, budget=30)
    world.start()
    main, other = world.recorders
    node = world.nodes[0]
    log(world, node, 5)
    world.time.run(world.time.now + 5.0)
    trouble(other)
    for _ in range(60):
        log(world, node, 1, 20)
        world.time.run(world.time.now + 0.4)
        assert seqs(world)[-1] == node.accepted[-1].seq
    other.flaky.down = False
    other.flaky.doubtful = 0.0
    other.thaw()
    if not other.alive:
        other.start()
    world.settle()
    check(world)
    assert main.sink is not None
    assert main.sink.counters["sessions"] == 2
    assert main.sink.counters["batches lost on the way"] + main.sink.counters["duplicate batches"] == 0
    assert len(stored(other, node, LOGS)[0]) == len(stored(main, node, LOGS)[0])


# --- retired ---------------------------------------------------------------------------------


def test_a_sink_retired_in_a_home_holds_nothing_after_a_restart() -> None:
    """The journal lets go of what only it lacked; the other sink goes on; nothing of a restart brings it back."""
    world = calm(sinks=("main", "gone"), segment=2048)
    world.recorder.start()
    node = world.nodes[0]
    node.start()
    log(world, node, 40, 20)
    world.time.run(world.time.now + 10.0)
    before = node.journals[LOGS].spans()[0].oldest
    node.retire("gone")
    assert node.journals[LOGS].spans()[0].oldest > before
    for end in (node.stop, node.kill, node.power_cut):
        end()
        node.start()
        log(world, node, 3)
    world.settle()
    check(world)
    assert node.publisher is not None
    assert node.publisher.sinks(node.clock.monotonic())["gone"]["state"] == "retired"
    assert world.recorders[1].began is None


@pytest.mark.parametrize("seed", range(20))
def test_a_sink_retired_in_its_store_tells_every_node(seed: int) -> None:
    """However many messages get lost, and whoever is away when it is said; the recorder stores nothing more."""
    plan = Plan(ROUGH, nodes=3, sinks=("main", "gone"), fault_count=4, loss=0.15)
    world = _rough(seed, plan)
    gone = world.recorders[1]
    gone.flaky.store.retire("root at hub", gone.wall())
    before = [len(stored(gone, node, LOGS)[0]) for node in world.nodes]
    world.time.run(world.time.now + 3.0)
    for node in world.nodes:
        log(world, node, 3)
    world.settle()
    world.time.run(world.time.now + 60.0)
    assert [node.retired() for node in world.nodes] == [{"gone"}] * 3
    check(world)
    assert [len(stored(gone, node, LOGS)[0]) for node in world.nodes] == before


def test_a_sink_takes_back_its_own_word_and_not_that_of_a_node() -> None:
    """Required again, it is sent what is still kept; a node whose people retired it stays as they said."""
    world = calm(nodes=2, sinks=("main", "back"), keep_acked=PLENTY)
    world.start()
    own = world.nodes[0]
    back = world.recorders[1]
    for node in world.nodes:
        log(world, node, 3)
    world.time.run(10.0)
    own.retire("back")
    back.flaky.store.retire("root", back.wall())
    world.time.run(30.0)
    assert [node.retired() for node in world.nodes] == [{"back"}, {"back"}]
    for node in world.nodes:
        log(world, node, 3)
    back.flaky.store.retire(None, None)
    world.time.run(90.0)
    assert [node.retired() for node in world.nodes] == [{"back"}, set()]
    world.settle()
    check(world)
    assert [len(stored(back, node, LOGS)[0]) for node in world.nodes] == [15, 30]


# --- asked for again -------------------------------------------------------------------------


def test_what_was_skipped_comes_when_it_is_asked_for() -> None:
    """As far as the node still keeps it, once and in order, beside what is new; asking again does nothing."""
    world = calm(sinks=("main", "new"), begins=("oldest", "now"), keep_acked=PLENTY, budget=8, rate=60.0)
    main, new = world.recorders
    main.start()
    node = world.nodes[0]
    for _ in range(12):
        node.start()
        log(world, node, 10, 5)
        node.stop()
    node.start()
    world.time.run(world.time.now + 20.0)
    new.start()
    world.time.run(world.time.now + 20.0)
    log(world, node, 5)
    before = sum(skip.count for skip in skipped(new, node, LOGS))
    assert before > 500
    wanted = new.flaky.store.ask_again(None, None, "root", new.wall())
    assert {(each.stream, each.new) for each in wanted} == {
        ("control", True),
        ("logs", True),
        ("samples", True),
    }
    assert sum(each.asked for each in wanted if each.stream == "logs") == before
    for _ in range(10):
        log(world, node, 2)
        assert node.accepted[-1].seq - seqs_of(new, node)[-1] < 100
    again = new.flaky.store.ask_again("n0", "lab", "root", new.wall())
    assert not any(each.new for each in again)
    world.settle()
    _until_asked(new, world)
    check(world)
    assert skipped(new, node, LOGS) == []
    assert len(stored(new, node, LOGS)[0]) == sum(entry.stream == LOGS for entry in node.accepted)


def test_a_loss_that_cannot_be_filled_stays_as_it_was() -> None:
    """The node keeps nothing of it: the gap has its reason and its count, and is there once."""
    world = calm(sinks=("main", "other"), quota=24 * 1024, segment=2048)
    main, other = world.recorders
    main.start()
    node = world.nodes[0]
    node.start()
    log(world, node, 40, 20)
    other.start()
    world.settle()
    before = stored(other, node, LOGS)[1]
    assert [gap.reason for gap in before] == ["quota"]
    for _ in range(2):
        other.flaky.store.ask_again(None, None, "root", other.wall())
        world.time.run(world.time.now + 20.0)
        _until_asked(other, world)
        world.settle()
        check(world)
        assert stored(other, node, LOGS)[1] == before


@pytest.mark.parametrize("seed", range(40))
def test_what_is_asked_for_again_comes_once_whatever_happens(seed: int) -> None:
    """Skipped at the start and asked for later, while nodes and recorders die and links lose messages."""
    plan = Plan(
        ROUGH,
        nodes=2,
        sinks=("main", "new"),
        begins=("oldest", "now"),
        late=LATE,
        fault_count=8,
        loss=0.05,
        seconds=40.0,
        keep_acked=PLENTY,
        segment=2048,
        aside=bool(seed % 2),
    )
    world = World(seed, plan)
    new = world.recorders[1]

    def ask() -> None:
        new.flaky.store.ask_again(None, None, "root", new.wall())

    for at in (16.0, 26.0):
        world.time.at(at, ask)
    world.run()
    ask()  # a node that was not heard of before is skipped later
    _until_asked(new, world)
    world.settle()
    check(world)
    for node in world.nodes:
        oldest = {span.epoch: span.oldest for span in node.journals[LOGS].spans()}
        for left in skipped(new, node, LOGS):  # a disk was full, and the journal let go of what was passed
            assert left.stored_as is not None
            assert left.last is not None
            assert left.last < oldest.get(left.stored_as, left.last + 1)


def _until_asked(recorder: SimRecorder, world: World) -> None:
    for _ in range(100):
        if not recorder.flaky.store.backfills():
            return
        world.time.run(world.time.now + 5.0)
    raise AssertionError(recorder.flaky.store.backfills())


def seqs_of(recorder: SimRecorder, node: SimNode) -> list[int]:
    """Sequence numbers of a node's newest epoch in one sink."""
    newest = node.journals[LOGS].spans()[-1].epoch
    return sorted(row.seq for row in stored(recorder, node, LOGS)[0] if row.stored_as == newest)


def _rough(seed: int, plan: Plan) -> World:
    """A world that is healed and not yet checked."""
    world = World(seed, plan)
    world.run()
    return world
