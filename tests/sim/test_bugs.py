"""Whoever breaks the core in one of the usual ways is caught by the simulation, within few seeds."""

from __future__ import annotations

import pytest

from tests.sim import gap_bugs, key_bugs, policy_bugs, sink_bugs  # noqa: F401 -- they add their own
from tests.sim.bugs import BUGS, Bug
from tests.sim.check import Violation
from tests.sim.run import simulate


def test_there_are_enough() -> None:
    """At least twenty, each with a name of its own."""
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_seeded_bug_is_caught(bug: Bug) -> None:
    """Some seed shows it, and without it the same seed shows nothing."""
    for seed in range(bug.seeds):
        with bug.patch():
            try:
                simulate(seed, bug.plan)
            except Violation:
                break
    else:
        pytest.fail(f"not caught in {bug.seeds} worlds: {bug.name}")
    for clean in range(seed + 1):
        simulate(clean, bug.plan)
