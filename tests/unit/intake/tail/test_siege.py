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


@pytest.mark.parametrize("ways", WAYS)
def test_every_line_is_stored_once_though_rotated_files_match_the_pattern(ways):
    """Each of them is a path that is followed by itself, and is read once all the same."""
    for seed in range(8):
        missing, doubled, said = Siege(seed, WAYS[ways], star=True).run()
        assert not missing, f"seed {seed}"
        assert not doubled, f"seed {seed}"
        assert not [text for text in said if "at the first start" not in text], f"seed {seed}"


@pytest.mark.parametrize("traits", [{"keep": 3}, {"remove": True}], ids=["rotated away", "deleted"])
def test_a_loss_is_said(traits):
    """Files are deleted before they were read: a line is missing only where that is said, and none is doubled."""
    lost = 0
    for seed in range(12):
        siege = Siege(seed, star=False, **{key: value for key, value in traits.items() if key == "keep"})
        missing, doubled, said = siege.run(remove="remove" in traits)
        assert not doubled or said, f"seed {seed}"
        assert said or not siege.followed_and_lost(missing), f"seed {seed}"
        lost += len(missing)
    assert lost


@pytest.mark.long
@pytest.mark.parametrize("ways", WAYS)
def test_many_schedules(ways):
    """A thousand of each kind."""
    for seed in range(10_000, 11_000):
        missing, doubled, _said = Siege(seed, WAYS[ways]).run()
        assert (missing, doubled) == ([], []), f"seed {seed}"
