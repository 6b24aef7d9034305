"""Which broker of a pair is used, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.pair import EVERY, MISSED, Pair
from tabard.brokers.wire.heartbeat import Heartbeat

FIRST, SECOND = 0, 1
STEPS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    min_size=20,
    max_size=80,
)
"""At each heartbeat: whether each of two brokers is heard, whether each hears who is above, whether it is read at all."""


def beat(number: int = 1, *, above: bool = True, interval: float = EVERY) -> Heartbeat:
    """As a broker sends it."""
    return Heartbeat("b", "hq", interval, number, above)


def heard(pair: Pair, now: float, *which: int, above: bool = True) -> None:
    """A heartbeat of each comes."""
    for each in which:
        pair.hear(each, now, beat(above=above))


def test_one_alone_is_always_used() -> None:
    """However silent it is, there is no other."""
    pair = Pair(["only"], 0.0)
    assert not any(pair.move(float(now)) for now in range(100))
    assert pair.active == FIRST


def test_the_standby_is_used_after_three_missed_heartbeats() -> None:
    """Not after two; and it stays so when the first one is back."""
    pair = Pair(["first", "second"], 0.0)
    heard(pair, 0.0, FIRST, SECOND)
    for now in range(1, MISSED + 1):
        heard(pair, float(now), SECOND)
        assert not pair.move(float(now)), f"moved after {now} missed"
    heard(pair, MISSED + 1.0, SECOND)
    assert pair.move(MISSED + 1.0)
    assert pair.active == SECOND
    heard(pair, MISSED + 2.0, FIRST, SECOND)
    assert not pair.move(MISSED + 2.0)
    assert pair.active == SECOND


def test_one_that_hears_nothing_from_above_is_left_at_once() -> None:
    """It is there itself, and leads nowhere."""
    pair = Pair(["first", "second"], 0.0)
    heard(pair, 0.0, FIRST, SECOND)
    heard(pair, 1.0, FIRST, above=False)
    assert pair.move(1.0)
    assert pair.active == SECOND


def test_between_two_that_are_not_well_nobody_moves() -> None:
    """Both silent, or both cut off from above."""
    pair = Pair(["first", "second"], 0.0)
    heard(pair, 0.0, FIRST, SECOND)
    assert not pair.move(60.0)
    heard(pair, 60.0, FIRST, SECOND, above=False)
    assert not pair.move(60.0)
    assert pair.active == FIRST


def test_one_that_was_frozen_itself_stays() -> None:
    """What it missed says nothing about the brokers; what waited for it is read after it looks."""
    pair = Pair(["first", "second"], 0.0)
    heard(pair, 0.0, FIRST, SECOND)
    assert not pair.move(1_000.0)
    heard(pair, 1_000.0, FIRST, SECOND)
    assert not pair.move(1_001.0)


def test_one_that_starts_waits_for_the_first_before_it_takes_the_second() -> None:
    """The second is often heard earlier."""
    pair = Pair(["first", "second"], 10.0)
    heard(pair, 10.1, SECOND)
    assert not pair.move(11.0)
    heard(pair, 11.1, FIRST)
    assert not pair.move(12.0)
    late = Pair(["first", "second"], 10.0)
    for now in (10.1, 11.1, 12.1, 13.1):
        heard(late, now, SECOND)
    assert late.move(13.2)


def test_a_broker_says_how_often_it_is_to_be_heard() -> None:
    """A slower one is waited for longer."""
    pair = Pair(["slow", "other"], 0.0)
    pair.hear(FIRST, 0.0, beat(interval=10.0))
    heard(pair, 29.0, SECOND)
    assert not pair.move(29.0)
    heard(pair, 31.0, SECOND)
    assert pair.move(31.0)


@given(STEPS)
def test_it_moves_only_to_one_that_is_well_and_from_one_that_is_not(
    steps: list[tuple[bool, bool, bool, bool, bool]],
) -> None:
    """And whenever that is so, whatever happened before."""
    pair = Pair(["first", "second"], 0.0)
    last: dict[int, tuple[float, bool]] = {}
    for number, (*beats, read) in enumerate(steps, 1):
        now = number * EVERY
        for which in (FIRST, SECOND):
            if read and beats[which]:
                last[which] = now, beats[2 + which]
                pair.hear(which, now, beat(number, above=beats[2 + which]))
        well = {which: above and now - at <= MISSED * EVERY for which, (at, above) in last.items()}
        used, other = pair.active, 1 - pair.active
        waited = used in last or now > MISSED * EVERY
        moved = pair.move(now)
        assert moved == (well.get(other, False) and not well.get(used, False) and waited)
        assert pair.active == (other if moved else used)
