"""Seeded bugs about leases: each breaks one production class in a way that somebody could plausibly write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tabard.brokers.delivery.leases import Keeper, Plan, View, Watch
from tabard.brokers.delivery.ports import Claim, EpochWork
from tabard.brokers.delivery.sink import Sink
from tabard.consumers.store import leases
from tabard.consumers.store.commit import Commit
from tabard.consumers.store.leases import StoreLeases
from tests.sim.bugs import set_for


@dataclass(frozen=True)
class SharingBug:
    """One bug, and the faults under which it shows."""

    name: str
    patch: Callable[[], AbstractContextManager[None]]
    faults: tuple[str, ...]
    budget: int = 256
    seeds: int = 30


BUGS: Final[list[SharingBug]] = []


def _bug(
    name: str, *faults: str, budget: int = 256
) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Any]]:
    def register(patch: Callable[[], Iterator[None]]) -> Callable[[], Any]:
        made = contextmanager(patch)
        BUGS.append(SharingBug(name, made, faults, budget))
        return made

    return register


def _nothing(*_args: Any, **_more: Any) -> None:
    """Do nothing."""


@_bug("a commit looks at no fence, and compares no cursors", "freeze recorder")
def _() -> Iterator[None]:
    def blind(self: Commit, work: Sequence[EpochWork], nodes: Sequence[int]) -> None:
        for item, node_id in zip(work, nodes, strict=True):
            self._writer.run(
                "INSERT INTO epoch (node_id, stream, uid, version, ranges, previous_last, opened, finished, created) "
                "VALUES (?, ?, ?, 1, ?, 0, 1, 0, 0) ON CONFLICT DO UPDATE SET ranges = excluded.ranges",
                (node_id, item.stream, item.cursor.epoch, item.cursor.ranges.encode()),
            )

    with set_for(leases, "hold", _nothing), set_for(Commit, "_set_cursors", blind):
        yield


@_bug("a lease is kept by the wall clock", "store's clock jumps", "lose recorder")
def _() -> Iterator[None]:
    def by_wall(_self: Watch, view: View, _asked: float, _answered: float) -> set[str]:
        return {member.owner for member in view.members if member.expires > view.now}

    with set_for(Watch, "alive", by_wall):
        yield


@_bug("who was seen once is alive for ever", "lose recorder")
def _() -> Iterator[None]:
    def ever(self: Watch, view: View, asked: float, answered: float) -> set[str]:
        del self, asked, answered
        return {member.owner for member in view.members}

    with set_for(Watch, "alive", ever):
        yield


@_bug("each recorder lends the whole budget", "kill recorder", budget=16)
def _() -> Iterator[None]:
    with set_for(Sink, "_share", _nothing):
        yield


@_bug("what is held of nodes stays when a lease has ended", "end recorder", "kill recorder")
def _() -> Iterator[None]:
    def keep(self: Sink, parts: Collection[int]) -> None:
        self.territory.lose(parts)
        self._share()

    with set_for(Sink, "lose", keep):
        yield


@_bug("who takes a lease raises no guard", "kill recorder")
def _() -> Iterator[None]:
    def half(self: StoreLeases, me: Any, wanted: Any) -> list[Claim]:
        return list(self._take(me, wanted, {}).values())

    with set_for(StoreLeases, "take", half):
        yield


@_bug("a restarted recorder waits for others to give it its own", "kill recorder")
def _() -> Iterator[None]:
    with set_for(Keeper, "_is_earlier", lambda *_: False):
        yield


@_bug("a recorder takes whatever is free, and gives nothing", "end recorder")
def _() -> Iterator[None]:
    from tabard.brokers.delivery import leases as module

    plan = module.plan

    def greedy(me: str, role: Any, alive: Any, rows: Any, unsure: Any = ()) -> Plan:
        free = [part for part in range(role.parts) if part not in rows or rows[part].owner not in alive]
        return plan(me, role, alive, rows, unsure)._replace(give=(), take=tuple(free))

    with set_for(module, "plan", greedy):
        yield
