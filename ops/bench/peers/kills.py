"""The same kills: every peer at a pace, all at once, struck at the same moments by the same plan; then they are counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, NamedTuple

from tabard.errors import TabardError
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.peers.peer import Ground, Peer
from tabard.ops.bench.peers.plan import Blow, Plan, Strike
from tabard.ops.bench.peers.processes import Server
from tabard.ops.bench.peers.serving import Serving
from tabard.ops.bench.peers.speed import PREPARING, SENDER
from tabard.ops.bench.peers.tally import Tally, tally

_LOOK: Final = 0.02
QUIET: Final = 10.0
"""Seconds without a new row, with everything well again, after which what is not there is lost."""
_MOST: Final = 600.0
"""Seconds that a peer has in all to come to rest."""


class Suffered(NamedTuple):
    """What the plan did to one peer."""

    found: Tally
    failed: int
    """Records of which the application was told that they failed."""
    told: int
    """Records that the peer says itself it lost."""
    last: int
    """The highest number that is stored: whether it went on after the last strike."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        kept = self.found._asdict()
        return {**kept, "application_told": self.failed, "peer_told": self.told}


def hit(peers: Iterable[Peer], strike: Strike) -> None:
    """Begin a strike."""
    for peer in peers:
        for victim in peer.victims(strike.part):
            (victim.kill if strike.blow is Blow.KILL else victim.hang)()


def mend(peers: Iterable[Peer], strike: Strike, say: Callable[[str], None]) -> None:
    """End a strike. A receiver that does not start again stays away, and loses all that comes.

    Raises TabardError when a database server does not.
    """
    victims = [victim for peer in peers for victim in peer.victims(strike.part)]
    if strike.blow is Blow.HANG:
        for victim in victims:
            victim.resume()
        return
    if strike.blow is Blow.HANG_AND_KILL:
        for victim in victims:
            victim.kill()
    # A database server takes its time, for which nobody else is to be kept down.
    servers = [victim for victim in victims if isinstance(victim, Server)]
    for victim in victims:
        if victim not in servers:
            try:
                victim.start()
            except TabardError as error:
                say(f"after the kill: {error}")
    with ThreadPoolExecutor(max(len(servers), 1)) as pool:
        list(pool.map(Server.start, servers))


def torment(
    made: Mapping[str, type[Peer]],
    place: Path,
    plan: Plan,
    rate: int,
    say: Callable[[str], None],
    quiet: float = QUIET,
) -> dict[str, Suffered]:
    """Run all peers at once through the plan; `quiet` as above. One that does not start is not in the result.

    Raises TabardError when a database server does not start again.
    """
    with ExitStack() as stack:
        serving = Serving()
        stack.callback(serving.close)
        peers: dict[str, Peer] = {}
        senders: dict[str, Helper] = {}
        for name, kind in made.items():
            peers[name] = peer = kind(Ground(Path(mkdtemp(dir=place)), serving.own, relayed=True))
            stack.callback(peer.stop)
            try:
                peer.start()
            except TabardError as error:
                say(f"{name}: {error}")
                del peers[name]
                continue
            senders[name] = stack.enter_context(Helper(SENDER))
        for name, peer in peers.items():
            target = peer.target()
            senders[name].ask(PREPARING, do="pace", form=target.form, where=target.where, rate=rate)
        _carry_out(plan, list(peers.values()), say)
        say("all is well again; waiting for what is still on its way")
        for sender in senders.values():
            sender.tell(do="stop")
        # Answers come when the application has handed over everything, which may take as long as its tool is busy.
        said = {name: sender.hear(PREPARING) for name, sender in senders.items()}
        for name, peer in peers.items():
            peer.expected = said[name]["given"]
        _settle(list(peers.values()), quiet)
        return {name: _counted(peer, int(said[name]["failed"])) for name, peer in peers.items()}


def _counted(peer: Peer, failed: int) -> Suffered:
    numbers = peer.numbers()
    return Suffered(tally(peer.expected, numbers), failed, peer.told(), max(numbers, default=0))


def _carry_out(plan: Plan, peers: Sequence[Peer], say: Callable[[str], None]) -> None:
    for strike in plan.strikes:
        _rest(peers, strike.after)
        say(f"{strike.part}: {strike.blow} for {strike.lasting:g} s")
        hit(peers, strike)
        _rest(peers, strike.lasting)
        mend(peers, strike, say)
    _rest(peers, plan.peace)


def _rest(peers: Sequence[Peer], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _tend(peers)


def _settle(peers: Sequence[Peer], quiet: float) -> None:
    """Wait until each has everything, or nothing new has come for a while."""
    stored = [0] * len(peers)
    began = changed = time.monotonic()
    while any(now < peer.expected for peer, now in zip(peers, stored, strict=True)):
        if time.monotonic() > min(changed + quiet, began + _MOST):
            return
        _tend(peers)
        now = [max(peer.stored(), before) for peer, before in zip(peers, stored, strict=True)]
        if now != stored:
            stored, changed = now, time.monotonic()


def _tend(peers: Sequence[Peer]) -> None:
    for peer in peers:
        peer.tend()
    time.sleep(_LOOK)
