"""The simulation catches what it is there for: every seeded bug, in a few seeds."""

from __future__ import annotations

import pytest

from tests.sim.bugs import BUGS, Bug
from tests.sim.check import Violation, check
from tests.sim.plan import Plan
from tests.sim.world import World

SEEDS = range(60)


def _world(bug: Bug, seed: int) -> World:
    return World(seed, Plan(bug.faults, **{"fault_count": 3, "loss": 0.02, "seconds": 25.0, **bug.plan}))


def _outcome(bug: Bug, seed: int) -> str | None:
    """What was noticed; production code that trips over the bug notices it as well."""
    world = _world(bug, seed)
    try:
        world.run()
        check(world)
    except Violation as violation:
        return str(violation)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_seeded_bug_is_caught(bug: Bug) -> None:
    """With one rule broken, some seed shows a loss, a double, a lie or a stand-still."""
    with bug.patch():
        assert any(_outcome(bug, seed) for seed in SEEDS), f"{bug.name} was not caught: {bug.rule}"


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_the_same_seeds_pass_without_it(bug: Bug) -> None:
    """What is caught is the bug: the unbroken code passes the plans that show it."""
    for seed in list(SEEDS)[:12]:
        assert _outcome(bug, seed) is None, f"seed {seed} of the plan of {bug.name}"


def test_there_are_at_least_twenty() -> None:
    """Each has a name of its own."""
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
