"""Thousands of seeded worlds: exactly once, in order, or an honest gap, whatever strikes.

`SEEDS` in the environment says how many; a failure prints its seed and how to run it alone.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.sim.check import Violation, check
from tests.sim.faults import DEADLY, FAULTS
from tests.sim.world import World

SEEDS = int(os.environ.get("SEEDS", "2400"))
CHUNK = 100


def _run(seed: int) -> World:
    world = World(seed)
    try:
        world.run()
        check(world)
    except Violation as violation:
        pytest.fail(
            f"seed {seed}: {violation}\n{world.plan}\n{world.done}\nalone: python -m tests.sim {seed}",
            pytrace=False,
        )
    return world


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_world_keeps_the_promise(first: int) -> None:
    """Every record accepted is stored once and in its place, or its loss is said; and every world comes to rest."""
    for seed in range(first, min(first + CHUNK, SEEDS)):
        _run(seed)


def test_everything_that_can_strike_does(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of fault is drawn and each fail-point of the core is passed; the coverage is printed."""
    faults: Counter[str] = Counter()
    points: Counter[str] = Counter()
    for seed in range(10_000, 10_200):
        world = _run(seed)
        faults.update(done.split(" ", 1)[1] for done in world.done)
        points.update(world.points.passed)
    with capsys.disabled():
        print(f"\nfaults: {dict(faults)}\nfail-points: {dict(points)}")
    assert set(FAULTS) <= set(faults)
    assert set(DEADLY) <= set(points)


def test_a_seed_is_a_world() -> None:
    """The same seed gives the same world to the last record, so that a failure can be looked at."""
    first, second = _run(7), _run(7)
    assert first.done == second.done
    assert [node.accepted for node in first.nodes] == [node.accepted for node in second.nodes]
