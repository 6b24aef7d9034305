"""Whatever happens to a log between two looks, and to the agent: every line is a record once, or a loss is said."""

from __future__ import annotations

import pytest

from tests.unit.intake.tail.siege import Siege

WAYS = {"rename": ("rename",), "copy": ("copy",), "both": ("rename", "copy")}


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("first", range(0, 24, 8))
def test_every_line_is_stored_once(ways, first):
    """Rotated in every way, read by an agent that stops and starts; nothing had to be said either."""
    for seed in range(first, first + 8):
        missing, doubled, said = Siege(seed, WAYS[ways], star=False).run()
        assert not missing, f"seed {seed}"
        assert not doubled, f"seed {seed}"
        assert not said, f"seed {seed}"
