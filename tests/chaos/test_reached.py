"""Every fail-point was reached: named for the file's place, behind those whose processes reach them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.reach import APART, PASSED, points, points_of_roles, processes_at


def test_every_fail_point_was_passed_and_died_at(coverage: Path) -> None:
    """No place that somebody thought dangerous goes without a process that was killed there."""
    if not coverage.exists():
        pytest.skip("NOT TESTED: needs the other tests of tests/chaos to run before it, in the same process")
    print("fail-points:", PASSED.table(coverage), sep="\n")
    passed = processes_at(coverage)
    assert sorted(points_of_roles()) == sorted(point for point in points_of_roles() if passed[point])
    assert sorted(points_of_roles()) == sorted(point for point in points_of_roles() if PASSED.deaths[point])


def test_exceptions_are_for_fail_points_that_there_are() -> None:
    """One that is gone takes its exception with it."""
    assert set(APART) <= set(points())
