"""What a link lost: the sends that one of its ends numbered, less the receives that the other one counted.

ZeroMQ tells of no drop. So each end counts what it sends, and says so by a tally that follows its messages through the
same connection: once the tally is there, what it counts is there or lost. Nothing travels with a message for this; that it
came through a link shows by the last of its hops. The rules, each of which is there because without it something would look
like a loss that is none, or hide one:

* A connection that came up anew begins a new session, and only counts of one session are compared. What was on its way when
  a connection went is in no session: nobody knows it here. The sink finds it by the numbers of the records.
* A tally counts once a later one of the same session followed it: a sender that dials keeps its queue, and old tallies in it,
  while the connection is made anew.
* A session is compared from a later tally than its first one on, by the clock of the receiver: an older connection may still
  hold messages, and a subscription may not have been heard yet. So it has to be seen first that something comes.
* Tallies of the same start that are not newer are out of an older connection, and are ignored.
* Upwards the count is by sink and shard, since somebody may ask the sender for others than the receiver of the link did.
  Downwards it is by broker below, by whose zone the sender sends.
* More than was sent came when both ends dialled each other: then each message comes twice, and that is told, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tabard.brokers.wire.tally import MOST_SENT, Sent, Tally

SETTLE: Final = 10.0
"""Seconds after which a session is compared although nothing came in it: by then that is a loss."""


class Sending:
    """What is sent on one lane, by key."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._sessions: dict[str, int] = {}
        self._common = 0
        self._last = 0
        self._turn = 0

    def joined(self, key: str | None = None) -> None:
        """A peer connected anew: the one of `key`, or one that is sent something of all keys."""
        self._last += 1
        if key is None:
            self._common = self._last
        else:
            self._sessions[key] = self._last

    def forget(self, key: str) -> None:
        """Nobody is sent this any more; whoever comes back under this key has joined anew."""
        self.counts.pop(key, None)
        self._sessions.pop(key, None)

    def rows(self, most: int = MOST_SENT) -> tuple[Sent, ...]:
        """For a tally; those for which there is no room have their turn in the next ones."""
        keys = list(self.counts)
        if len(keys) > most:
            begin = self._turn % len(keys)
            keys = [*keys[begin:], *keys[:begin]][:most]
            self._turn = begin + most
        return tuple(
            Sent(key, max(self._common, self._sessions.get(key, 0)), self.counts[key]) for key in keys
        )


@dataclass
class _Row:
    """How far one key is compared."""

    session: int
    since: float
    """When the session was first heard of, by the receiver's clock."""
    sent: int
    received: int
    begun: bool = False
    """Whether it is compared."""
    newest: tuple[float, int, int] | None = None
    """When the newest tally came, with both numbers: to be counted when another one follows it."""


@dataclass
class Compared:
    """One lane of a link as its receiver knows it, since it was first compared."""

    sent: int = 0
    received: int = 0
    begun: bool = False
    """Whether anything was compared yet."""
    lost: int = 0
    """The most that was missing at a tally."""
    doubled: int = 0
    """The most that was too many."""
    boot: bytes = b""
    """The start of the sender that was heard last."""
    _number: int = 0
    _rows: dict[str, _Row] = field(default_factory=dict)

    def take(
        self,
        now: float,
        beat: tuple[int, float],
        tally: Tally,
        received: Callable[[str], int | None],
    ) -> tuple[int, int]:
        """How many more are missing, and too many, than at any tally before.

        Args:
            now: monotonic seconds of the receiver.
            beat: number of the heartbeat that the tally came with, and seconds between two of them.
            tally: what the other end sent.
            received: how many messages under a key came from it so far; None: none of that key is asked for.
        """
        number, interval = beat
        if tally.boot != self.boot:
            self._rows.clear()
        elif number <= self._number:
            return 0, 0
        self.boot, self._number = tally.boot, number
        for row in tally.sent:
            came = received(row.key)
            if came is None:
                self._rows.pop(row.key, None)
            else:
                self._compare(now, interval, row, came)
        missing = self.sent - self.received
        lost, doubled = max(missing - self.lost, 0), max(-missing - self.doubled, 0)
        self.lost += lost
        self.doubled += doubled
        return lost, doubled

    def _compare(self, now: float, interval: float, row: Sent, came: int) -> None:
        held = self._rows.get(row.key)
        if held is None or held.session != row.session or row.number < held.sent or came < held.received:
            self._rows[row.key] = _Row(row.session, now, row.number, came)
            return
        if held.newest is not None and now - held.newest[0] < interval / 2:
            return
        if held.newest is not None:
            _, sent, received = held.newest
            self.sent += sent - held.sent
            self.received += received - held.received
            held.sent, held.received = sent, received
        if held.begun:
            held.newest = (now, row.number, came)
        elif now - held.since >= SETTLE or (now - held.since >= interval / 2 and came > held.received):
            held.begun = self.begun = True
            held.sent, held.received = row.number, came

    def drop(self, key: str) -> None:
        """Begin anew with a key, or with all that begin with it: it is not asked for any more."""
        self._rows = {name: row for name, row in self._rows.items() if not name.startswith(key)}
