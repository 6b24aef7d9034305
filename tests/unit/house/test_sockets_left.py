"""Homes of tests that are too deep for sockets have a directory elsewhere: it does not outlive the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.home import Home

MADE: dict[str, Path] = {}


@pytest.fixture(params=["a home", "the next one"])
def turn(request: pytest.FixtureRequest) -> str:
    """Which of two."""
    return str(request.param)


def test_nothing_is_left_of_the_test_before(turn: str, tmp_path: Path) -> None:
    """Though its folder, which would tell where that was, is removed before the session ends."""
    home = Home(tmp_path / "deep" / ("x" * 60)).ensure()
    assert home.sockets != home.run
    assert home.sockets.is_dir()
    assert not any(place.exists() for place in MADE.values())
    MADE[turn] = home.sockets
