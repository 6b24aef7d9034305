"""What a broker hands up by: the end that it binds, and in a home with keys a socket of its own for the parent that it dials.

Of whom it dialled a socket cannot say which message is whose, so the parent is known by having the socket to itself. Below, each topic
is asked for once, however many sockets it is asked for on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.brokers.outlet import Outlet
from tabard.brokers.ownsinks import OwnSinks
from tabard.brokers.topology import Plan


class Upward:
    """The sockets above of one broker.

    Args:
        plan: the broker's.
        made: where sockets come from.
        loop: calls back when peers say something.
        counters: the broker's.
        told: is handed `1` or `0` and a topic when the first peer asks for it, or the last does no more.
        joined: is handed a topic whenever a peer asks for it.
        is_own: whether a sink is the zone's own; None in a home without keys, which knows of no peer who it is.

    Raises TabardError when the address cannot be bound.
    """

    def __init__(
        self,
        plan: Plan,
        made: sockets.Sockets,
        loop: Loop,
        counters: Counter[str],
        told: Callable[[bytes], object],
        joined: Callable[[bytes], object],
        is_own: Callable[[str], bool] | None,
    ) -> None:
        self._told = told
        above = plan.dialled_by("up_out")
        made_of = partial(Outlet, made, loop, "up_out", counters=counters, told=self._tell, joined=joined)
        if is_own is None:
            self.bound = made_of(plan.up_out, above)
            self._all = [self.bound]
            return
        self.bound = made_of(plan.up_out, (), own=OwnSinks(plan.zone, is_own))
        self._all = [self.bound]
        if above:
            self._all.append(made_of("", above, own=OwnSinks(plan.zone, is_own)))

    def _tell(self, frame: bytes) -> None:
        """Hand on what is asked for by nobody else, and taken back when nobody asks for it any more."""
        asked = sum(outlet.is_asked(frame[1:]) for outlet in self._all)
        if asked == (1 if frame[:1] == b"\1" else 0):
            self._told(frame)

    def is_asked(self, *asked: bytes) -> bool:
        """Whether any peer asks for one of these topics."""
        return any(outlet.is_asked(*asked) for outlet in self._all)

    def redial(self, left: str, used: str) -> None:
        """Connect to another parent in the place of the one that is connected to."""
        self._all[-1].redial(left, used)

    def look(self) -> None:
        """Cut off the peers of a socket on which somebody may ask for more, or for less, than was answered."""
        for outlet in self._all:
            outlet.look()

    def send(self, frames: list[bytes]) -> None:
        """Send to whoever asked for the topic."""
        for outlet in self._all:
            if outlet.has_peers:
                outlet.send(frames)
