"""The budget is never exceeded and never leaks, whatever streams ask for and however sessions end."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tabard.brokers.delivery.credit import (
    ACTIVE_FOR,
    LEASE,
    LEASE_GRACE,
    WINDOW_IDLE,
    WINDOW_LEAST,
    WINDOW_MOST,
    Account,
    Budget,
)


class BudgetMachine(RuleBasedStateMachine):
    """Any order of sessions, demands, sends and silences."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.budget = Budget(40, 40_000)
        self.accounts: list[Account] = []

    @rule(urgent=st.booleans())
    def open(self, urgent: bool) -> None:
        """A session begins."""
        self.accounts.append(self.budget.open(urgent=urgent))

    @precondition(lambda self: self.accounts)
    @rule(pick=st.integers(0), demand=st.booleans())
    def grant(self, pick: int, demand: bool) -> None:
        """A cursor message is made."""
        account = self.accounts[pick % len(self.accounts)]
        has = self.budget.grant(account, self.now, demand=demand)
        assert has == (account.out > 0)
        assert has or not demand or account.waiting

    @precondition(lambda self: self.accounts)
    @rule(pick=st.integers(0), share=st.floats(0, 1.2), size=st.integers(0, 10**4))
    def use(self, pick: int, share: float, size: int) -> None:
        """The node says that it has sent, perhaps more than it was lent."""
        account = self.accounts[pick % len(self.accounts)]
        sent = account.used + int(account.out * share) + (share > 1)
        self.budget.use(account, sent, account.used_bytes + size)

    @precondition(lambda self: self.accounts)
    @rule(pick=st.integers(0))
    def close(self, pick: int) -> None:
        """A session ends, with credit out or without; twice is once."""
        account = self.accounts.pop(pick % len(self.accounts))
        self.budget.close(account)
        self.budget.close(account)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, LEASE + LEASE_GRACE]))
    def wait(self, seconds: float) -> None:
        """Time passes; leases end."""
        self.now += seconds
        self.budget.expire(self.now)
        for account in self.accounts:
            assert not account.out or account.expires > self.now

    @rule()
    def turns(self) -> None:
        """Waiting streams are served as far as there is room."""
        free = self.budget.total - self.budget.out
        served = self.budget.turns()
        assert len(served) * WINDOW_LEAST <= max(0, free)
        assert not any(account.waiting for account in served)

    @invariant()
    def holds(self) -> None:
        """What is out is what the open accounts have, within the budget."""
        assert self.budget.out == sum(account.out for account in self.accounts)
        assert 0 <= self.budget.out <= self.budget.total
        sendable = sum(
            min(account.out * self.budget.bytes_a_batch, account.granted_bytes - account.used_bytes)
            for account in self.accounts
            if account.granted_bytes > account.used_bytes
        )
        assert sendable <= self.budget.total_bytes

    def teardown(self) -> None:
        """Once all sessions have ended, everything is back."""
        for account in self.accounts:
            self.budget.close(account)
        assert self.budget.out == 0


TestBudget = BudgetMachine.TestCase
TestBudget.settings = settings(max_examples=150, stateful_step_count=40)


def test_windows_shrink_as_streams_become_active_and_grow_again() -> None:
    """Few streams get large windows; many get two batches each, and the rest wait for their turn."""
    budget = Budget(64)
    accounts = [budget.open() for _ in range(100)]
    assert budget.grant(accounts[0], 0.0, demand=True) and accounts[0].out == 32
    granted = [budget.grant(account, 5.0, demand=True) for account in accounts[1:]]
    assert any(granted) and not all(granted)
    assert budget.out <= 64
    waiting = sum(account.waiting for account in accounts)
    budget.use(accounts[0], 32, 0)
    served = budget.turns()
    assert 0 < len(served) < waiting
    assert budget.window(5.0 + 1.0) == WINDOW_LEAST
    assert budget.window(6.0 + ACTIVE_FOR + 1.0) == min(WINDOW_MOST, 32)


def test_large_batches_use_up_the_bytes_before_the_batches() -> None:
    """A stream may send its part of the sink's bytes, and is renewed when it has sent half of that."""
    budget = Budget(100, 100_000)
    account = budget.open()
    budget.grant(account, 0.0, demand=True)
    assert (account.out, account.granted_bytes) == (50, 50_000)
    budget.use(account, 2, 20_000)
    assert not budget.low(account, 0.0)
    budget.use(account, 3, 30_000)
    assert budget.low(account, 0.0)
    budget.grant(account, 0.0, demand=True)
    assert (account.out, account.granted_bytes) == (50, 80_000)


def test_an_active_stream_gives_back_what_is_beyond_its_window_by_now() -> None:
    """Credit that a stream cannot use does not starve the others for ever."""
    budget = Budget(8)
    first, second = budget.open(), budget.open()
    budget.grant(first, 0.0, demand=True)
    assert first.out == 4
    second.demanded = 0.0
    budget.grant(second, 2.0, demand=True)
    budget.grant(first, 4.0, demand=True)
    assert first.out == WINDOW_LEAST


def test_an_idle_stream_keeps_a_little_while_there_is_plenty() -> None:
    """So that a record after a pause goes out at once."""
    budget = Budget(40)
    idle = budget.open()
    budget.grant(idle, 0.0, demand=False)
    assert idle.out == WINDOW_IDLE
    busy = [budget.open() for _ in range(2)]
    for account in busy:
        budget.grant(account, 0.5, demand=True)
        account.granted = 18
    budget.out = 2 + 36
    budget.grant(idle, 1.0, demand=False)
    assert idle.out == 0


def test_no_backlog_of_others_holds_back_an_answer() -> None:
    """An urgent stream is served at once, however many others wait; those take turns."""
    budget = Budget(64)
    backlogged = [budget.open() for _ in range(200)]
    for account in backlogged:
        budget.grant(account, 0.0, demand=True)
    assert budget.queue
    answer = budget.open(urgent=True)
    assert budget.grant(answer, 0.0, demand=True)
    assert answer.out >= WINDOW_LEAST


def test_every_stream_gets_its_turn() -> None:
    """While others wait, a window is used up before it is filled again, so no holder keeps the budget for itself."""
    budget = Budget(64)
    accounts = [budget.open() for _ in range(200)]
    served: set[int] = set()
    for account in accounts:
        budget.grant(account, 0.0, demand=True)
    for second in range(1, 100):
        for place, account in enumerate(accounts):
            if account.out:
                served.add(place)
                budget.use(account, account.used + 1, 0)
                budget.grant(account, second, demand=True)
        for account in budget.turns():
            budget.grant(account, second, demand=True)
    assert len(served) == len(accounts)
