"""What the specification names one by one, each as a world of its own, with the rest of the world calm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tabard.brokers.trust.seal import KeySeal
from tabard.brokers.wire.batch import Batch
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.credentials import decode_credentials
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES, STREAM_NAMES
from tabard.consumers.store.layout import RECORDS, STATE
from tests.sim.check import check, stored
from tests.sim.net import Link
from tests.sim.node import NOON, SimNode
from tests.sim.plan import PLENTY, Plan
from tests.sim.world import World


def calm(**plan: object) -> World:
    """A world in which nothing happens that the test does not do."""
    return World(1, Plan((), fault_count=0, **plan))  # type: ignore[arg-type]


def log(world: World, node: SimNode, batches: int, count: int = 5, stream: int = LOGS) -> None:
    """Let `node` accept so many batches, a tenth of a second apart."""
    for _ in range(batches):
        node.produce(stream, count)
        world.time.run(world.time.now + 0.1)


def reasons(world: World, stream: int = LOGS) -> set[tuple[str, str]]:
    """Kind and reason of every loss of the first node that the first sink stored."""
    _, losses = stored(world.recorder, world.nodes[0], stream)
    return {(loss.kind, loss.reason) for loss in losses}


def seqs(world: World, stream: int = LOGS) -> list[int]:
    """Sequence numbers of the first node's rows in the first sink."""
    rows, _ = stored(world.recorder, world.nodes[0], stream)
    return sorted(row.seq for row in rows)


# --- backlogs --------------------------------------------------------------------------------


def test_two_hundred_backlogged_nodes_pass_a_narrow_link_without_waste() -> None:
    """High-water marks of 1,000, a budget below half of that: nothing is dropped, and what is sent is useful."""
    world = calm(nodes=200, capacity=1000, budget=480, rate=2000.0)
    for node in world.nodes:
        node.start()
        for _ in range(25):
            node.produce(LOGS, 3)
    world.time.run(60.0)
    for recorder in world.recorders:
        recorder.start()
    world.settle()
    check(world)
    assert world.recorder.sink is not None
    sent = sum(
        stream["sent"]
        for node in world.nodes
        if node.publisher
        for stream in node.publisher.sinks(0.0)["main"]["streams"].values()
    )
    useful = world.recorder.sink.counters["batches stored"]
    print(f"{sent} batches sent, {useful} of them stored: {useful / sent:.1%}")
    assert sum(link.dropped for link in world.links) == 0
    assert useful >= 0.9 * sent


def test_heartbeats_and_answers_do_not_wait_for_a_backlog() -> None:
    """A day of logs behind a slow link: an answer given now is stored long before the last of them."""
    world = calm(rate=40.0, budget=60)
    node = world.nodes[0]
    node.start()
    for _ in range(2000):
        node.produce(LOGS, 1)
    world.time.run(5.0)
    world.recorder.start()
    world.time.run(10.0)
    node.produce(CONTROL, 1)
    world.time.run(16.0)
    assert 2 in seqs(world, CONTROL)
    assert len(seqs(world)) < 1000
    world.settle()
    check(world)


def test_an_answer_does_not_wait_for_the_backlog_of_other_nodes() -> None:
    """Sixty nodes with a day of logs share the budget; what a sixty-first answers is stored at once."""
    world = calm(nodes=61, rate=100.0, budget=60)
    *backlogged, answering = world.nodes
    for node in world.nodes:
        node.start()
    for node in backlogged:
        for _ in range(100):
            node.produce(LOGS, 1)
    world.time.run(5.0)
    world.recorder.start()
    world.time.run(20.0)
    answering.produce(CONTROL, 1)
    world.time.run(30.0)
    rows, _ = stored(world.recorder, answering, CONTROL)
    assert [row.seq for row in rows] == [2]
    done = sum(len(stored(world.recorder, node, LOGS)[0]) for node in backlogged)
    assert done < 60 * 100 / 2
    world.settle()
    check(world)


# --- links with a limited rate ---------------------------------------------------------------


@pytest.mark.parametrize("brokers", [1, 2], ids=["one-end", "both-ends"])
def test_a_limited_link_carries_a_backlog_at_its_rate_and_loses_nothing(brokers: int) -> None:
    """Twelve nodes share it equally, what is said live is not held back by it, and no message is dropped."""
    rate = 10_000
    world = calm(nodes=12, brokers=brokers, limit=rate, budget=480)
    for node in world.nodes:
        node.start()
        for _ in range(120):
            node.produce(LOGS, 4)
    world.recorder.start()
    world.time.run(40.0)
    for broker in world.brokers:
        assert 0.8 * rate * 40.0 <= broker.passed <= rate * 40.0 + 2 * rate + 4_096 + 12 * 2_000
    world.nodes[3].produce(CONTROL, 1)
    world.time.run(43.0)
    rows, _ = stored(world.recorder, world.nodes[3], CONTROL)
    assert 2 in [row.seq for row in rows]
    done = [len(stored(world.recorder, node, LOGS)[0]) for node in world.nodes]
    assert min(done) > 0 and max(done) < 480, done
    assert max(done) <= 2 * min(done), done
    world.settle()
    check(world)
    assert sum(link.dropped for link in world.links) == 0
    assert all(len(stored(world.recorder, node, LOGS)[0]) == 480 for node in world.nodes)


def test_a_limited_broker_that_is_killed_again_and_again_lets_a_burst_pass_each_time() -> None:
    """It knows nothing of before, and grants nothing until it was told what was sent."""
    rate = 2_000
    world = calm(nodes=4, limit=rate, budget=480)
    for node in world.nodes:
        node.start()
        for _ in range(60):
            node.produce(LOGS, 4)
    world.recorder.start()
    broker = world.brokers[0]
    for _ in range(5):
        world.time.run(world.time.now + 4.0)
        broker.alive = False
        world.time.run(world.time.now + 1.0)
        broker.alive = True
    assert broker.passed <= rate * world.time.now + 6 * (2 * rate + 4_096 + 4 * 2_000)
    world.settle()
    check(world)


# --- restored to an older state, while running -------------------------------------------------


def test_a_wiped_store_gets_all_that_the_nodes_still_keep() -> None:
    """Also epochs that were stored to their end long ago, while new records keep coming."""
    world = calm(keep_acked=200_000, segment=8192, budget=8, rate=60.0)
    world.start()
    node = world.nodes[0]
    for _ in range(12):
        log(world, node, 6, 10)
        world.time.run(world.time.now + 3.0)
        node.stop()
        node.start()
    world.time.run(world.time.now + 20.0)
    kept = sum(span.last - span.oldest + (span.oldest > 1) for span in node.journals[LOGS].spans())
    assert kept > 600
    before = len(node.accepted)
    world.recorder.kill()
    world.recorder.wipe()
    world.recorder.start()
    log(world, node, 200, 40)
    world.settle()
    check(world)
    rows, _ = stored(world.recorder, node, LOGS)
    assert len(rows) >= kept + sum(entry.stream == LOGS for entry in node.accepted[before:])


def test_a_recorder_machine_restored_while_it_runs_goes_on_at_once() -> None:
    """However far its nodes had come meanwhile: they heard more than it has said, so it begins anew."""
    world = calm(keep_acked=PLENTY)
    world.start()
    node = world.nodes[0]
    log(world, node, 5)
    machine = world.recorder.machine_snapshot()
    log(world, node, 1200, 1)
    world.recorder.machine_restore(machine)
    world.time.run(world.time.now + 30.0)
    rows, losses = stored(world.recorder, node, LOGS)
    assert len(rows) == sum(entry.stream == LOGS for entry in node.accepted)
    assert not losses
    check(world)


def test_a_recorder_machine_restored_while_it_runs_gives_up_nothing_that_is_kept() -> None:
    """Also of an epoch that the node names no more, since it was stored to its end by then."""
    world = calm(keep_acked=PLENTY, budget=8, rate=20.0)
    node = world.nodes[0]
    node.start()
    for _ in range(300):
        node.produce(LOGS, 5)
    world.time.run(5.0)
    node.stop()
    node.start()
    world.recorder.start()
    world.time.run(8.0)
    machine = world.recorder.machine_snapshot()
    world.time.run(60.0)
    world.recorder.machine_restore(machine)
    log(world, node, 10)
    world.time.run(world.time.now + 60.0)
    world.settle()
    check(world)
    rows, losses = stored(world.recorder, node, LOGS)
    assert len(rows) == sum(entry.stream == LOGS for entry in node.accepted)
    assert not losses


def test_a_quota_that_drops_across_two_histories_says_so_of_all_it_may_have_dropped() -> None:
    """What is stored where the node dropped may be of the other history: the loss reaches over it, and counts at least."""
    world = calm(quota=24 * 1024, segment=2048)
    world.start()
    node = world.nodes[0]
    log(world, node, 4)
    machine, mark = node.host_snapshot(), len(node.accepted)
    log(world, node, 4)
    world.time.run(world.time.now + 5.0)
    for link in world.links:
        link.cut = True
    node.roll_back(mark)
    node.journal_restores += 1
    node.host_restores += 1
    node.host_restore(machine)
    log(world, node, 100, 10)
    for link in world.links:
        link.heal()
    log(world, node, 3)
    world.settle()
    check(world)
    rows, losses = stored(world.recorder, node, LOGS)
    have = {row.payload for row in rows}
    lost = [entry for entry in node.accepted[mark:] if entry.stream == LOGS and entry.payload not in have]
    assert lost
    assert all(any(loss.covers(entry) and loss.at_least for loss in losses) for entry in lost)


def test_a_store_restored_while_it_runs_is_filled_again() -> None:
    """Nodes send again what they keep; what they let go of is a gap."""
    world = calm(keep_acked=PLENTY)
    world.start()
    node = world.nodes[0]
    log(world, node, 10)
    image = world.recorder.snapshot()
    log(world, node, 10)
    world.time.run(20.0)
    world.recorder.restore(image)
    log(world, node, 1)
    world.settle()
    check(world)
    assert seqs(world) == list(range(2, 107))
    assert reasons(world) == set()


def test_what_a_restored_store_cannot_get_again_is_a_gap() -> None:
    """Exact, in its place, once."""
    world = calm(keep_acked=0)
    world.start()
    node = world.nodes[0]
    log(world, node, 5, 40)
    image = world.recorder.snapshot()
    log(world, node, 15, 40)
    world.time.run(20.0)
    world.recorder.restore(image)
    log(world, node, 1)
    world.settle()
    check(world)
    rows, losses = stored(world.recorder, node, LOGS)
    assert {loss.kind for loss in losses} == {"gap"}
    missing = set(range(2, 807)) - {row.seq for row in rows}
    assert missing == {seq for loss in losses for seq in range(loss.first, (loss.last or 0) + 1)}
    assert missing


def test_a_journal_restored_while_it_runs_is_told() -> None:
    """The node goes on in a new epoch; what went into the files that are gone is stored, or a gap, with a doubt."""
    world = calm()
    world.start()
    node = world.nodes[0]
    log(world, node, 10)
    world.recorder.kill()
    files = node.disk.snapshot()
    mark = len(node.accepted)
    log(world, node, 10)
    node.disk.restore(files)
    node.exchanged_at = mark
    node.journal_restores += 1
    log(world, node, 10)
    world.recorder.start()
    world.settle()
    check(world)
    assert ("doubt", "doubt") in reasons(world)
    assert len(seqs(world)) >= 90  # all but what was accepted before the journal could notice


def test_a_machine_restored_while_it_runs_loses_nothing_it_accepts_afterwards() -> None:
    """Both histories of the epoch are stored, what they share once; a doubt says that there are two."""
    world = calm()
    world.start()
    node = world.nodes[0]
    log(world, node, 10)
    machine, mark = node.host_snapshot(), len(node.accepted)
    log(world, node, 10)
    world.time.run(world.time.now + 5.0)
    node.roll_back(mark)
    node.journal_restores += 1
    node.host_restores += 1
    node.host_restore(machine)
    log(world, node, 30)
    world.settle()
    check(world)
    rows, _ = stored(world.recorder, node, LOGS)
    assert len(rows) == 250
    assert {kind for kind, _ in reasons(world)} == {"doubt"}


# --- clocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-2, 2])
def test_a_clock_two_days_off_trims_nothing(days: int) -> None:
    """Age is monotonic time: with an hour's bound and no sink, a jump of the wall clock drops no record."""
    world = calm(age=3600.0)
    world.start()
    world.recorder.kill()
    node = world.nodes[0]
    log(world, node, 20, 40)
    node.clock.jump = days * 86_400.0
    log(world, node, 20, 40)
    world.time.run(world.time.now + 60.0)
    world.recorder.start()
    world.settle()
    check(world)
    assert reasons(world) == set()


def test_an_hour_that_really_passes_does_trim() -> None:
    """The bound holds all the same: what is older gives way to a gap."""
    world = calm(age=3600.0, quota=PLENTY - 1)
    world.start()
    world.recorder.kill()
    node = world.nodes[0]
    log(world, node, 20, 40)
    world.time.run(world.time.now + 5000.0)
    world.recorder.start()
    log(world, node, 1)
    world.settle()
    check(world)
    assert ("gap", "age") in reasons(world)


# --- poison --------------------------------------------------------------------------------------

POISON: dict[str, Callable[[], tuple[bytes, int]]] = {
    "no msgpack": lambda: (b"\xc1\xc1\xc1", 3),
    "no groups": lambda: (pack({"a": 1}), 1),
    "another number of records": lambda: (pack([("sim", 1, "sim", [[NOON, "x", {}]])]), 2),
    "records that are none": lambda: (pack([("sim", 1, "sim", [7, "seven"])]), 2),
    "a record of another shape": lambda: (pack([("sim", 1, "sim", [[NOON, 5, []]])]), 1),
    "a bomb of maps": lambda: (pack([("sim", 1, "sim", [[NOON, "x", [{}] * 30_000]])]), 1),
}


@pytest.mark.parametrize("stream", STREAM_NAMES, ids=lambda stream: STREAM_NAMES[stream])
@pytest.mark.parametrize("kind", POISON)
def test_a_poisoned_batch_stops_nobody(kind: str, stream: int) -> None:
    """It lies in quarantine, or was made storable; its stream, its node and the others go on."""
    world = calm(nodes=2)
    world.start()
    sick, well = world.nodes
    log(world, sick, 3, stream=stream)
    body, count = POISON[kind]()
    sick.journals[stream].append(body, count, {})
    log(world, sick, 3, stream=stream)
    log(world, well, 3, stream=stream)
    world.settle()
    rows, losses = stored(world.recorder, sick, stream)
    payloads = {entry.payload for entry in sick.accepted}
    assert payloads <= {row.payload for row in rows} and not losses
    database = world.recorder.flaky.store.connection(RECORDS if stream != CONTROL else STATE)
    quarantined = database.execute("SELECT first, count FROM quarantine").fetchall()
    assert [tuple(row) for row in quarantined] == [(17, count)] or len(rows) == 30 + count


@pytest.mark.parametrize(
    ("signed", "counter"),
    [(True, "forged batch"), (False, "refused batch: signed, and there are no keys here")],
)
def test_a_batch_with_a_wrong_signature_is_asked_for_again(signed: bool, counter: str) -> None:
    """It is counted and never stored; the right one is stored when it comes."""
    world = calm(signed=signed)
    if world.forger is not None:
        world.forger.active = False
    world.start()
    node = world.nodes[0]
    log(world, node, 2)
    up, forged = node.up, 0

    def forge(frames: list[bytes]) -> None:
        nonlocal forged
        if b"/beacon/" not in frames[0] and forged < 3:
            forged += 1
            frames[3] = b"forged"
        up(frames)

    node.up = forge
    log(world, node, 6)
    world.settle()
    check(world)
    assert forged == 3
    assert world.recorder.sink is not None
    assert world.recorder.sink.counters[counter] == 3
    assert seqs(world) == list(range(2, 42))


@pytest.mark.parametrize("seed", range(4))
def test_a_key_is_rotated_while_there_is_a_backlog(seed: int) -> None:
    """Some was signed by the old key and waits, the rest is by the new one; a sink that never saw the old one takes both."""
    world = World(seed, Plan((), fault_count=0, signed=True, loss=0.05))
    world.start()
    node, trustees = world.nodes[0], world.trustees
    assert trustees is not None and isinstance(node.seal, KeySeal)
    log(world, node, 3)
    world.recorder.kill()
    log(world, node, 3)
    new = trustees.key()
    chain = trustees.chain("node", node.key.node, "lab", new, ("main",))
    before = decode_credentials(node.seal.credentials)
    node.seal.renew(trustees.directory(), new, [chain, *before])
    for stream in STREAM_NAMES:
        journal = node.journals[stream]
        journal.renew("", "rotation")
    log(world, node, 3)
    world.recorder.seal = world.recorder_seal("main")
    world.recorder.start()
    world.heal()
    world.settle()
    check(world)
    rows, losses = stored(world.recorder, node, LOGS)
    assert len(rows) >= 45 and not losses
    assert {batch.header.key_id for batch in kept(node)} == {new.public.key_id}


def kept(node: SimNode) -> list[Batch]:
    """The batches of the newest epoch of the logs."""
    journal = node.journals[LOGS]
    span = journal.spans()[-1]
    found = (journal.read(span.epoch, seq) for seq in range(span.oldest, span.last + 1))
    return [batch for batch in found if batch is not None]


# --- several sinks -------------------------------------------------------------------------------


def test_a_new_sink_on_an_old_node_begins_at_the_oldest_record_kept() -> None:
    """It gets all that is kept, and says what is not."""
    world = calm(sinks=("main", "other"), keep_acked=16 * 1024)
    main, other = world.recorders
    node = world.nodes[0]
    node.sinks = ["main"]
    main.start()
    node.start()
    log(world, node, 20, 40)
    world.time.run(world.time.now + 10.0)
    node.stop()
    node.sinks = ["main", "other"]
    node.start()
    other.start()
    log(world, node, 1)
    world.settle()
    assert world.stored(node, main) and world.stored(node, other)
    rows, losses = stored(other, node, LOGS)
    everything, _ = stored(main, node, LOGS)
    assert {row.payload for row in rows} == {
        row.payload for row in everything if int(row.payload.split("/")[2]) > 805 - len(rows)
    }
    assert len(rows) < len(everything)
    assert {loss.kind for loss in losses} == {"gap", "doubt"}


def test_two_sinks_do_not_couple() -> None:
    """While one is away the other stores everything at once; the journal waits for both."""
    world = calm(sinks=("main", "other"))
    world.start()
    main, other = world.recorders
    node: SimNode = world.nodes[0]
    log(world, node, 5, 40)
    other.kill()
    log(world, node, 20, 40)
    world.time.run(world.time.now + 30.0)
    assert world.stored(node, main) and not world.stored(node, other)
    assert node.journals[LOGS].spans()[0].oldest <= 202
    other.start()
    log(world, node, 1)
    world.settle()
    check(world)
    world.time.run(world.time.now + 30.0)
    assert node.journals[LOGS].spans()[0].oldest > 202


def test_a_restored_machine_does_not_trouble_a_sink_that_was_away() -> None:
    """The one that has the other history forks; the one that never saw it stores the epoch as it is."""
    world = calm(sinks=("main", "other"))
    world.start()
    main, other = world.recorders
    node = world.nodes[0]
    log(world, node, 5)
    world.time.run(world.time.now + 5.0)
    other.kill()
    machine, mark = node.host_snapshot(), len(node.accepted)
    log(world, node, 5)
    node.roll_back(mark)
    node.journal_restores += 1
    node.host_restores += 1
    node.host_restore(machine)
    log(world, node, 5)
    other.start()
    log(world, node, 5)
    world.settle()
    check(world)
    assert main.sink is not None and other.sink is not None
    assert main.sink.counters["forked epoch"] > 0
    assert other.sink.counters["forked epoch"] == 0


def test_a_link_that_overflows_costs_time_and_no_record() -> None:
    """Credit above the high-water mark is a mistake in the settings: batches are dropped, and asked for again."""
    world = calm(capacity=10, budget=500, rate=50.0)
    node = world.nodes[0]
    node.start()
    for stream in (LOGS, SAMPLES):
        for _ in range(100):
            node.produce(stream, 3)
    world.time.run(2.0)
    world.recorder.start()
    world.settle()
    check(world)
    top: Link = world.brokers[-1].up_links["u/main/"]
    assert top.dropped > 0
