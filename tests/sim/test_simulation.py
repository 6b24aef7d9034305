"""Thousands of small worlds: whatever befalls them, every accepted record is stored once or said to be lost.

``SEEDS`` in the environment says up to which seed the long test goes.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.sim.faults import DEADLY, FAULTS
from tests.sim.run import simulate

CHUNK = 125
SHORT = 2_500
LONG = max(SHORT, int(os.environ.get("SEEDS", "10000")))


def _chunks(first: int, end: int) -> list[range]:
    return [range(start, min(start + CHUNK, end)) for start in range(first, end, CHUNK)]


def _run(seeds: range) -> None:
    struck: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    forks = forged = 0
    for seed in seeds:
        world = simulate(seed)
        struck.update(line.split(" ", 1)[1] for line in world.done)
        passed += world.points.passed
        forged += world.forger.struck if world.forger else 0
        forks += world.recorder.sink.counters["forked epoch"] if world.recorder.sink else 0
    print(
        f"{len(seeds)} worlds from seed {seeds.start}; faults: {dict(sorted(struck.items()))}; forks: {forks}; forged: {forged}"
    )
    print(f"fail-points passed: {dict(sorted(passed.items()))}")
    if len(seeds) == CHUNK:
        # The schedule is drawn from the seeds, so this is no chance: a chunk without a kind of fault tests nothing of it.
        assert [name for name in FAULTS if struck[name] < 3] == []
        assert [name for name in DEADLY if not passed[name]] == []
        assert forged > CHUNK


@pytest.mark.parametrize("seeds", _chunks(0, SHORT), ids=lambda seeds: f"from_{seeds.start}")
def test_every_record_is_stored_once_or_said_to_be_lost(seeds: range) -> None:
    """Restarts, power cuts, deaths in any write, full disks, restored journals, stores and machines, lossy links."""
    _run(seeds)


@pytest.mark.long
@pytest.mark.parametrize("seeds", _chunks(SHORT, LONG), ids=lambda seeds: f"from_{seeds.start}")
def test_more_seeds(seeds: range) -> None:
    """The same, for as many seeds as asked for."""
    _run(seeds)


def test_a_seed_always_gives_the_same_world() -> None:
    """What failed once fails again: nothing but the seed decides."""
    worlds = [simulate(7), simulate(7)]
    first, second = (
        (world.done, [node.accepted for node in world.nodes], dict(world.points.passed)) for world in worlds
    )
    assert first == second
