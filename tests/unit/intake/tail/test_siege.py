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


@pytest.mark.parametrize("ways", WAYS)
def test_every_line_is_stored_once_though_tools_give_files_old_times(ways):
    """A copy that keeps its time, a clock set back: what was rotated has a time before what was read."""
    for seed in [*range(6), 60_004, 60_012, 60_174, 60_404, 60_542, 60_568]:
        missing, doubled, said = Siege(seed, WAYS[ways], star=False, aged=True).run()
        assert not missing, f"seed {seed}"
        assert not doubled, f"seed {seed}"
        assert not said, f"seed {seed}"


def test_a_file_that_is_written_to_after_a_restart_is_read_before_rotation_deletes_it():
    """It had been moved away, and nothing new was in it when the agent came back."""
    siege = Siege(60_222, WAYS["rename"], keep=3)
    missing, _doubled, said = siege.run()
    assert said or not siege.followed_and_lost(missing)


@pytest.mark.parametrize(("seed", "aged"), [(61_137, False), (60_585, True)])
def test_a_file_that_was_read_under_another_path_is_not_read_twice(seed, aged):
    """It was open under both, nothing could be stored for a while, and the one that had read it let go of it first."""
    _missing, doubled, _said = Siege(seed, WAYS["copy"], aged=aged).run(remove=not aged)
    assert not doubled


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
