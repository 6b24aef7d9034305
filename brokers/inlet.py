"""One of a broker's receiving sockets: bound or dialled, and who is at the other end of what came.

Bound with keys it knows that of every message. A child that is dialled has a socket of its own: libzmq tells who a peer is only
where that peer did the dialling.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import zmq

from tabard.brokers import sockets
from tabard.brokers.trust.certificates import Certificate

OUT: Final = "a key that has no say any more"


class Inlet:
    """Receives from nodes, brokers or recorders.

    Args:
        made: where sockets come from.
        lane: ``up`` or ``down``.
        endpoint: where it listens, as end ``LANE_in``; "" for a link to a child that is dialled and nothing else.
        dials: what it connects to.
        counters: the broker's.

    Raises TabardError when the address cannot be bound.
    """

    def __init__(
        self, made: sockets.Sockets, lane: str, endpoint: str, dials: list[str], counters: Counter[str]
    ) -> None:
        self._made = made
        self._lane = lane
        self._endpoint = endpoint
        self._counters = counters
        self.socket: zmq.Socket[bytes] = made.forward_in()
        if endpoint:
            made.bind(self.socket, endpoint, f"{lane}_in")
        for each in dials:
            made.connect(self.socket, each)

    def receive(self) -> tuple[list[bytes], Certificate | None] | None:
        """The next message and whose it is; None for the latter where that is this user's own role or a parent.

        None when there is no message now. What comes of a key that has no say any more is dropped and counted.
        """
        if not self._endpoint:
            frames = sockets.receive(self.socket)
            return None if frames is None else (frames, self._made.dialled(self.socket))
        if not self._endpoint.startswith("tcp://"):
            frames = sockets.receive(self.socket)
            return None if frames is None else (frames, None)
        while True:
            came = sockets.receive_known(self.socket)
            if came is None:
                return None
            frames, user = came
            if user is None:
                return frames, None
            peer = self._made.peer(user)
            if peer is not None:
                return frames, peer
            self._counters[f"{self._lane} refused: {OUT}"] += 1
