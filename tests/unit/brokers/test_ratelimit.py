"""The rate limit of one link: whatever comes or does not come, no more passes than the rate and a burst, and everybody has a turn."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers import ratelimit
from tabard.brokers.ratelimit import BURST_SECONDS, HELD, Limit

RATE = 10_000
LEAST = 8_000
SESSION, OTHER = b"session1", b"session2"
STEP = 0.1


class Sender:
    """A node with more to send than it ever may, of batches of one size; what it is told may get lost."""

    def __init__(self, limit: Limit, key: str, size: int = 1_000, *, backlog: int = 2**60) -> None:
        self.limit, self.key, self.size, self.backlog = limit, key, size, backlog
        self.session = SESSION
        self.sent = 0
        self.passed = 0
        self.cap: int | None = 0

    def begin(self, now: float, session: bytes = SESSION) -> None:
        """A sink begins a session."""
        self.session, self.sent = session, 0
        self.cap = self.limit.cap(now, self.key, session, first=True)

    def hear(self, now: float) -> None:
        """A cursor comes."""
        self.cap = self.limit.cap(now, self.key, self.session, first=False)

    def send(self, now: float) -> None:
        """As much as it may."""
        while self.cap is not None and self.sent < self.cap and self.backlog > 0:
            self.sent += self.size
            self.passed += self.size
            self.backlog -= self.size
            self.limit.passed(now, self.size)
            self.limit.heard(now, self.key, self.session, self.sent, self.size)


def most(limit: Limit, seconds: float, *senders: Sender) -> float:
    """What may pass in so many seconds: the rate, a burst, a turn, and the batch with which each goes beyond its turn."""
    return limit.rate * (seconds + STEP) + limit.burst + ratelimit.LEAST + sum(each.size for each in senders)


def run(limit: Limit, senders: list[Sender], seconds: float, begin: float = 0.0, loss: float = 0.0) -> float:
    """Serve and send for so long; the time at the end. `loss` is the share of cursors that get lost."""
    rng = Random(1)
    now = begin
    by_key = {sender.key: sender for sender in senders}
    while now < begin + seconds:
        now += STEP
        for key in limit.serve(now):
            if rng.random() >= loss:
                by_key[str(key)].hear(now)
        for sender in senders:
            sender.send(now)
    return now


def test_over_a_span_the_rate_passes_and_no_more_than_a_burst_beside() -> None:
    """One node with a backlog: nearly all of the rate, and never more."""
    limit = Limit(RATE, 0.0, LEAST)
    sender = Sender(limit, "n1")
    sender.begin(0.0)
    run(limit, [sender], 100.0)
    assert 0.95 * RATE * 100 <= limit.passed_bytes <= most(limit, 100.0, sender)


def test_those_who_wait_share_equally() -> None:
    """Twenty nodes, some with batches ten times as large: in bytes each gets the same, to one batch."""
    limit = Limit(RATE, 0.0, LEAST)
    senders = [Sender(limit, f"n{number}", 2_000 if number % 2 else 200) for number in range(20)]
    for sender in senders:
        sender.begin(0.0)
    run(limit, senders, 400.0)
    passed = [sender.passed for sender in senders]
    assert min(passed) > 0.5 * max(passed), passed
    assert limit.passed_bytes <= most(limit, 400.0, *senders)


def test_a_batch_larger_than_any_share_passes_in_its_turn() -> None:
    """A link that is narrower than a batch a second is paid back before the next one."""
    limit = Limit(100, 0.0, LEAST)
    senders = [Sender(limit, f"n{number}", 50_000) for number in range(3)]
    for sender in senders:
        sender.begin(0.0)
    run(limit, senders, 5_000.0)
    assert all(sender.passed >= 50_000 for sender in senders)
    assert limit.passed_bytes <= most(limit, 5_000.0, *senders)


def test_cursors_that_are_lost_cost_time_and_nothing_else() -> None:
    """Half of them: what was granted is heard with the next cursor, and what passes stays within the rate."""
    limit = Limit(RATE, 0.0, LEAST)
    senders = [Sender(limit, f"n{number}") for number in range(5)]
    for sender in senders:
        sender.begin(0.0)
    now = 0.0
    for _ in range(60):
        now = run(limit, senders, 2.0, now, loss=0.5)
        for sender in senders:  # the sink answers a beacon
            sender.hear(now)
    assert 0.5 * RATE * now <= limit.passed_bytes <= most(limit, now, *senders)
    assert min(sender.passed for sender in senders) > 0


def test_a_cursor_that_comes_twice_grants_nothing_twice() -> None:
    """The cap is what it is, asked for as often as one likes."""
    limit = Limit(RATE, 0.0, LEAST)
    limit.cap(0.0, "n1", SESSION, first=True)
    limit.serve(0.0)
    caps = {limit.cap(1.0, "n1", SESSION, first=first) for first in (True, False, False, True)}
    assert len(caps) == 1 and None not in caps


def test_a_broker_that_began_in_the_middle_of_a_session_asks_and_grants_a_burst_at_most() -> None:
    """It does not know what was sent, so it lets nothing pass until it heard."""
    limit = Limit(RATE, 0.0, LEAST)
    assert limit.cap(0.0, "n1", SESSION, first=False) is None
    limit.heard(0.0, "n1", SESSION, 5_000_000)
    assert limit.cap(0.0, "n1", SESSION, first=False) == 5_000_000
    limit.serve(0.0)
    cap = limit.cap(0.0, "n1", SESSION, first=False)
    assert cap is not None and 5_000_000 < cap <= 5_000_000 + limit.burst


def test_what_passes_unasked_is_paid_back() -> None:
    """Control and beacons pass as they come; nobody is granted more until the link had time for them."""
    limit = Limit(RATE, 0.0, LEAST)
    sender = Sender(limit, "n1")
    limit.passed(0.0, 15_000, unasked=True)
    limit.passed(0.0, 85_000)
    sender.begin(0.0)
    run(limit, [sender], 7.0)
    assert sender.passed == 0
    run(limit, [sender], 20.0, 7.0)
    assert 0 < limit.passed_bytes <= most(limit, 27.0, sender)


def test_beacons_that_are_more_than_the_rate_leave_something_to_the_rest() -> None:
    """A rate that is too low for the number of nodes: their records go on, slowly."""
    limit = Limit(RATE, 0.0, LEAST)
    sender = Sender(limit, "n1")
    sender.begin(0.0)
    now = 0.0
    while now < 100.0:
        limit.passed(now, 2 * RATE, unasked=True)
        now = run(limit, [sender], 1.0, now)
    assert sender.passed >= 0.9 * (1 - ratelimit.UNASKED) * RATE * 100
    assert sender.passed <= (1 - ratelimit.UNASKED) * RATE * 110 + limit.burst + ratelimit.LEAST + sender.size


def test_a_grant_that_nobody_uses_is_free_again() -> None:
    """A node that is gone holds it for a moment, and others go on."""
    limit = Limit(RATE, 0.0, LEAST)
    for number in range(50):
        limit.cap(0.0, f"gone{number}", SESSION, first=True)
    sender = Sender(limit, "n1")
    sender.begin(0.0)
    now = 0.0
    while not sender.passed:
        now += STEP
        assert now < 50 * HELD
        if "n1" in limit.serve(now):
            sender.hear(now)
        sender.send(now)


def test_a_new_session_begins_at_nothing_and_the_old_one_is_forgotten() -> None:
    """Also when words of the old one come late: they cost a look, not a grant."""
    limit = Limit(RATE, 0.0, LEAST)
    sender = Sender(limit, "n1")
    sender.begin(0.0)
    now = run(limit, [sender], 10.0)
    sender.begin(now, OTHER)
    limit.heard(now, "n1", SESSION, 77_000)  # late
    limit.heard(now, "n1", OTHER, 0)
    now = run(limit, [sender], 20.0, now)
    assert sender.sent > 0
    assert limit.passed_bytes <= most(limit, now, sender)


def test_another_rate_holds_from_then_on() -> None:
    """As a policy changes it."""
    limit = Limit(RATE, 0.0, LEAST)
    sender = Sender(limit, "n1")
    sender.begin(0.0)
    now = run(limit, [sender], 10.0)
    before = limit.passed_bytes
    limit.change(now, RATE // 10)
    run(limit, [sender], 100.0, now)
    assert limit.passed_bytes - before <= most(limit, 100.0, sender) + RATE * BURST_SECONDS


def test_more_streams_than_are_known_at_a_time_are_all_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not heard for longest makes room, and is known again by its next word."""
    monkeypatch.setattr(ratelimit, "MOST", 5)
    limit = Limit(RATE, 0.0, LEAST)
    senders = [Sender(limit, f"n{number}", backlog=3_000) for number in range(12)]
    now = 0.0
    for sender in senders:
        sender.begin(now)
    for sender in senders * 20:  # a beacon and its answer, one node after the other
        limit.heard(now, sender.key, sender.session, sender.sent)
        sender.hear(now)
        now = run(limit, senders, 0.2, now)
    assert [sender.backlog for sender in senders if sender.backlog > 0] == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["n1", "n2", "n3"]), st.integers(0, 5_000), st.floats(0, 3), st.integers(0, 4)
        ),
        max_size=60,
    )
)
def test_whatever_is_said_what_is_granted_fits_the_rate(steps: list[tuple[str, int, float, int]]) -> None:
    """Any order of words, sessions and pauses: the sum of all caps never grows faster than rate and burst."""
    limit = Limit(RATE, 0.0, LEAST)
    now, granted = 0.0, 0
    known: dict[tuple[str, bytes], int] = {}
    for key, used, pause, what in steps:
        now += pause
        session = SESSION if what % 2 else OTHER
        if what < 2:
            limit.heard(now, key, session, used, used)
            limit.passed(now, used)
        else:
            limit.cap(now, key, session, first=what == 2)
        before = {each: limit.cap(now, each, session, first=False) for each in ("n1", "n2", "n3")}
        for name in limit.serve(now):
            cap = limit.cap(now, name, SESSION, first=False)
            cap = limit.cap(now, name, OTHER, first=False) if cap is None else cap
            assert cap is not None
            if before.get(str(name)) is not None:
                granted += cap - (before[str(name)] or 0)
                known[str(name), session] = cap
    assert granted <= RATE * now + limit.burst + 5_000 * (len(steps) + 1)


def test_no_rate_is_no_limit() -> None:
    """Nobody can have made one by accident."""
    with pytest.raises(ValueError, match="above 0"):
        Limit(0, 0.0)
