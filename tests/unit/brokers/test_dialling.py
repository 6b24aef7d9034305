"""When a connection is dialled anew, with which key, and what people are told: events and time in, decisions out."""

from __future__ import annotations

import pytest

from tabard.brokers import dialling
from tabard.brokers.dialling import AGAIN, Dial, Event
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.trust.keys import PrivateKey

END = "tcp://127.0.0.1:7101"


def broker(seed: int) -> Certificate:
    """One of the broker's certificates, each with another key."""
    key = PrivateKey.from_seed(bytes([seed]) * 32).public
    return Certificate("broker", "b1", "hq", key, key.key_id, seed, 0, 2**62)


OLD, NEW = broker(1), broker(2)


def test_a_connection_that_is_up_is_left_alone() -> None:
    """Also when the rosters know another key, as long as this one holds."""
    dial = Dial(END, [OLD])
    assert dial.hear(Event.UP, 0.0)
    assert dial.word == dialling.CONNECTED
    assert not dial.look([OLD], 1.0, anew=False)
    assert not dial.look([NEW, OLD], 2.0, anew=False)
    assert dial.used == OLD


@pytest.mark.parametrize("event", [Event.REFUSED, Event.OTHER])
def test_who_was_refused_tries_again_after_a_while(event: Event) -> None:
    """Libzmq does not: not at once, not by its own, and by and by for ever."""
    dial = Dial(END, [OLD])
    assert dial.hear(event, 0.0)
    assert not dial.hear(Event.LOST, 0.0)  # it comes after the reason, and says less
    assert dial.word in dialling.FAILED
    assert not dial.look([OLD], AGAIN * 0.4, anew=False)
    assert dial.look([OLD], AGAIN * 1.6, anew=False)
    assert dial.used == OLD
    assert dial.word in dialling.FAILED  # until something else is known
    assert not dial.hear(event, 20.0)  # said once


def test_another_key_of_the_broker_is_tried() -> None:
    """After a rotation nobody knows which of the two it shows: both are tried in turn."""
    dial = Dial(END, [NEW, OLD])
    assert dial.used == NEW
    dial.hear(Event.BROKEN, 0.0)
    dial.hear(Event.BROKEN, AGAIN * 0.9)  # libzmq tries on with the same key, which puts nothing off
    assert dial.look([NEW, OLD], AGAIN, anew=False)
    assert dial.used == OLD
    dial.hear(Event.BROKEN, AGAIN)
    assert dial.look([NEW, OLD], 2 * AGAIN, anew=False)
    assert dial.used == NEW
    dial.hear(Event.UP, 2 * AGAIN)
    assert not dial.look([NEW, OLD], 9 * AGAIN, anew=False)


def test_an_attempt_that_was_let_go_of_says_nothing_of_the_next_one() -> None:
    """It fails once more, and ends, when the other key has been taken: the connection is up, and stays as it is."""
    dial = Dial(END, [NEW, OLD])
    dial.hear(Event.BROKEN, 0.0)
    assert dial.look([NEW, OLD], AGAIN, anew=False)
    assert dial.hear(Event.UP, AGAIN)
    changes = dial.changes
    for event in (Event.BROKEN, Event.LOST, Event.REFUSED, Event.LOST):
        assert not dial.hear(event, AGAIN + 0.2)
    assert (dial.word, dial.changes) == (dialling.CONNECTED, changes)
    assert not dial.look([NEW, OLD], 9 * AGAIN, anew=False)
    assert dial.used == OLD
    # What is lost is lost, and what fails then is about this one.
    assert dial.hear(Event.LOST, AGAIN + 0.3)
    assert dial.hear(Event.BROKEN, AGAIN + 0.4)
    assert dial.look([NEW, OLD], 2 * AGAIN + 0.4, anew=False)
    assert dial.used == NEW


def test_a_failure_long_after_is_no_left_over() -> None:
    """However it came about: nobody is called connected for good who is not."""
    dial = Dial(END, [NEW, OLD])
    dial.hear(Event.BROKEN, 0.0)
    assert dial.look([NEW, OLD], AGAIN, anew=False)
    assert dial.hear(Event.UP, AGAIN)
    assert dial.hear(Event.BROKEN, AGAIN + 1.1 * dialling.LINGERS)
    assert dial.word == dialling.NO_ANSWER


def test_the_other_own_key_is_shown_after_a_refusal() -> None:
    """The broker's key was right then, so it stays; and with new keys of this side it begins with the first again."""
    dial = Dial(END, [NEW, OLD])
    dial.hear(Event.REFUSED, 0.0)
    assert dial.look([NEW, OLD], 2 * AGAIN, anew=False)
    assert (dial.used, dial.own) == (NEW, 1)
    dial.hear(Event.REFUSED, 2 * AGAIN)
    assert dial.look([NEW, OLD], 4 * AGAIN, anew=False)
    assert (dial.used, dial.own) == (NEW, 2)
    dial.hear(Event.UP, 4 * AGAIN)
    assert dial.look([NEW, OLD], 4 * AGAIN, anew=True)
    assert (dial.used, dial.own) == (NEW, 0)


def test_one_key_that_gets_no_handshake_is_dialled_again_seldom() -> None:
    """Libzmq tries by itself; but not after it was answered by another key than the one it began with."""
    dial = Dial(END, [OLD])
    assert dial.hear(Event.BROKEN, 0.0)
    assert not dial.look([OLD], 0.4 * dialling.STILL, anew=False)
    dial.hear(Event.BROKEN, 0.4 * dialling.STILL)  # puts nothing off
    assert dial.look([OLD], 1.6 * dialling.STILL, anew=False)
    assert (dial.used, dial.word) == (OLD, dialling.NO_ANSWER)
    assert not dial.look([OLD], 9 * dialling.STILL, anew=False)
    dial.hear(Event.BROKEN, 10 * dialling.STILL)
    dial.hear(Event.UP, 10 * dialling.STILL)
    assert not dial.look([OLD], 20 * dialling.STILL, anew=False)


def test_a_key_that_does_not_hold_any_more_is_let_go_of_at_once() -> None:
    """While it is connected: nothing is sent any more to who has it; and dialled again when there is another."""
    dial = Dial(END, [OLD])
    dial.hear(Event.UP, 0.0)
    assert dial.look([], 1.0, anew=False)
    assert (dial.used, dial.word) == (None, dialling.UNKNOWN)
    assert not dial.look([], 2.0, anew=False)
    assert dial.look([NEW], 3.0, anew=False)
    assert dial.used == NEW
    assert dial.word == dialling.TRYING


def test_news_of_the_rosters_are_tried_at_once_by_who_is_not_connected() -> None:
    """A new key of the broker is what the old one waited for."""
    dial = Dial(END, [OLD])
    dial.hear(Event.BROKEN, 0.0)
    assert dial.look([NEW], 0.1, anew=False)
    assert dial.used == NEW


def test_an_own_key_that_changed_is_shown_everywhere() -> None:
    """Also where the old one is connected."""
    dial = Dial(END, [OLD])
    dial.hear(Event.UP, 0.0)
    assert dial.look([OLD], 1.0, anew=True)
    assert dial.used == OLD


def test_what_people_read() -> None:
    """Who, where, and how it stands."""
    dial = Dial(END, [OLD])
    dial.hear(Event.REFUSED, 0.0)
    assert dial.sentence() == f"the broker b1 of hq at {END}: it refused the key of this role"
    assert Dial(END, []).sentence() == f"the broker at {END}: no certificate of it holds now"
