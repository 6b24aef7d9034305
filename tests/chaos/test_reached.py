"""Every fail-point was reached: named for the file's place, behind those whose processes reach them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.chaos.reach import PASSED, points, processes_at


def test_every_fail_point_was_passed_and_died_at(coverage: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No place that somebody thought dangerous goes without a process that was killed there."""
    if not coverage.exists():
        pytest.skip("NOT TESTED: needs the other tests of tests/chaos to run before it, in the same process")
    with capfd.disabled():
        print("\nfail-points:", PASSED.table(coverage), sep="\n", file=sys.stderr)
    passed = processes_at(coverage)
    assert [point for point in points() if not passed[point]] == []
    assert [point for point in points() if not PASSED.deaths[point]] == []
