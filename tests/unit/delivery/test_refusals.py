"""What is not believed is counted, shown and said, and whoever claims many names fills nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from tabard.brokers.delivery.refusals import FORGET, MOST, SAY_EVERY, Refusals
from tabard.brokers.delivery.seal import FORGED, REASONS, UNSIGNED
from tabard.brokers.rising import is_trouble
from tabard.ops.believing import ADVICE, words


def test_it_is_said_once_an_hour_while_it_happens() -> None:
    """With how often it happened by then."""
    refusals = Refusals(Counter())
    for now in range(10):
        refusals.note(float(now), "node hq/web1", "batch", FORGED)
    assert [str(one) for one in refusals.due(10.0)] == [
        "a batch under the name of node hq/web1 is not believed: wrong signature (10 times)"
    ]
    refusals.note(11.0, "node hq/web1", "batch", FORGED)
    assert refusals.due(12.0) == []
    assert len(refusals.due(10.0 + SAY_EVERY)) == 1
    assert refusals.due(10.0 + 3 * SAY_EVERY) == []


def test_it_is_shown_while_it_happens_and_ten_minutes_more() -> None:
    """The reason that was met last is the one that is asked for."""
    refusals = Refusals(Counter())
    refusals.note(0.0, "sink main", "hello", UNSIGNED)
    refusals.note(1.0, "sink main", "cursor", FORGED)
    assert refusals.why(2.0, "sink main") == FORGED
    assert refusals.why(2.0, "sink other") is None
    assert [(row["what"], row["ago"]) for row in refusals.report(3.0)] == [("hello", 3.0), ("cursor", 2.0)]
    assert refusals.report(1.0 + FORGET) == []
    assert refusals.why(1.0 + FORGET, "sink main") is None


@pytest.mark.threat("stranger-signs")
def test_many_names_take_no_room() -> None:
    """They are counted; a name that is met later has its place when those are over."""
    counters: Counter[str] = Counter()
    refusals = Refusals(counters)
    for number in range(10 * MOST):
        refusals.note(0.0, f"node hq/n{number}", "beacon", UNSIGNED)
    assert len(refusals.report(0.0)) == len(refusals.due(0.0)) == MOST
    assert counters[f"refused beacon: {UNSIGNED}"] == 10 * MOST
    refusals.note(FORGET, "node hq/web1", "beacon", UNSIGNED)
    assert [row["who"] for row in refusals.report(FORGET)] == ["node hq/web1"]


def test_every_reason_has_a_counter_of_trouble_and_advice() -> None:
    """So `tabard status` shows it, and says what to do."""
    counters: Counter[str] = Counter()
    refusals = Refusals(counters)
    for why in REASONS:
        refusals.note(0.0, "node hq/web1", "batch", why)
    assert all(map(is_trouble, counters))
    assert set(ADVICE) == set(REASONS)
    said = list(words(refusals.report(0.0)))
    assert all("node hq/web1" in line for line in said[:8])
    assert said[8:] == [f"does not believe {len(REASONS) - 8} more"]
