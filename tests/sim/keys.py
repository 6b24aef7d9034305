"""Keys that change in a signed world: replaced in peace, or revoked because somebody else has them.

The node hears of it at one time, each recorder at another, before or after, running or not. What a key signed before it was
replaced in peace has to be stored like anything else. What a revoked one signed is stored as far as a recorder took it
before it knew; the rest has to be in quarantine, and said to be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.rosters import read_roster
from tabard.brokers.trust.seal import KeySeal
from tabard.brokers.wire.batch import is_epoch_of
from tabard.brokers.wire.credentials import Chain, decode_credentials
from tests.sim.clock import Time
from tests.trustees import Trustees

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.sink import SimRecorder

LATEST_ROSTER = 4.0
"""Seconds until a recorder's home has a roster."""
LATEST_KEY = 8.0
"""Seconds until a node's home has its new key."""


class Keys:
    """Of all nodes of one world; without trustees nothing happens."""

    def __init__(
        self,
        trustees: Trustees | None,
        time: Time,
        nodes: Sequence[SimNode],
        recorders: Sequence[SimRecorder],
        seed: int,
    ) -> None:
        self._trustees = trustees
        self._time = time
        self._nodes = nodes
        self._recorders = recorders
        self._rng = Random(f"keys {seed}")  # of their own: the rest of the world stays as it was drawn
        self.history: dict[str, list[bytes]] = {}
        """By node the ids of its keys, in order."""
        self.revoked: dict[bytes, str] = {}
        """By id of a key that was revoked, its node."""
        self._heard: dict[tuple[int, bytes], float] = {}
        """When a recorder, by its place, took up that a key was revoked."""
        self.taken: dict[bytes, float] = {}
        """When a node took up a key."""
        self.stolen: dict[bytes, tuple[str, PrivateKey, bytes]] = {}
        """By id of a key that was revoked, its node, the key, and the credentials that it had."""
        self.done: list[str] = []
        self._members: list[bytes] = []
        self._pending: dict[str, int] = {}

    def schedule(self, seconds: float, rekeys: int | None, revoking: bool | None = None) -> None:
        """Draw when which node gets another key."""
        if self._trustees is None:
            return
        for node in self._nodes:
            for _ in range(self._rng.choice((0, 1, 1, 2)) if rekeys is None else rekeys):
                revoke = self._rng.random() < 0.6 if revoking is None else revoking
                self._time.at(self._rng.uniform(1.0, seconds), self.change, node, revoke)

    def change(self, node: SimNode, revoke: bool) -> None:
        """A node is to have another key, and the one it has is revoked or not."""
        if node.rekeying is not None or self._pending.get(node.key.node) or self._trustees is None:
            return
        seal = node.seal
        assert isinstance(seal, KeySeal)
        old: PrivateKey = seal.pen._key
        before = decode_credentials(seal.credentials)
        new = self._trustees.key()
        after = self._trustees.chain("node", node.key.node, node.key.zone, new, tuple(node.sinks))
        history = self.history.setdefault(node.key.node, [old.public.key_id])
        history.append(new.public.key_id)
        self.done.append(f"{self._time.now:.2f} {node.key.node} {'revoked' if revoke else 'rotated'}")
        self._members += [each for each in (before[0][-1], after[-1]) if each not in self._members]
        roster = b""
        if revoke:
            self.revoked[old.public.key_id] = node.key.node
            self.stolen[old.public.key_id] = (node.key.node, old, seal.credentials)
            roster = self._trustees.revoke(old.public.key_id, node.key.zone, tuple(self._members))
            for place in range(len(self._recorders)):
                at = self._time.now + self._rng.uniform(0.0, LATEST_ROSTER)
                self._time.at(at, self._tell, place, roster, old.public.key_id)
        self._pending[node.key.node] = 1
        at = self._time.now + self._rng.uniform(0.0, LATEST_KEY)
        self._time.at(at, self._give, node, (old, new), (after, *(() if revoke else before)), roster)

    def known(self, sink: str, key_id: bytes) -> float | None:
        """When the last recorder of a sink took up that a key was revoked, or was lost for good; None: one has still to."""
        times = [
            self._heard.get((place, key_id), recorder.lost_at)
            for place, recorder in enumerate(self._recorders)
            if recorder.name == sink
        ]
        known = [at for at in times if at is not None]
        return max(known) if len(known) == len(times) else None

    def _tell(self, place: int, roster: bytes, key_id: bytes) -> None:
        """The home of a recorder gets a roster; whoever runs there looks within a second."""
        recorder = self._recorders[place]

        def take() -> None:
            seal = recorder.seal
            assert isinstance(seal, KeySeal)
            self._take(seal, roster)
            seal.forget()
            self._heard.setdefault((place, key_id), self._time.now)

        recorder.rosters.append(take)

    def _give(
        self, node: SimNode, keys: tuple[PrivateKey, PrivateKey], chains: tuple[Chain, ...], roster: bytes
    ) -> None:
        """The home of a node gets its key."""
        old, new = keys

        def take() -> None:
            seal = node.seal
            assert isinstance(seal, KeySeal)
            if roster:
                self._take(seal, roster)
            seal.renew(seal._directory, new, chains[:4], old)
            self.taken[new.public.key_id] = self._time.now
            self._pending[node.key.node] = 0

        node.rekeying = take

    def _take(self, seal: KeySeal, roster: bytes) -> None:
        """A home gets the rosters of zones above with it, which tell of the zone's authority."""
        assert self._trustees is not None
        chain = self._trustees.chains[read_roster(roster).roster.zone]
        if chain:
            seal._directory.take(chain, self._now())
        seal._directory.take_roster(roster, self._now())

    def _now(self) -> int:
        assert self._trustees is not None
        return self._trustees.now

    def heal(self) -> None:
        """Whatever is on its way arrives: let that time pass."""
        sinks = {recorder.name for recorder in self._recorders}
        if any(self._pending.values()) or any(
            self.known(sink, key_id) is None for sink in sinks for key_id in self.revoked
        ):
            self._time.run(self._time.now + LATEST_KEY)

    def revoked_key(self, epoch: bytes) -> bytes | None:
        """The revoked key that opened an epoch."""
        return next((key_id for key_id in self.revoked if is_epoch_of(epoch, key_id)), None)
