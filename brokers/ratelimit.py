"""The rate limit of one link: a token bucket of bytes, and who may use what is in it. Pure: bytes and time in, caps out.

What passes up is never held back here, it is only counted: a limit lessens what nodes may send, by caps on their credit. A cap says
how many bytes of a stream may have been sent in a session of a sink in all. So it is state, and what would go wrong otherwise does not:

* A cap that is lost or comes twice changes nothing: the next one says the same, or more.
* A grant that is not used (its node is gone, or has nothing to send) is held back from others for a moment only.
* What passed in spite of it (control, beacons, a burst of many nodes at once) is paid back before anybody is granted more, so
  that over any span no more than the rate passes, and a burst. But where control and beacons alone are more than the rate, a part
  of it is left for the rest, which would wait for ever.
* A stream whose bytes are not known, since the broker was started in the middle of a session, is granted nothing until they are;
  so a start grants one burst, like any other moment.
* Who has used up a cap waits in a queue, and gets an equal part of what is there, at least one batch: with many that wait, none of
  them is passed over, and an idle one does not hold what others could use. What a batch went beyond a turn counts for the next
  ones, so that large batches do not get more than small ones.
* The number of streams is bounded; beyond it the one that was not heard of for longest is forgotten, and known again by its next word.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

BURST_SECONDS: Final = 2.0
"""What may pass at once after a pause, in seconds of the rate,"""
BURST_LEAST: Final = 65_536
"""and in bytes at least: a batch has to fit."""
LEAST: Final = 4_096
"""Bytes of a first grant, and of a batch before one was seen."""
HELD: Final = 1.0
"""Seconds for which a grant is held back for whom it was given to."""
QUICK: Final = 2.0
"""Who uses up a grant in so many seconds is granted twice as much the next time, if there is as much."""
UNASKED: Final = 0.75
"""Part of the rate that control and beacons may take from the others: so there is always something left for these."""
MOST: Final = 20_000
"""Streams of nodes that one limit knows at a time."""


@dataclass(eq=False)
class Account:
    """One stream of one node towards one sink."""

    key: Hashable
    session: bytes
    used: int
    """Bytes that the node says it has sent in the session."""
    cap: int
    size: int = LEAST
    """Of its largest recent batch."""
    grant: int = LEAST
    """The last one."""
    granted: float = float("-inf")
    hungry: float = float("-inf")
    """When it had used up its cap."""
    beyond: int = 0
    """Bytes that its last batch went beyond it, which count for its next turns."""
    waiting: bool = False

    @property
    def open(self) -> int:
        """Bytes that are still to come of what it was granted; the last batch may go beyond it."""
        return max(self.cap - self.used, self.size) if self.cap > self.used else 0


class Limit:
    """Of one link, in bytes a second; `least` are those of a burst."""

    def __init__(self, rate: float, now: float, least: int = BURST_LEAST) -> None:
        if rate <= 0:
            raise ValueError(f"expected a rate above 0, found {rate}")
        self.rate = rate
        self._least = least
        self.burst = max(rate * BURST_SECONDS, least)
        self.passed_bytes = 0
        """All that passed, since the start."""
        self._tokens = self.burst
        self._unasked = self.burst * UNASKED
        self._at = now
        self._accounts: OrderedDict[Hashable, Account] = OrderedDict()
        self._queue: deque[Account] = deque()
        self._held: dict[Account, None] = {}

    def change(self, now: float, rate: float) -> None:
        """Another rate from now on; what is granted stays."""
        self._refill(now)
        self.rate = rate
        self.burst = max(rate * BURST_SECONDS, self._least)

    @property
    def waiting(self) -> int:
        """Streams that have used up their caps."""
        return sum(account.waiting for account in self._queue)

    def _refill(self, now: float) -> None:
        more = max(0.0, now - self._at) * self.rate
        self._tokens = min(self.burst, self._tokens + more)
        self._unasked = min(self.burst * UNASKED, self._unasked + more * UNASKED)
        self._at = max(self._at, now)

    # --- what passes -----------------------------------------------------------------------

    def passed(self, now: float, size: int, *, unasked: bool = False) -> None:
        """So many bytes passed up; `unasked`: of control, or a beacon, which no cap holds back."""
        self._refill(now)
        self.passed_bytes += size
        if unasked:
            size = round(min(size, max(0.0, self._unasked)))
            self._unasked -= size
        self._tokens -= size

    def heard(self, now: float, key: Hashable, session: bytes, used: int, size: int = 0) -> None:
        """A node said how much of a stream it has sent in a session, with a batch of `size` bytes or with none."""
        account = self._accounts.get(key)
        if account is None or account.session != session:
            account = self._open(now, Account(key, session, used, used))
        self._accounts.move_to_end(key)
        account.used = max(account.used, used)
        if size:
            account.size = max(size, (account.size + size) // 2)
        if account.used >= account.cap:
            self._wait(now, account)

    # --- what is granted -------------------------------------------------------------------

    def cap(self, now: float, key: Hashable, session: bytes, *, first: bool) -> int | None:
        """The cap of a stream in a session; None while nobody knows what was sent in it.

        `first`: the session begins just now, so nothing was.
        """
        account = self._accounts.get(key)
        if account is None or account.session != session:
            if not first:
                return None
            account = self._open(now, Account(key, session, 0, 0))
        return account.cap

    def serve(self, now: float) -> list[Hashable]:
        """Grant those who wait what there is; the keys of those who have more now."""
        self._refill(now)
        for account in [each for each in self._held if now - each.granted >= HELD or not each.open]:
            del self._held[account]
        free = self._tokens - sum(account.open for account in self._held)
        served = []
        while self._queue and free > 0:
            share = int(free / len(self._queue))
            account = self._queue.popleft()
            if not account.waiting:
                continue  # forgotten, or in another session by now
            quick = account.hungry - account.granted < QUICK
            turn = max(LEAST, min(share, 2 * account.grant if quick else LEAST))
            if account.beyond >= turn:
                account.beyond -= turn  # this turn was used the time before
                self._queue.append(account)
                continue
            account.waiting = False
            free -= self._grant(now, account, turn)
            served.append(account.key)
        return served

    def _grant(self, now: float, account: Account, turn: int) -> int:
        account.grant = turn
        account.cap = account.used + turn - account.beyond
        account.beyond = 0
        account.granted = now
        self._held[account] = None
        return account.open

    def _open(self, now: float, account: Account) -> Account:
        before = self._accounts.pop(account.key, None)
        if before is not None:
            self._forget(before)
            account.size = before.size
        elif len(self._accounts) >= MOST:
            self._forget(self._accounts.popitem(last=False)[1])
        self._accounts[account.key] = account
        self._wait(now, account)
        return account

    def _forget(self, account: Account) -> None:
        account.waiting = False
        self._held.pop(account, None)

    def _wait(self, now: float, account: Account) -> None:
        if not account.waiting:
            account.waiting = True
            account.hungry = now
            account.beyond = min(account.used - account.cap, account.size)
            self._queue.append(account)
