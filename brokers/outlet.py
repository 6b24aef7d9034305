"""One of a broker's sending sockets: bound or dialled, with what its peers subscribe to under control.

Who asks is known by the key of the connection, so that a node is not heard about what is another's. A peer that this
side dialled is told apart by having a socket of its own.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import zmq

from tabard.brokers import rights, sockets
from tabard.brokers.loop import Loop
from tabard.brokers.ownsinks import OwnSinks
from tabard.brokers.subscriptions import Step, Subscriptions
from tabard.brokers.trust.certificates import Certificate
from tabard.errors import TabardError

BURST: Final = 256
"""Subscriptions looked at in a turn."""
RETRY: Final = 0.05
"""Seconds until a socket is bound again whose address is not free yet."""

_log = logging.getLogger(__name__)


class Outlet:
    """Sends to whoever subscribed.

    Args:
        made: where sockets come from.
        loop: calls back when peers say something.
        lane: its name in the plan, for the counters.
        endpoint: where it listens; "" for a link to a broker that is dialled and nothing else.
        dials: what it connects to beside that.
        counters: the broker's.
        told: is handed `1` or `0` and a topic when the first peer asks for it, or the last does no more.
        joined: is handed a topic whenever a peer asks for it, which it does each time it connects.
        own: says what does not leave the zone; None where all may.

    Raises TabardError when the address cannot be bound.
    """

    def __init__(
        self,
        made: sockets.Sockets,
        loop: Loop,
        lane: str,
        endpoint: str,
        dials: Sequence[str],
        counters: Counter[str],
        told: Callable[[bytes], object] = lambda _frame: None,
        joined: Callable[[bytes], object] = lambda _topic: None,
        own: OwnSinks | None = None,
    ) -> None:
        self._made = made
        self._loop = loop
        self._lane = lane
        self._endpoint = endpoint
        self._dials = list(dials)
        self._counters = counters
        self._told = told
        self._joined = joined
        self._own = own
        self._may_ask = rights.may_ask_up if lane.startswith("up") else rights.may_ask_down
        self._asked = Subscriptions(up=lane.startswith("up"))
        self.socket = self._open()

    def _open(self) -> zmq.Socket[bytes]:
        sock = self._made.forward_out()
        try:
            if self._endpoint:
                self._made.bind(sock, self._endpoint, self._lane)
        except TabardError:
            self._made.close_one(sock)
            raise
        for endpoint in self._dials:
            self._made.connect(sock, endpoint)
        self._loop.add_socket(sock, self._hear)
        return sock

    def _hear(self) -> None:
        for _ in range(BURST):
            heard = sockets.receive_known(self.socket)
            if heard is None:
                return
            frames, user = heard
            step = (
                self._asked.hear(frames[0], may=self._may(frames[0][1:], user))
                if len(frames) == 1
                else Step.REFUSE
            )
            self._take(step, frames[0])
            if self._asked.too_many or (self._own is not None and self._own.has_too_many()):
                self._cut_off_crowd()
                return

    def _may(self, topic: bytes, user: str | None) -> bool | None:
        """Whether who said it may ask for the topic; None: by libzmq for somebody who left, or by nobody with a key."""
        peer = self._made.peer(user) if user is not None else None
        if user is not None:
            return peer is not None and self._is_for(peer, topic)
        if not self._endpoint:
            peer = self._made.dialled(self.socket)
        return None if peer is None else self._is_for(peer, topic)

    def _is_for(self, peer: Certificate, topic: bytes) -> bool:
        return self._may_ask(peer, topic) and not (self._own is not None and self._own.bars(peer, topic))

    def _take(self, step: Step, frame: bytes) -> None:
        topic = frame[1:]
        if step in {Step.FIRST, Step.MORE}:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic)
            self._joined(topic)
        elif step in {Step.LESS, Step.LAST}:
            self.socket.setsockopt(zmq.UNSUBSCRIBE, topic)
        elif step is Step.REFUSE:
            self._counters[f"{self._lane} dropped: subscription to no topic there is"] += 1
        elif step is Step.BAR:
            self._counters[f"{self._lane} refused: subscription to another's topic"] += 1
        if step in {Step.FIRST, Step.LAST}:
            self._told(frame)
            self._counters[f"{self._lane} topics"] += 1 if step is Step.FIRST else -1

    def look(self) -> None:
        """Have all peers ask again when one of them may ask for more now, or for less."""
        if self._own is not None and not self.socket.closed and self._own.has_changed():
            _log.info(
                "%s: a sink is this zone's own now, or is not any more: all peers there are to ask again",
                self._endpoint or ", ".join(self._dials),
            )
            self._counters[f"{self._lane} opened anew: sinks have other recorders"] += 1
            self._cut_off()

    def _cut_off_crowd(self) -> None:
        _log.warning(
            "a peer on %s asked for %d topics, and %d times for none there is: all peers there are cut off",
            self._endpoint or ", ".join(self._dials),
            len(self._asked.topics),
            self._asked.refused,
        )
        self._counters[f"{self._lane} dropped: all peers, too many subscriptions"] += 1
        self._cut_off()

    def _cut_off(self) -> None:
        """Close the socket with all that libzmq keeps for it, and listen anew."""
        asked, self._asked = self._asked, Subscriptions(up=self._lane.startswith("up"))
        if self._own is not None:
            self._own.forget()
        for topic in asked.topics:
            self._told(b"\0" + topic)
        self._counters[f"{self._lane} topics"] -= len(asked.topics)
        self._loop.remove_socket(self.socket)
        self._made.close_one(self.socket)
        self._reopen()

    def _reopen(self) -> None:
        """Listen anew; the closed socket's address takes a moment to become free."""
        try:
            self.socket = self._open()
        except TabardError:
            self._loop.call_at(self._loop.now() + RETRY, self._reopen)

    def is_asked(self, *asked: bytes) -> bool:
        """Whether any peer asks for one of these topics."""
        return any(topic in self._asked.topics for topic in asked)

    @property
    def has_peers(self) -> bool:
        """Whether any peer asks for anything."""
        return bool(self._asked.topics)

    def redial(self, left: str, used: str) -> None:
        """Connect to another peer in the place of one that is connected to."""
        self._dials = [used if endpoint == left else endpoint for endpoint in self._dials]
        if not self.socket.closed:
            self._made.disconnect(self.socket, left)
            self._made.connect(self.socket, used)

    def send(self, frames: list[bytes]) -> None:
        """Send to whoever asked for the topic; while it is closed, to nobody, as if none of them were there."""
        if not self.socket.closed:
            sockets.send(self.socket, frames)
