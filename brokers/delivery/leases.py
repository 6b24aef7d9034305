"""Leases: which of several workers of one role does which part of its work. Decisions only; the store keeps the rows.

A recorder's parts are the shards of its sink. What can go wrong, and what stands against it:

* A worker dies, or its host does: its membership is not renewed, and after one lease the others take what it held.
* It is frozen, in a transaction or out of one, and wakes up later believing that it holds what it held: every commit
  names its claims, and the store refuses one whose fence is not the row's. It also lets go by its own clock, counted
  from before the renewal was asked for.
* Clocks differ or jump. Nobody compares clocks of two hosts: a member is alive while its beat is seen to change,
  by the monotonic clock of whoever looks. A member seen for the first time that has ended by the store's clock counts for nobody, so
  that nothing is shared with the long dead; but what it holds is left to it until its beat was seen to stand still for its
  lease, since that clock may have jumped while it works. For the same reason its row is removed only by one who saw that.
* An answer is lost: the next look says what was done. A take that was done half is done again, one fence higher.
* A worker is started again in its home: the owner is the same, its life is another one. It takes what is its own at
  once; an earlier life that still runs somewhere (a copied home) is told apart, and holds nothing any more.
* Two take the same part: the row is compared and set; one of them finds that it was too late.
* One of them cannot do its work whatever it holds (nodes that sign do not believe a recorder without keys): it is *unfit*. As long as
  another member is alive it gives everything up and is no member, so that the others share as if it were not there. Where it
  is the only one it goes on: nobody else would do better.
* The store was restored to an older state: fences are lower than those in memory, and everything is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from tabard.brokers.delivery.ports import Claim, StoreUnavailable
from tabard.brokers.wire.topics import SHARDS

NOBODY: Final = ""
"""The owner of a part that was given back."""
RENEWALS: Final = 3
"""Renewals in the time of one lease."""
LOOKS: Final = 24
"""Looks in the time of one lease while some parts are to be had."""


class Role(NamedTuple):
    """A kind of work that several processes share."""

    name: str
    parts: int


RECORDER: Final = Role("recorder", SHARDS)


class Identity(NamedTuple):
    """Who takes leases."""

    owner: str
    """The same in every life of a home."""
    life: str
    """Of this process alone."""
    name: str
    """For people: on which host, in which home."""


class Lease(NamedTuple):
    """A row of the store; there is none of a part that nobody has ever held."""

    part: int
    owner: str
    fence: int


class Member(NamedTuple):
    """A worker as the store knows it."""

    owner: str
    life: str
    name: str
    beat: int
    """One higher with each renewal."""
    length: int
    """Nanoseconds that its leases last beyond a renewal."""
    expires: int
    """By the store's clock, nanoseconds since 1970."""


class View(NamedTuple):
    """What the store said."""

    now: int
    """The store's clock, nanoseconds since 1970."""
    members: Sequence[Member]
    leases: Mapping[int, Lease]

    def member(self, owner: str) -> Member | None:
        """The member of that identity."""
        return next((member for member in self.members if member.owner == owner), None)


class LeaseStore(Protocol):
    """Where leases are kept, for one role. Every method raises StoreUnavailable."""

    def look(self, me: Identity, length: float, *, joining: bool, ended: Collection[Member] = ()) -> View:
        """Renew the membership for `length` seconds and say what there is.

        One that `joining` takes the place of earlier lives of its owner. One that does not, and whose life is not
        the stored one, changes nothing. Of those `ended`, whose leases are over, the rows of the long dead are removed.
        """
        ...

    def take(self, me: Identity, wanted: Sequence[Lease]) -> list[Claim]:
        """Take those that still are as `wanted` says, each with a higher fence than any commit ever showed."""
        ...

    def give(self, claims: Collection[Claim]) -> None:
        """Let go of leases; those that are somebody else's by now stay as they are."""
        ...

    def leave(self, me: Identity) -> None:
        """End the membership."""
        ...


class Plan(NamedTuple):
    """What one member does next."""

    give: tuple[int, ...]
    take: tuple[int, ...]


def plan(
    me: str, role: Role, alive: Collection[str], leases: Mapping[int, Lease], unsure: Collection[str] = ()
) -> Plan:
    """What `me`, one of `alive`, gives up and takes, so that in the end all have as many parts, give or take one.

    Nothing is shared with those who are `unsure`, and nothing is taken from them.
    Everybody who sees the same comes to plans that fit each other: who has most keeps most, so that as little as can
    be moves. Of parts that are free each member prefers others, so that two seldom reach for the same.
    """
    held: dict[str, list[int]] = {owner: [] for owner in alive}
    free: list[int] = []
    for part in range(role.parts):
        lease = leases.get(part)
        owner = lease.owner if lease else NOBODY
        if owner not in unsure:
            held.get(owner, free).append(part)
    order = sorted(held, key=lambda owner: (-len(held[owner]), owner))
    least, more = divmod(role.parts, len(order))
    quota = least + (order.index(me) < more)
    mine = held[me]
    give = sorted(mine, key=lambda part: _liking(me, part))[: max(0, len(mine) - quota)]
    take = sorted(free, key=lambda part: _liking(me, part), reverse=True)[: max(0, quota - len(mine))]
    return Plan(tuple(sorted(give)), tuple(sorted(take)))


def _liking(owner: str, part: int) -> tuple[int, int]:
    return crc32(f"{part} {owner}".encode()), part


class _Seen(NamedTuple):
    life: str
    beat: int
    at: float
    """When it was seen for the first time."""
    met: bool
    """Whether it is known to be at work: it was seen to renew, or its lease lasts by the store's clock."""


class Watch:
    """Who is alive, by what is seen of them from here."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self.unsure: set[str] = set()
        """Owners whose leases are over by the store's clock alone."""
        self.ended: list[Member] = []
        """Those whose leases are over, as they were seen."""
        self.next_end = float("inf")
        """When the next one is to be given up, unless it is heard of by then; monotonic seconds."""

    def alive(self, view: View, asked: float, answered: float) -> set[str]:
        """The owners who may hold what they hold; `asked` and `answered` are monotonic seconds."""
        found: set[str] = set()
        seen = {}
        self.unsure, self.ended = set(), []
        for member in view.members:
            known = self._seen.get(member.owner)
            if known is None:
                known = _Seen(member.life, member.beat, answered, member.expires > view.now)
            elif (known.life, known.beat) != (member.life, member.beat):
                known = _Seen(member.life, member.beat, answered, True)
            seen[member.owner] = known
            if asked >= known.at + member.length / 1e9:
                self.ended.append(member)
            else:
                (found if known.met else self.unsure).add(member.owner)
        self._seen = seen
        ends = (
            seen[member.owner].at + member.length / 1e9
            for member in view.members
            if member.owner in found or member.owner in self.unsure
        )
        self.next_end = min(ends, default=float("inf"))
        return found


@dataclass
class Change:
    """What a step of the keeper has changed, or asks for."""

    gained: dict[int, Claim] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    give: tuple[int, ...] = ()
    """To be given up in order: finish what is begun of them, then call `Keeper.give`."""


class Keeper:
    """One member's leases. `step` is to be called when `due`, and before anything that rests on a lease is done."""

    def __init__(
        self, me: Identity, role: Role, length: float, store: LeaseStore, monotonic: Callable[[], float]
    ) -> None:
        self.me = me
        self.role = role
        self.length = length
        """Seconds."""
        self.held: dict[int, Claim] = {}
        self.until = float("-inf")
        """When what is held ends by the own clock, unless it is renewed."""
        self.due = float("-inf")
        """When to step again, at the latest."""
        self.fault: str | None = None
        """Why nothing can be held, None when all is well."""
        self.unfit: str | None = None
        """Why this member cannot do its work; it leaves it to others then, if there are any."""
        self.store_clock: tuple[int, float] | None = None
        """What the store's clock said last, and when that was asked, in monotonic seconds; None: nothing yet."""
        self._store = store
        self._monotonic = monotonic
        self._watch = Watch()
        self._joined = False

    def step(self) -> Change:
        """Renew, look, and do what is due. Never raises for the store's sake."""
        asked = self._monotonic()
        if self.unfit is not None and not self._joined:
            resting = self._rest(asked)
            if resting is not None:
                return resting
        try:
            view = self._look(joining=not self._joined)
        except StoreUnavailable as error:
            return self._unavailable(error)
        self.store_clock = (view.now, asked)
        own = view.member(self.me.owner)
        if own is None or own.life != self.me.life:
            return self._superseded(view, own, asked)
        self._joined = True
        self.fault = None
        self.until = asked + self.length
        change = Change(lost=self._others(view))
        alive = self._watch.alive(view, asked, self._monotonic()) | {self.me.owner}
        if self.unfit is not None and alive != {self.me.owner}:
            return self._retreat(view, change, asked)
        decided = plan(self.me.owner, self.role, alive, view.leases, self._watch.unsure - {self.me.owner})
        change.give = tuple(part for part in decided.give if part in self.held)
        again = {part for part, lease in view.leases.items() if self._is_earlier(lease)}
        self._give([Claim(*view.leases[part]) for part in again.intersection(decided.give)])
        wanted = again.difference(decided.give).union(decided.take)
        if wanted:
            self._take([view.leases.get(part, Lease(part, NOBODY, 0)) for part in sorted(wanted)], change)
        missing = len(wanted) > len(change.gained) or self._is_short(alive)
        pause = self.length / (LOOKS if missing else RENEWALS)
        self.due = min(asked + pause, max(self._watch.next_end, asked + self.length / LOOKS))
        return change

    def judge(self, unfit: str | None) -> None:
        """Say whether this member can do its work; what follows from that is done at once."""
        if (self.unfit is None) != (unfit is None):
            self.due = float("-inf")
        self.unfit = unfit

    def give(self, parts: Collection[int]) -> None:
        """Let go of what is finished. Never raises: what the store did not hear is given up at the next step."""
        self._give([claim for part in parts if (claim := self.held.pop(part, None)) is not None])

    def drop(self, parts: Collection[int] | None = None) -> None:
        """The store refused claims: of `parts`, or all. What they are now is looked up at once."""
        for part in list(self.held) if parts is None else parts:
            self.held.pop(part, None)
        self.due = float("-inf")

    def leave(self) -> None:
        """Give everything back, at the end of the process. Never raises: then others wait for the end of the lease."""
        self.give(list(self.held))
        try:
            self._store.leave(self.me)
        except StoreUnavailable as error:
            self.fault = str(error)

    # --- inside --------------------------------------------------------------------------------

    def _look(self, *, joining: bool) -> View:
        return self._store.look(self.me, self.length, joining=joining, ended=self._watch.ended)

    def _rest(self, asked: float) -> Change | None:
        """An unfit member stays away while there are others; None when there are none."""
        try:
            view = self._look(joining=False)
        except StoreUnavailable as error:
            return self._unavailable(error)
        self.store_clock = (view.now, asked)
        if not self._watch.alive(view, asked, self._monotonic()) - {self.me.owner}:
            return None
        self.fault = self.unfit
        self.due = min(asked + self.length / RENEWALS, max(self._watch.next_end, asked + self.length / LOOKS))
        return Change(lost=set(self.held))

    def _retreat(self, view: View, change: Change, asked: float) -> Change:
        """An unfit member gives up what it holds, in order, and is none any more once that is done."""
        self.fault = self.unfit
        change.give = tuple(sorted(self.held))
        self._give([Claim(*lease) for lease in view.leases.values() if self._is_earlier(lease)])
        self.due = asked + self.length / LOOKS
        if not change.give:
            self._joined = False
            try:
                self._store.leave(self.me)
            except StoreUnavailable as error:
                self.fault = str(error)
        return change

    def _others(self, view: View) -> set[int]:
        """What was held, and is not any more by what the store says."""
        lost = {
            part
            for part, claim in self.held.items()
            if (lease := view.leases.get(part)) is None or (lease.owner, lease.fence) != claim[1:]
        }
        for part in lost:
            del self.held[part]
        return lost

    def _is_earlier(self, lease: Lease) -> bool:
        """Whether this owner took it in an earlier life, or did not hear that it has it."""
        return lease.owner == self.me.owner and lease.part not in self.held

    def _give(self, claims: Sequence[Claim]) -> None:
        try:
            self._store.give(claims)
        except StoreUnavailable as error:
            self.fault = str(error)

    def _take(self, wanted: Sequence[Lease], change: Change) -> None:
        try:
            claims = self._store.take(self.me, wanted)
        except StoreUnavailable as error:
            self.fault = str(error)
            return
        change.gained = {claim.part: claim for claim in claims}
        self.held.update(change.gained)

    def _is_short(self, alive: Collection[str]) -> bool:
        """Whether this member waits for parts that others will give up."""
        return len(self.held) < self.role.parts // len(alive)

    def _unavailable(self, error: StoreUnavailable) -> Change:
        now = self._monotonic()
        self.fault = str(error)
        self.due = now + self.length / LOOKS
        if now < self.until:
            self.due = min(self.due, self.until)
            return Change()
        lost = set(self.held)
        self.held.clear()
        return Change(lost=lost)

    def _superseded(self, view: View, own: Member | None, asked: float) -> Change:
        """Another process works under this identity, or the membership went with a restored store."""
        lost = set(self.held)
        self.held.clear()
        self.due = asked + self.length / RENEWALS
        if own is None:
            self._joined = False
            self.due = asked
        elif own.expires <= view.now or own.owner not in self._watch.alive(view, asked, self._monotonic()):
            # Of an earlier life that ended: a restored store has it again. A copy of this home that works renews it.
            self._joined = False
            self.due = asked if own.expires <= view.now else self.due
        else:
            self.fault = (
                f"another process works under the identity of this home ({own.name}): is the home a copy? "
                "End one of both, and remove recorder.id in its home"
            )
        return Change(lost=lost)
