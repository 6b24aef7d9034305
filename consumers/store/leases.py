"""Leases as the store keeps them, on every engine.

The part with the control stream says who holds what. The other part keeps a guard for each lease, owner and fence
again, because a commit can check only what lies in its own transaction. Whoever takes a lease sets it there first and
raises the guards second; it holds the lease when all are raised. What a crash leaves between both is taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from tabard import failpoints
from tabard.brokers.delivery.leases import NOBODY, Identity, Lease, Member, Role, View
from tabard.brokers.delivery.ports import Claim, CursorConflict, LeaseLost
from tabard.consumers.store.writing import Writer

REMEMBERED: Final = 3_600_000_000_000
"""Nanoseconds for which a member that ended without a word is shown."""
_SECOND: Final = 1_000_000_000
TAKEN: Final = failpoints.declare("store.lease_taken", "took leases and has not raised their guards")


class Leasing(Protocol):
    """One file or schema, as leases need it."""

    def writing(self, *, changes: bool = False) -> AbstractContextManager[Writer]:
        """What writes it; see `parts.Part`."""

    def lightly(self) -> AbstractContextManager[Writer]:
        """A transaction of its own that a power cut may take back. Raises StoreUnavailable."""


class StoreLeases:
    """The leases of one role; see `brokers.delivery.leases.LeaseStore`."""

    def __init__(
        self, role: Role, authority: Leasing, guards: Sequence[Leasing], now: Callable[[Writer], int]
    ) -> None:
        self._role = role.name
        self._authority = authority
        self._guards = list(guards)
        self._now = now

    def look(self, me: Identity, length: float, *, joining: bool, ended: Collection[Member] = ()) -> View:
        """Renew, and read everything."""
        with self._authority.lightly() as writer:
            texts = writer.leases
            now = self._now(writer)
            span = round(length * _SECOND)
            if joining:
                writer.run(texts.join, (self._role, me.owner, me.life, me.name, 1, span, now + span))
            else:
                writer.run(texts.renew, (me.name, span, now + span, self._role, me.owner, me.life))
            for member in ended:
                if member.expires < now - REMEMBERED:
                    writer.run(texts.forget, (self._role, member.owner, member.life, member.beat))
            members = [Member(*row) for row in writer.all(texts.members, (self._role,))]
            return View(now, members, self._leases(writer))

    def take(self, me: Identity, wanted: Sequence[Lease]) -> list[Claim]:
        """Lease first, guards second."""
        parts = [lease.part for lease in wanted]
        highest: dict[int, int] = {}
        for guard in self._guards:
            with guard.writing() as writer:
                for lease in self._leases(writer).values():
                    highest[lease.part] = max(lease.fence, highest.get(lease.part, 0))
        taken = self._take(me, wanted, highest)
        with self._authority.writing():
            failpoints.hit(TAKEN)
        for guard in self._guards:
            with guard.writing(changes=True) as writer:
                writer.begin()
                for part in writer.lock_leases(self._role, parts, claiming=True).skipped:
                    taken.pop(part, None)
                done = {
                    part
                    for part, claim in taken.items()
                    if writer.run(writer.leases.guard, (self._role, part, me.owner, claim.fence))
                }
                writer.commit()
            taken = {part: claim for part, claim in taken.items() if part in done}
        return list(taken.values())

    def _take(self, me: Identity, wanted: Sequence[Lease], highest: dict[int, int]) -> dict[int, Claim]:
        taken = {}
        with self._authority.writing(changes=True) as writer:
            writer.begin()
            busy = writer.lock_leases(self._role, [lease.part for lease in wanted], claiming=True).skipped
            for lease in wanted:
                fence = max(lease.fence, highest.get(lease.part, 0)) + 1
                values = (self._role, lease.part, me.owner, fence, lease.owner, lease.fence)
                if lease.part not in busy and writer.run(writer.leases.take, values):
                    taken[lease.part] = Claim(lease.part, me.owner, fence)
            writer.commit()
        return taken

    def give(self, claims: Collection[Claim]) -> None:
        """The guards stay: nobody commits under them any more."""
        if not claims:
            return
        with self._authority.lightly() as writer:
            for part, owner, fence in sorted(claims):
                writer.run(writer.leases.give, (NOBODY, self._role, part, owner, fence))

    def leave(self, me: Identity) -> None:
        """Nobody waits for the end of a lease then."""
        with self._authority.lightly() as writer:
            writer.run(writer.leases.leave, (self._role, me.owner, me.life))

    def _leases(self, writer: Writer) -> dict[int, Lease]:
        rows = writer.all(writer.leases.leases, (self._role,))
        return {int(part): Lease(int(part), owner, int(fence)) for part, owner, fence in rows}


def hold(writer: Writer, role: str, claims: Collection[Claim]) -> None:
    """See, within a transaction, that its claims still count, and that they do until its end.

    Raises:
        LeaseLost: some do not: another has taken them, or they were given back.
        CursorConflict: the store has lower fences than were taken from it: it is an older state of itself.
    """
    found = writer.lock_leases(role, [claim.part for claim in claims], claiming=False).found
    lost = []
    for claim in claims:
        lease = found.get(claim.part)
        if lease is None or lease.fence < claim.fence:
            raise CursorConflict(
                f"the fence of shard {claim.part} is {lease.fence if lease else 'not there'},"
                f" and this recorder took it as {claim.fence}: the store is an older state of itself"
            )
        if (lease.owner, lease.fence) != (claim.owner, claim.fence):
            lost.append(claim.part)
    if lost:
        raise LeaseLost(lost)
