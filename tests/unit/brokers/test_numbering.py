"""Numbers of what goes down: a jump is what a hop lost, and nothing else is."""

from __future__ import annotations

import pytest

from tabard.brokers import numbering
from tabard.brokers.numbering import SETTLE, Descents, Numbering
from tabard.brokers.wire.hop import Cap, Descent, decode_descent

TOPIC, OTHER = b"d/hq/web1/", b"d/hq/web2/"


def sent(numbers: Numbering, topic: bytes = TOPIC) -> Descent:
    """The envelope of the next message."""
    descent = decode_descent(numbers.envelope(topic))
    assert descent is not None
    return descent


def test_each_topic_has_its_own_numbers_and_caps_go_along() -> None:
    """From 1 on."""
    numbers = Numbering(b"bootboot")
    assert [sent(numbers).number, sent(numbers).number, sent(numbers, OTHER).number] == [1, 2, 1]
    caps = (Cap(2, 7),)
    said = decode_descent(numbers.envelope(TOPIC, caps))
    assert said is not None and said.caps == caps


def test_what_is_missing_between_two_numbers_was_lost() -> None:
    """Once something of the same session comes later."""
    numbers, came = Numbering(b"bootboot"), Descents()
    assert came.take(0.0, TOPIC, sent(numbers)) == 0
    assert not came.begun
    assert came.take(0.1, TOPIC, sent(numbers)) == 0
    for _ in range(3):
        sent(numbers)  # lost
    assert came.take(0.2, TOPIC, sent(numbers)) == 0
    assert came.take(0.3, TOPIC, sent(numbers)) == 0
    assert came.take(0.2 + SETTLE, TOPIC, sent(numbers)) == 3
    assert (came.sent, came.received, came.lost) == (7, 4, 3)


def test_a_peer_that_asks_anew_has_lost_nothing() -> None:
    """What was sent while it was away, and before the sender knew so."""
    numbers, came = Numbering(b"bootboot"), Descents()
    came.take(0.0, TOPIC, sent(numbers))
    for _ in range(5):
        sent(numbers)  # it is away
    came.take(0.1, TOPIC, sent(numbers))  # the sender has not noticed that it is back
    numbers.joined(TOPIC)
    for second in range(1, 5):
        assert came.take(float(second * 10), TOPIC, sent(numbers)) == 0
    assert came.lost == 0 and came.received > 0


def test_another_start_of_the_sender_is_compared_with_itself() -> None:
    """Numbers begin anew."""
    came = Descents()
    for boot in (b"bootboot", b"bootnext"):
        numbers = Numbering(boot)
        for second in range(3):
            assert came.take(float(second), TOPIC, sent(numbers)) == 0
    assert came.lost == 0 and came.received == 4


def test_what_comes_twice_or_late_is_counted_once() -> None:
    """As over two ways."""
    numbers, came = Numbering(b"bootboot"), Descents()
    first, second, third = sent(numbers), sent(numbers), sent(numbers)
    for descent in (first, second, second, first, third, third):
        came.take(1.0, TOPIC, descent)
    assert (came.sent, came.received) == (2, 2)


def test_a_connection_of_the_sender_that_came_up_anew_concerns_all_topics() -> None:
    """A recorder dials: it knows of connections, not of who asks."""
    numbers = Numbering(b"bootboot")
    before = sent(numbers)
    numbers.joined()
    assert sent(numbers).session > before.session and sent(numbers, OTHER).session > before.session


def test_the_number_of_topics_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it all begin anew, and that is no loss either."""
    monkeypatch.setattr(numbering, "MOST", 10)
    numbers, came = Numbering(b"bootboot"), Descents(10)
    for round_ in range(3):
        for number in range(25):
            assert (
                came.take(
                    float(round_ * 100),
                    f"d/hq/n{number}/".encode(),
                    sent(numbers, f"d/hq/n{number}/".encode()),
                )
                == 0
            )
    assert came.lost == 0
