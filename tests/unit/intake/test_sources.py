"""What is remembered of a producer survives a restart in a mark, whatever the producer numbered its frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.sources import Source
from tabard.records import INT_MAX


@given(st.lists(st.integers(-5, 400) | st.sampled_from([0, INT_MAX, INT_MAX + 1, 2**64 - 1]), max_size=20))
def test_refused_numbers_never_cost_the_mark(refused: list[int]) -> None:
    """A frame accepted before the restart is known after it; numbers that no frame can have are not remembered."""
    source = Source("socket:a")
    for number in refused:
        source.refuse(number)
    mark = source.mark(300)
    again = Source.marked("socket:a", mark)
    assert again is not None
    assert again.accepted == 300
    assert again.refused_to(300) == sorted({n for n in refused if 300 - 256 < n < 300})


def test_a_number_refused_first_and_accepted_later_is_not_refused() -> None:
    """A client that mends a frame and sends it again under its number hears that it is kept."""
    source = Source("socket:a")
    source.refuse(7)
    assert source.mark(7) == 7
    assert source.refused_to(7) == []


def test_a_mark_with_something_odd_in_it_still_says_what_was_accepted() -> None:
    """As an earlier version may have written it."""
    again = Source.marked("socket:a", [5, 0, "x", 3])
    assert again is not None
    assert (again.accepted, again.refused_to(5)) == (5, [3])
    assert Source.marked("socket:a", [0, 3]) is None
