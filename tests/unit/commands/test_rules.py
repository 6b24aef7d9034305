"""Single rules about what becomes of commands, where the worlds of a simulation say nothing of them."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.wire.answers import ACCEPTED, CANCELLED, DONE, EXPIRED, FAILED, LOST, REFUSED
from tabard.consumers.commands.course import (
    MAX_REASON,
    QUEUED,
    SECOND,
    SENT,
    Course,
    Heard,
    Rules,
    beginners,
    reason_of,
    summary,
)

NOW = 1_000 * SECOND
RULES = Rules(60 * SECOND)
WAITING = Course(NOW, NOW + 100 * SECOND, 10 * SECOND)
HEARD = Heard(b"nonce..1", present=True, whole=True)


def test_is_sent_at_once_to_a_node_that_is_there() -> None:
    """With the nonce of its newest beacon."""
    course, send = RULES.step(WAITING, HEARD, NOW)
    assert send
    assert (course.state, course.nonce, course.attempts) == (SENT, HEARD.nonce, 1)


@pytest.mark.parametrize("heard", [None, HEARD._replace(present=False), HEARD._replace(nonce=b"")])
def test_waits_for_a_node_that_is_away(heard: Heard | None) -> None:
    """And is not held to have been sent."""
    course, send = RULES.step(WAITING, heard, NOW)
    assert not send
    assert (course.state, course.attempts) == (QUEUED, 0)


def test_is_sent_again_with_a_newer_nonce_only_after_a_while() -> None:
    """A node that says nothing is not flooded."""
    sent, _ = RULES.step(WAITING, HEARD, NOW)
    assert not RULES.step(sent, HEARD, NOW + SECOND)[1]
    assert RULES.step(sent, HEARD, NOW + 5 * SECOND)[1]
    newer = HEARD._replace(nonce=b"nonce..2")
    assert not RULES.step(sent, newer, NOW + SECOND // 2)[1]
    assert RULES.step(sent, newer, NOW + SECOND)[1]


def test_a_clock_that_was_put_back_stops_nothing() -> None:
    """The time of the last sending lies ahead then."""
    sent, _ = RULES.step(WAITING, HEARD, NOW)
    assert RULES.step(sent, HEARD, NOW - 3_600 * SECOND)[1]


def test_is_withdrawn_as_long_as_it_was_not_sent() -> None:
    """After that its node has to be told."""
    withdrawn = RULES.withdrawn(WAITING)
    assert withdrawn is not None
    assert withdrawn.state == CANCELLED
    sent, _ = RULES.step(WAITING, HEARD, NOW)
    assert RULES.withdrawn(sent) is None
    assert RULES.withdrawn(RULES.doubted(WAITING)) is None


@pytest.mark.threat("restored-dispatcher-store")
def test_what_its_node_has_forgotten_is_not_said_to_be_cancelled() -> None:
    """Where the store tells nothing of it either: it may have been carried out. What can only be new to the node is cancelled."""
    unknown = RULES.doubted(WAITING)
    said = {"by": "ada of hq", "parts": 0, "forgotten": WAITING.expires}
    lost = RULES.answered(unknown, "command.cancelled", said)
    assert lost.state == LOST and "does not remember it" in lost.reason and lost.said
    for course, forgotten in ((unknown, WAITING.expires - 1), (unknown, None), (WAITING, WAITING.expires)):
        found = RULES.answered(course, "command.cancelled", {**said, "forgotten": forgotten})
        assert (found.state, found.reason) == (CANCELLED, "by ada of hq")


def test_what_a_node_took_before_its_store_was_put_back_is_asked_for_again() -> None:
    """Its end may have been told, and be gone."""
    taken = RULES.answered(WAITING._replace(attempts=1, state=SENT), "command.accepted", {})
    assert taken.state == ACCEPTED
    course, send = RULES.step(RULES.doubted(taken), HEARD, NOW + SECOND)
    assert send
    assert RULES.answered(course, "command.done", {"exit": 0}).state == DONE


SENT_ONCE = WAITING._replace(state=SENT, attempts=1)
TAKEN_ONE = SENT_ONCE._replace(state=ACCEPTED)
ENDED = SENT_ONCE._replace(state=DONE)


@pytest.mark.parametrize(
    ("batch", "courses", "may"),
    [
        (0, [WAITING, SENT_ONCE, ENDED, TAKEN_ONE], {0, 1}),
        (2, [WAITING] * 4, {0, 1}),
        (2, [WAITING, SENT_ONCE, WAITING], {0, 1}),
        (1, [WAITING, SENT_ONCE, WAITING], {1}),
        (2, [TAKEN_ONE, WAITING, WAITING], {1}),
        (2, [TAKEN_ONE, TAKEN_ONE, WAITING], set()),
        (1, [TAKEN_ONE, SENT_ONCE, WAITING], set()),
        (2, [ENDED, TAKEN_ONE, WAITING, WAITING], {2}),
    ],
)
def test_a_batch_lets_others_begin_when_some_have_ended(
    batch: int, courses: list[Course], may: set[int]
) -> None:
    """What was sent already goes first."""
    assert beginners([(course, True) for course in courses], batch) == may


def test_a_node_that_is_away_takes_no_place() -> None:
    """Not before and not after its command was sent to it; once it took that it has a place until its end, whether it is heard or not."""
    assert beginners([(WAITING, False), (SENT_ONCE, False), (WAITING, True), (WAITING, True)], 1) == {2}
    assert beginners([(TAKEN_ONE, False), (WAITING, True)], 1) == frozenset()
    assert beginners([(WAITING, False), (WAITING, True)], 0) == {0, 1}


def test_one_that_is_held_back_by_its_batch_expires_too() -> None:
    """And is not sent meanwhile."""
    held, send = RULES.step(WAITING, HEARD, NOW, begin=False)
    assert (held.state, send) == (QUEUED, False)
    assert RULES.step(held, HEARD, WAITING.expires, begin=False)[0].state == EXPIRED


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([DONE, DONE], "done"),
        ([REFUSED, REFUSED], "refused"),
        ([DONE, FAILED], "partly"),
        ([FAILED, REFUSED], "failed"),
        ([LOST], "failed"),
        ([DONE, SENT], "open"),
    ],
)
def test_says_what_became_of_several(states: list[str], said: str) -> None:
    """In the words that exit codes stand for."""
    assert summary(states) == said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"exit": 3}, ""),
        ({"signal": 9}, "ended by signal 9"),
        ({"reason": "timeout"}, "timeout"),
        ({"reason": "not accepted", "expected": "an action"}, "not accepted; expected an action"),
        ({"by": "ada"}, "by ada"),
        ({"reason": ["no", "text"]}, ""),
        ({"reason": "x\0y"}, "x\u2400y"),
    ],
)
def test_a_nodes_reason_is_one_line(data: dict[str, Any], said: str) -> None:
    """Whatever the node put there."""
    assert reason_of(data) == said
    assert len(reason_of({"reason": "x" * 100_000})) <= MAX_REASON


def test_an_absurd_exit_code_is_none() -> None:
    """It would not fit into the store."""
    assert RULES.answered(WAITING, "command.failed", {"exit": 2**80}).exit is None
    assert RULES.answered(WAITING, "command.failed", {"exit": True}).exit is None
