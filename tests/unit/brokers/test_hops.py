"""What a link lost, by the numbers of both ends: in virtual time, over a connection that may break and drop."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.hops import SETTLE, Compared, Sending
from tabard.brokers.wire.tally import MOST_SENT, Sent, Tally

BOOT = b"bootboot"


@dataclass
class Wire:
    """One lane of a link: a sender, a receiver, and what is on its way between them."""

    sending: Sending = field(default_factory=Sending)
    compared: Compared = field(default_factory=Compared)
    boot: bytes = BOOT
    now: float = 0.0
    number: int = 0
    on_its_way: deque[str | tuple[int, Tally]] = field(default_factory=deque)
    came: Counter[str] = field(default_factory=Counter)
    up: bool = True

    def send(self, count: int = 1, key: str = "k", *, dropped: int = 0) -> None:
        """Messages under a key, the first of which the queue does not take."""
        for place in range(count):
            self.sending.counts[key] = self.sending.counts.get(key, 0) + 1
            if self.up and place >= dropped:
                self.on_its_way.append(key)

    def deliver(self) -> tuple[int, int]:
        """All that is on its way arrives; what was newly found missing and too many."""
        lost = doubled = 0
        while self.on_its_way:
            item = self.on_its_way.popleft()
            if isinstance(item, str):
                self.came[item] += 1
            else:
                found = self.compared.take(self.now, (item[0], 1.0), item[1], lambda key: self.came[key])
                lost, doubled = lost + found[0], doubled + found[1]
        return lost, doubled

    def beat(self) -> tuple[int, int]:
        """A second passes, and a tally goes out and arrives."""
        self.tell()
        return self.deliver()

    def found(self) -> tuple[int, int]:
        """What two tallies show: the second one confirms the first."""
        one, two = self.beat(), self.beat()
        return one[0] + two[0], one[1] + two[1]

    def tell(self) -> None:
        """A second passes and a tally goes out."""
        self.now += 1.0
        self.number += 1
        if self.up:
            self.on_its_way.append((self.number, Tally(self.boot, self.sending.rows(), ())))

    def begin(self) -> None:
        """Until the session is compared."""
        self.send()
        self.beat()
        self.send()
        self.beat()
        assert self.compared.begun

    def cut(self) -> None:
        """The connection goes, with what is on its way."""
        self.on_its_way.clear()
        self.up = False

    def heal(self) -> None:
        """It is back, and the receiver says so."""
        self.up = True
        self.sending.joined()


def missing(wire: Wire) -> int:
    """The difference as people see it."""
    return wire.compared.sent - wire.compared.received


def test_what_arrives_is_no_loss_and_what_does_not_is_counted_exactly() -> None:
    """Once, at the next tally."""
    wire = Wire()
    wire.begin()
    wire.send(100)
    assert wire.found() == (0, 0)
    wire.send(50, dropped=7)
    assert wire.found() == (7, 0)
    wire.send(50)
    assert wire.found() == (0, 0)
    assert missing(wire) == 7
    assert wire.compared.sent == 200


def test_a_connection_that_breaks_is_no_loss() -> None:
    """What was on its way with it, and what was said while there was none, is in no session."""
    wire = Wire()
    wire.begin()
    wire.send(20)
    wire.cut()
    wire.send(500)
    wire.beat()
    wire.heal()
    wire.begin()
    wire.send(10, dropped=3)
    assert wire.found() == (3, 0)
    assert missing(wire) == 3


def test_a_queue_that_outlives_its_connection_is_no_loss() -> None:
    """The sender dials: what it held goes out at once when it is connected again, without what was on its way."""
    wire = Wire()
    wire.begin()
    wire.found()
    wire.send(700)
    wire.on_its_way.clear()
    for _ in range(20):
        wire.send(3)
        wire.tell()
    wire.sending.joined()
    assert wire.deliver() == (0, 0)
    wire.begin()
    assert wire.found() == (0, 0)
    assert missing(wire) == 0


def test_a_sender_that_starts_again_is_no_loss() -> None:
    """It counts from nothing under another start, whatever its number is."""
    wire = Wire()
    wire.begin()
    wire.send(20)
    wire.beat()
    wire.sending, wire.boot, wire.number = Sending(), b"anotherb", 0
    wire.begin()
    wire.send(5)
    assert wire.found() == (0, 0)
    assert missing(wire) == 0


def test_a_receiver_that_starts_again_is_no_loss() -> None:
    """It compares what comes from then on."""
    wire = Wire()
    wire.begin()
    wire.send(20)
    wire.cut()
    wire.compared, wire.came = Compared(), Counter()
    wire.heal()
    wire.begin()
    wire.send(5)
    assert wire.found() == (0, 0)
    assert missing(wire) == 0


def test_what_an_older_connection_still_held_is_not_too_many() -> None:
    """It arrives behind the first tally of the new one, and an old tally with it: a receiver that was frozen sees that."""
    wire = Wire()
    wire.begin()
    wire.send(30)
    wire.tell()
    held = list(wire.on_its_way)
    wire.on_its_way.clear()
    wire.sending.joined()
    wire.tell()
    wire.send(1)
    wire.tell()
    wire.on_its_way.extend(held)  # all of it is read at one time
    wire.now += 60
    assert wire.deliver() == (0, 0)
    wire.send(10)
    assert wire.found() == (0, 0)
    wire.send(10, dropped=4)
    assert wire.found() == (4, 0)
    assert missing(wire) == 4


def test_nothing_is_compared_before_anything_came() -> None:
    """The sender may not have heard yet that this is asked for; after ten seconds it has."""
    wire = Wire()
    for _ in range(int(SETTLE)):
        wire.send(3, dropped=3)
        assert wire.beat() == (0, 0)
    wire.send(3, dropped=3)
    wire.beat()
    wire.send(3, dropped=3)
    assert wire.found() == (3, 0)


def test_what_is_asked_for_again_begins_anew() -> None:
    """Between the two the sender counts, and nobody hears it."""
    wire = Wire()
    wire.begin()
    wire.send(5, "other/01")
    wire.beat()
    wire.send(9, dropped=9)
    wire.compared.drop("k")
    wire.send(3)
    assert wire.found() == (0, 0)
    wire.begin()
    assert missing(wire) == 0


def test_messages_that_come_twice_are_told() -> None:
    """Both ends dial each other: the difference is below nothing."""
    wire = Wire()
    wire.begin()
    wire.send(10)
    wire.on_its_way.extend("k" for _ in range(10))
    assert wire.found() == (0, 10)
    assert missing(wire) == -10


def test_what_is_not_asked_for_is_not_compared() -> None:
    """Somebody beside the link may ask for it."""
    wire = Wire()
    wire.begin()
    compared = Compared()
    for number in range(1, 20):
        wire.send(3)
        tally = Tally(BOOT, wire.sending.rows(), ())
        assert compared.take(float(number), (number, 1.0), tally, lambda _key: None) == (0, 0)
    assert not compared.begun


def test_more_keys_than_a_tally_holds_take_turns() -> None:
    """Each is told, and what is lost under any of them is found."""
    wire = Wire()
    keys = [f"sink/{number}" for number in range(MOST_SENT + 100)]
    for _ in range(6):
        for key in keys:
            wire.send(key=key)
        wire.beat()
    wire.send(4, keys[-1], dropped=4)
    assert sum(wire.beat()[0] for _ in range(4)) == 4


def test_a_peer_that_comes_back_has_a_session_of_its_own() -> None:
    """Others keep theirs; a key that was forgotten does not get an old one again."""
    sending = Sending()
    sending.counts.update(a=0, b=0)
    sending.joined("a")
    sending.joined("b")
    before = {row.key: row.session for row in sending.rows()}
    sending.forget("a")
    sending.counts["a"] = 0
    sending.joined("a")
    after = {row.key: row.session for row in sending.rows()}
    assert after["b"] == before["b"]
    assert after["a"] > max(before.values())
    assert Sent("a", after["a"], 0) in sending.rows()


@pytest.mark.parametrize("seed", range(3))
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(1, 20), st.integers(0, 3)),
            st.tuples(st.just("beat"), st.just(0), st.just(0)),
            st.tuples(st.just("tell"), st.just(0), st.just(0)),
            st.tuples(st.just("cut"), st.just(0), st.just(0)),
            st.tuples(st.just("restart"), st.just(0), st.just(0)),
        ),
        max_size=60,
    )
)
def test_whatever_happens_no_more_is_lost_than_was_dropped(
    seed: int, steps: list[tuple[str, int, int]]
) -> None:
    """Never more than the queue dropped, and nothing too many: no cut and no restart looks like a loss."""
    wire = Wire()
    wire.now = seed * 1000.0
    dropped = lost = doubled = 0
    for what, count, missed in steps:
        if what == "send":
            wire.send(count, dropped=min(missed, count))
            dropped += min(missed, count)
        elif what in {"beat", "tell"}:
            wire.tell()
            found = wire.deliver() if what == "beat" else (0, 0)
            lost, doubled = lost + found[0], doubled + found[1]
        elif what == "cut" and wire.up:
            wire.cut()
        elif what == "cut":
            wire.heal()
        elif what == "restart":
            wire.cut()
            wire.sending, wire.boot, wire.number = Sending(), bytes([wire.boot[0] + 1]) * 8, 0
            wire.heal()
    assert lost <= dropped
    assert doubled == 0
