"""Credit: one budget per sink, lent to streams in windows, each with a lease.

The sum of what is out stays below the budget, which is itself below half the smallest high-water mark
on the path: whatever all nodes send at once, nothing is dropped. With many backlogged streams each
window shrinks to two batches, and the rest wait for their turn: while any waits, nobody's window is filled up
again before it is used. Urgent streams (answers and results) have a part of the budget and a queue of their own,
so that no backlog of logs holds them back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

LEASE = 15.0
"""Seconds for which credit holds on the node: longer than the pause between two beacons, each of which renews it."""
LEASE_GRACE = 5.0
"""Seconds beyond the lease before the budget gets unused credit back (the node heard it later)."""
WINDOW_MOST = 128
WINDOW_LEAST = 2
WINDOW_IDLE = 2
"""Batches that an idle stream may send at once, while at most half of the budget is out."""
BUDGET = 1_500
"""Batches that all streams together may have on their way, where nothing else is said."""
BUDGET_BYTES = 268_435_456
"""Bytes that they may have on their way."""
URGENT_PART = 8
"""One part in so many of the budget is lent to urgent streams only."""
ACTIVE_FOR = 10.0
"""Seconds after its last demand for which a stream counts as active."""


@dataclass(eq=False)
class Account:
    """One stream's credit."""

    urgent: bool = False
    granted: int = 0
    granted_bytes: int = 0
    used: int = 0
    """Batches that the node says it has sent in this session (received or lost)."""
    used_bytes: int = 0
    expires: float = 0.0
    demanded: float = float("-inf")
    waiting: bool = False
    turn: bool = False
    """It waited, and is to be served next."""

    @property
    def out(self) -> int:
        """Batches granted and not yet seen."""
        return max(0, self.granted - self.used)


@dataclass
class Budget:
    """What all accounts of a sink share, in batches; each batch of credit goes with its part of the bytes."""

    total: int = BUDGET
    total_bytes: int = BUDGET_BYTES
    out: int = 0
    accounts: set[Account] = field(default_factory=set)
    urgent: deque[Account] = field(default_factory=deque)
    """Urgent accounts that wait, in their order."""
    queue: deque[Account] = field(default_factory=deque)
    """All others that wait."""
    active: int = 1
    _counted: float = float("-inf")

    def resize(self, batches: int, size: int) -> None:
        """Lend no more than so many batches and bytes from now on; what is out beyond that comes back by and by."""
        self.total = max(WINDOW_LEAST, batches)
        self.total_bytes = max(1, size)

    def open(self, *, urgent: bool = False) -> Account:
        """A new account without credit."""
        account = Account(urgent)
        self.accounts.add(account)
        return account

    def close(self, account: Account) -> None:
        """The session ended: what was out comes back."""
        if account in self.accounts:
            self.accounts.discard(account)
            self.out -= account.out
        account.waiting = account.turn = False

    def use(self, account: Account, sent: int, sent_bytes: int) -> None:
        """The node says that it has sent `sent` batches in all."""
        before = account.out
        account.used = max(account.used, sent)
        account.used_bytes = max(account.used_bytes, sent_bytes)
        self.out -= before - account.out

    @property
    def bytes_a_batch(self) -> int:
        """Byte credit that goes with a batch of credit; a stream of larger batches is renewed more often."""
        return max(1, self.total_bytes // self.total)

    def window(self, now: float) -> int:
        """Batches that one active stream may have out."""
        if now - self._counted >= 1.0:
            self._counted = now
            self.active = max(1, sum(now - account.demanded < ACTIVE_FOR for account in self.accounts))
        return min(WINDOW_MOST, max(WINDOW_LEAST, self.total // (2 * self.active)))

    def free(self, *, urgent: bool) -> int:
        """Batches that may still be lent, to an urgent stream or to another."""
        return self.total - self.out - (0 if urgent else self.total // URGENT_PART)

    def grant(self, account: Account, now: float, *, demand: bool) -> bool:
        """Set the account's limit as far as the budget allows; True when it has credit now.

        An idle account gives back what it no longer needs, an active one what is beyond its window by now. The
        node hears of it a moment later, which the distance between the budget and the high-water marks allows for.
        """
        if demand:
            account.demanded = now
            change = min(self.window(now) - account.out, max(0, self.free(urgent=account.urgent)))
            if self._must_wait(account):
                change = min(change, 0)
        else:
            spare = not self.queue and self.out - account.out < self.total // 2
            change = (WINDOW_IDLE if spare else 0) - account.out
        account.turn = False
        account.granted = account.used + account.out + change
        self.out += change
        account.granted_bytes = max(
            account.granted_bytes, account.used_bytes + account.out * self.bytes_a_batch
        )
        if account.out:
            account.expires = now + LEASE + LEASE_GRACE
        if demand and not account.out and not account.waiting:
            account.waiting = True
            (self.urgent if account.urgent else self.queue).append(account)
        return account.out > 0

    def _must_wait(self, account: Account) -> bool:
        """Whether others wait that come first: as long as they do, what is out is used up before there is more."""
        return not account.turn and bool(self.urgent if account.urgent else self.queue)

    def low(self, account: Account, now: float) -> bool:
        """Whether an active account has used half of its window, in batches or in bytes."""
        window = self.window(now)
        bytes_out = account.granted_bytes - account.used_bytes
        return account.out * 2 <= window or bytes_out * 2 <= window * self.bytes_a_batch

    def expire(self, now: float) -> None:
        """Take back credit whose lease is over on the node."""
        for account in self.accounts:
            if account.out and account.expires <= now:
                self.out -= account.out
                account.granted = account.used

    def report(self) -> dict[str, int]:
        """In batches: all of it, what of it is out; active and waiting streams."""
        waiting = len(self.urgent) + len(self.queue)
        return {"budget": self.total, "out": self.out, "active": self.active, "waiting": waiting}

    def turns(self) -> list[Account]:
        """The waiting accounts that the free budget can serve now, urgent ones first, in their order."""
        found: list[Account] = []
        for queue, urgent in ((self.urgent, True), (self.queue, False)):
            while queue and (len(found) + 1) * WINDOW_LEAST <= self.free(urgent=urgent):
                account = queue.popleft()
                if account.waiting and account in self.accounts:
                    account.waiting, account.turn = False, True
                    found.append(account)
        return found
