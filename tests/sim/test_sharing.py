"""Several recorders over one store: whatever befalls them, each record is stored once, and no shard is left alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tabard.brokers.delivery.seams import UNPROVEN
from tabard.brokers.wire.streams import CONTROL
from tests.sim.check import Violation, check, stored
from tests.sim.plan import Plan
from tests.sim.sharing import PLAIN, SHARED_FAULTS, SharedWorld
from tests.sim.sharing_bugs import BUGS, SharingBug
from tests.sim.world import SIGNED

CHUNK = 25
BUDGET = 256


def drawn(seed: int) -> tuple[Plan, int]:
    """A plan, and how many recorders share the sink."""
    rng = Random(f"sharing {seed}")
    plan = Plan(
        (*PLAIN, *SHARED_FAULTS),
        nodes=rng.choice((2, 4)),
        seconds=rng.choice((20.0, 40.0)),
        fault_count=rng.choice((1, 3, 6)),
        burst=rng.choice((3, 20)),
        loss=rng.choice((0.0, 0.05)),
        budget=BUDGET,
        brokers=rng.choice((1, 2)),
        aside=rng.random() < 0.5,
        signed=seed % SIGNED == 0,
    )
    return plan, rng.choice((2, 3))


def simulate(seed: int, plan: Plan | None = None, count: int = 2) -> SharedWorld:
    """Run a world and check it. Raises Violation with the seed, the plan and the faults that struck."""
    if plan is None:
        plan, count = drawn(seed)
    world = SharedWorld(seed, plan, count)
    try:
        world.run()
        check(world)
        world.check_quarantine()
    except Violation as violation:
        raise Violation(
            f"seed {seed}, {count} recorders: {violation}\n{plan}\nfaults: {world.done}"
        ) from None
    return world


@pytest.mark.parametrize("first", range(0, 100, CHUNK))
def test_recorders_that_share_store_every_record_once(first: int) -> None:
    """Deaths, freezes in transactions and before them, ends, losses for good, clocks, restored stores."""
    struck: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        world = simulate(seed)
        struck.update(line.split(" ", 1)[1] for line in world.done)
    print(dict(struck))
    assert all(struck[name] for name in SHARED_FAULTS)


@pytest.mark.parametrize("seed", [46, 99])
def test_one_that_starts_when_the_stores_clock_jumps_leaves_others_what_they_hold(seed: int) -> None:
    """By that clock the leases of all others are over; they hold them, with the credit that goes with them."""
    faults = ("store's clock jumps", "end recorder", "kill recorder", "lose recorder")
    plan = Plan(faults, nodes=4, seconds=40.0, fault_count=8, burst=20, loss=0.05, budget=16, pace=0.3)
    simulate(seed, plan, 3)


def test_of_a_store_and_a_machine_that_were_both_put_back_it_is_told_what_is_not_proven() -> None:
    """Two histories of one epoch: the node let go of its own, of which the store had all once, and has the other one now."""
    plan, count = drawn(3688)
    faults = (*plan.faults, "restore host", "restore journal", "restore host")
    world = simulate(3688, replace(plan, signed=True, revoking=True, rekeys=2, faults=faults), count)
    node = next(node for node in world.nodes if node.key.node == "n1")
    _rows, losses = stored(world.recorders[0], node, CONTROL)
    assert [(loss.first, loss.last) for loss in losses if loss.reason == UNPROVEN] == [(1, 31)]


def test_there_are_enough_bugs() -> None:
    """Each with a name of its own."""
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 8


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_seeded_bug_is_caught(bug: SharingBug) -> None:
    """Some seed shows it, and without it the same seed shows nothing."""
    plan = Plan(
        bug.faults, nodes=4, seconds=40.0, fault_count=4, burst=20, loss=0.05, budget=BUDGET, pace=0.3
    )
    for seed in range(bug.seeds):
        with bug.patch():
            try:
                simulate(seed, plan, 3)
            except Violation:
                break
    else:
        pytest.fail(f"not caught in {bug.seeds} worlds: {bug.name}")
    simulate(seed, plan, 3)
