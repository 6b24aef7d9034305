"""Leases in memory, and members that work with them under clocks of their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random

from tabard.brokers.delivery.leases import NOBODY, RECORDER, Identity, Keeper, Lease, Member, View
from tabard.brokers.delivery.ports import Claim, StoreUnavailable

LENGTH = 6.0
FORGOTTEN = 3_600_000_000_000
"""Nanoseconds after its end for which a member is shown."""


class Table:
    """The rows of one role, as the stores of both engines treat them."""

    def __init__(self) -> None:
        self.now = 1_000_000_000
        """The store's clock, nanoseconds."""
        self.members: dict[str, Member] = {}
        self.leases: dict[int, Lease] = {}

    def covers(self, claim: Claim) -> bool:
        """Whether a commit under it would be taken."""
        return self.leases.get(claim.part) == Lease(*claim)


@dataclass
class Access:
    """One member's way to the table, which may be cut, or lose answers."""

    table: Table
    random: Random = field(default_factory=lambda: Random(1))
    away: bool = False
    loses: float = 0.0
    """Chance that something is done and its answer is lost."""

    def _answer(self) -> None:
        if self.random.random() < self.loses:
            raise StoreUnavailable("the answer was lost")

    def _ask(self) -> None:
        if self.away:
            raise StoreUnavailable("the store is away")

    def look(self, me: Identity, length: float, *, joining: bool, ended: Collection[Member] = ()) -> View:
        """See `LeaseStore`."""
        self._ask()
        table, span = self.table, round(length * 1e9)
        known = table.members.get(me.owner)
        if joining or (known is not None and known.life == me.life):
            beat = known.beat + 1 if known else 1
            table.members[me.owner] = Member(*me, beat, span, table.now + span)
        for member in ended:
            if table.members.get(member.owner) == member and member.expires < table.now - FORGOTTEN:
                del table.members[member.owner]
        self._answer()
        return View(table.now, tuple(table.members.values()), dict(table.leases))

    def take(self, me: Identity, wanted: Sequence[Lease]) -> list[Claim]:
        """See `LeaseStore`."""
        self._ask()
        claims = []
        for lease in wanted:
            if self.table.leases.get(lease.part, Lease(lease.part, NOBODY, 0)) == lease:
                self.table.leases[lease.part] = Lease(lease.part, me.owner, lease.fence + 1)
                claims.append(Claim(lease.part, me.owner, lease.fence + 1))
        self._answer()
        return claims

    def give(self, claims: Collection[Claim]) -> None:
        """See `LeaseStore`."""
        self._ask()
        for claim in claims:
            if self.table.covers(claim):
                self.table.leases[claim.part] = Lease(claim.part, NOBODY, claim.fence)
        self._answer()

    def leave(self, me: Identity) -> None:
        """See `LeaseStore`."""
        self._ask()
        known = self.table.members.get(me.owner)
        if known is not None and known.life == me.life:
            del self.table.members[me.owner]
        self._answer()


class Worker:
    """A member: its keeper, and a clock that began at another moment than those of others."""

    def __init__(self, table: Table, name: str, offset: float = 0.0, life: int = 1) -> None:
        self.table = table
        self.name = name
        self.offset = offset
        self.life = life
        self.time = 0.0
        """What everybody's clock counts from; set by whoever lets time pass."""
        self.access = Access(table, Random(f"{name} {life}"))
        self.keeper = self._born()

    def _born(self) -> Keeper:
        me = Identity(self.name, f"{self.name} {self.life}", f"{self.name}:/srv")
        return Keeper(me, RECORDER, LENGTH, self.access, lambda: self.time + self.offset)

    def restart(self) -> None:
        """Another process in the same home."""
        self.life += 1
        self.keeper = self._born()

    @property
    def held(self) -> dict[int, Claim]:
        """What it believes to hold, by its own clock."""
        return self.keeper.held if self.time + self.offset < self.keeper.until else {}

    def work(self, time: float) -> None:
        """Let it do what is due at that time; what it is to give up it gives up at once."""
        self.time = time
        if time + self.offset >= self.keeper.due:
            self.keeper.give(self.keeper.step().give)
