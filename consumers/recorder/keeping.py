"""The recorder's leases: taken and renewed in the store, followed by its subscriptions and by the sink.

Whatever rests on a lease is done after `look` was called, so that a recorder that stood still asks the store first,
and finds out what it does not hold any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, Protocol

from tabard import failpoints
from tabard.brokers.delivery.leases import Change, Keeper
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire import topics
from tabard.units import format_duration

SHED_EVERY: Final = 0.1
"""Seconds between two looks whether credit has come back far enough for shards to be given up."""
LOOKED = failpoints.declare("recorder.leases_renewed", "a recorder renewed its leases and has not used them")

CLOCK_OFF: Final = 600.0
"""Seconds by which this host's clock may differ from the store's: retention of days and hours does not mind."""

_log = logging.getLogger(__name__)


class Timers(Protocol):
    """What is asked of the loop."""

    def now(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> object:
        """Call back once, at that time or soon after."""


class Hands(NamedTuple):
    """What the recorder does for its leases."""

    subscribe: Callable[[bytes], object]
    unsubscribe: Callable[[bytes], object]
    wait: Callable[[], None]
    """Until no commit uses the store."""
    finish: Callable[[], None]
    """Commit what is pending, and tell the nodes."""
    call: Callable[[], None]
    """Say hello soon, and some more times."""


class Keeping:
    """Drives a `Keeper`, and does what it says."""

    def __init__(
        self,
        keeper: Keeper,
        sink: Sink,
        loop: Timers,
        hands: Hands,
    ) -> None:
        self.keeper = keeper
        self._sink = sink
        self._loop = loop
        self._hands = hands
        self._giving: set[int] = set()
        self._subscribed: set[int] = set()
        self._told: str | None = None
        self._over = False

    def start(self) -> None:
        """Take what is to be had; from now on look again whenever it is due."""
        self.look()
        self._arm()

    def look(self) -> None:
        """Renew and look, if it is due or the store refused something."""
        if self._over:
            return
        if self._sink.conflict:
            self.keeper.drop()
        elif self._sink.refused:
            self.keeper.drop(self._sink.refused)
        self._sink.conflict = False
        self._sink.refused.clear()
        if self._loop.now() >= self.keeper.due:
            self._hands.wait()
            self._apply(self.keeper.step())
            self._tell()

    def end(self) -> None:
        """Give everything back; others take it at once."""
        self._over = True
        self._hands.wait()
        self.keeper.leave()

    def asks(self, shard: str) -> bool:
        """Whether the brokers are asked for a shard, which is a number of two digits."""
        return shard.isdecimal() and int(shard) in self._subscribed

    def judge(self, unfit: str | None) -> None:
        """Say whether any node believes this recorder; see `Keeper.unfit`."""
        self.keeper.judge(unfit)
        self.look()

    def status(self) -> dict[str, Any]:
        """For the status file."""
        return {"held": len(self.keeper.held), "of": self.keeper.role.parts, "owner": self.keeper.me.owner}

    def clock_fault(self, wall: int) -> str | None:
        """What is wrong when the clock, `wall` now, is far from the store's, by which other recorders go as well."""
        if self.keeper.store_clock is None:
            return None
        said, asked = self.keeper.store_clock
        off = wall / 1e9 - (said / 1e9 + self._loop.now() - asked)
        if abs(off) <= CLOCK_OFF:
            return None
        return (
            f"the clock of this host is {_about(abs(off))} {'ahead of' if off > 0 else 'behind'} that of the store's"
            " server: records count as arrived by it, and retention deletes by that, also what other recorders stored."
            " Set the clock"
        )

    # --- inside --------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._loop.call_at(self.keeper.due, self._wake)

    def _wake(self) -> None:
        if not self._over:
            self.look()
            self._arm()

    def _apply(self, change: Change) -> None:
        failpoints.hit(LOOKED)
        held = self.keeper.held
        self._sink.territory.until = self.keeper.until
        lost = self._sink.territory.claims.keys() - held.keys()
        if lost:
            _log.warning("%s are not held any more", _shards(lost))
            self._sink.lose(lost)
        self._subscribe_to(held.keys())
        if change.gained:
            self._sink.gain(change.gained)
            _log.info("%s gained, %s held", _shards(change.gained), _shards(held))
            self._hands.call()
        waiting = bool(self._giving)
        self._giving = set(change.give)
        if self._giving and not waiting:
            self._shed()

    def _shed(self) -> None:
        """Give up what is to be given up once its part of the credit is free for whoever takes it."""
        self._giving &= self.keeper.held.keys()
        if self._over or not self._giving:
            self._sink.shed(self._loop.now(), ())  # whatever was shed is lent again
            return
        if not self._sink.shed(self._loop.now(), self._giving):
            self._loop.call_at(self._loop.now() + SHED_EVERY, self._shed)
            return
        giving, self._giving = self._giving, set()
        self._hands.finish()
        self._sink.lose(giving)
        self._hands.wait()
        self.keeper.give(giving)
        self._subscribe_to(self.keeper.held.keys())
        _log.info("%s given up for another recorder, %s held", _shards(giving), _shards(self.keeper.held))

    def _subscribe_to(self, shards: Collection[int]) -> None:
        for shard in self._subscribed - set(shards):
            self._hands.unsubscribe(topics.up_subscription(self._sink.name, shard))
        for shard in set(shards) - self._subscribed:
            self._hands.subscribe(topics.up_subscription(self._sink.name, shard))
        self._subscribed = set(shards)

    def _tell(self) -> None:
        fault = self.keeper.fault
        if fault is not None and self._told is None:
            _log.error("no leases: %s", fault)
        self._told = fault


def _shards(parts: Collection[int]) -> str:
    return f"{len(parts)} shard{'' if len(parts) == 1 else 's'}"


def _about(seconds: float) -> str:
    unit = next(unit for unit in (86_400, 3_600, 60) if seconds >= 2 * unit)
    return format_duration(round(seconds / unit) * unit)
