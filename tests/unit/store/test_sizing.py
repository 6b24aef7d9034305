"""How many records go into one commit of a server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabard.consumers.recorder.sizing import LEAST, MOMENT, Sizing

LIMIT = 16_384


def after(*commits: tuple[int, float]) -> Sizing:
    """What has seen commits of so many records that lasted so long."""
    sizing, now = Sizing(), 100.0
    for records, seconds in commits:
        sizing.begin(now, records)
        now += seconds
        sizing.end(now)
    return sizing


def test_nothing_is_known_at_first() -> None:
    """A server may be any."""
    assert Sizing().most(LIMIT) == LEAST


def test_a_fast_server_takes_in_as_many_as_it_may() -> None:
    """4,096 in 40 ms are 100,000 a second."""
    assert after((LEAST, 0.04)).most(LIMIT) == LIMIT


def test_a_slower_one_takes_in_what_does_not_last() -> None:
    """So that the loop comes to its leases."""
    assert after((5_000, 0.25)).most(LIMIT) == 20_000 * MOMENT
    assert after((LEAST, 4.0)).most(LIMIT) == LEAST


def test_the_last_one_counts() -> None:
    """A server that becomes slow is noticed by one commit, and so is one that recovers."""
    assert after((LIMIT, 0.1), (LIMIT, 8.0)).most(LIMIT) == LEAST
    assert after((LIMIT, 8.0), (LEAST, 0.04)).most(LIMIT) == LIMIT


def test_what_is_set_is_never_exceeded() -> None:
    """Not even by what goes in however slow the database is."""
    assert Sizing().most(10) == 10
    assert after((LEAST, 0.001)).most(10) == 10


def test_an_end_without_a_beginning_says_nothing() -> None:
    """As after a commit that was never begun."""
    sizing = after((LEAST, 0.04))
    sizing.end(1e9)
    assert sizing.most(LIMIT) == LIMIT


@given(st.lists(st.tuples(st.integers(0, 65_536), st.floats(0, 100)), max_size=5), st.integers(1, 65_536))
def test_some_records_always_go(commits: list[tuple[int, float]], limit: int) -> None:
    """Whatever was seen, clocks that stand still included."""
    assert min(limit, LEAST) <= after(*commits).most(limit) <= limit
