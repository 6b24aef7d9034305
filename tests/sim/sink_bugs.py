"""Seeded bugs about several sinks; see `bugs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tabard.brokers.delivery import starting as starting_module
from tabard.brokers.delivery.book import EpochBook
from tabard.brokers.delivery.notes import Retirement
from tabard.brokers.delivery.ports import Heard
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.starting import Starting
from tests.sim.bugs import set_for, sink_bug


def _nothing(*_args: Any) -> None:
    """Do nothing."""


NEW: dict[str, Any] = {"sinks": ("main", "new"), "begins": ("oldest", "now"), "late": 4.0}


@sink_bug("what is new is skipped at each change of epoch", "stop node", "kill node", **NEW)
def _() -> Iterator[None]:
    skip = Starting.skip

    def again(self: Starting, wall: int, key: Any, stream: Any, part: Any, beacon: Any) -> None:
        if stream.heard is not None and stream.heard.skipped and part.spans:
            newest = self._epochs.book(key, stream, part.spans[-1][0])
            if not newest.cursor.version:
                stream.heard = Heard(ever=False, skipped=stream.heard.skipped)
        skip(self, wall, key, stream, part, beacon._replace(facts={}))

    with set_for(Starting, "skip", again):
        yield


@sink_bug(
    "a node is skipped that the sink knew before its store was replaced",
    "wipe store",
    **NEW,
    keep_acked=1 << 26,
)
def _() -> Iterator[None]:
    with set_for(starting_module, "MET", "unheard of"):
        yield


@sink_bug("a new node counts as one that was there before", **{**NEW, "late": 0.0})
def _() -> Iterator[None]:
    def older(self: Starting, wall: int, beacon: Any) -> bool:
        del self, wall, beacon
        return True

    with set_for(Starting, "_is_older", older):
        yield


@sink_bug("a skipped epoch has no end", "stop node", "kill node", **NEW)
def _() -> Iterator[None]:
    skip = starting_module._skip

    def endless(book: EpochBook, last: int, digest: bytes, *, ends: bool) -> bool:
        del ends
        return skip(book, last, digest, ends=False)

    with set_for(starting_module, "_skip", endless):
        yield


@sink_bug(
    "a journal is held for the sinks only that were heard since the start",
    "stop node",
    "kill recorder",
    sinks=("main", "other"),
    late=9.0,
    burst=40,
)
def _() -> Iterator[None]:
    required: Any = Publisher._required

    def heard(self: Publisher) -> list[Any]:
        every: list[Any] = required.fget(self)
        return [state for state in every if state.heard is not None] or every

    with set_for(Publisher, "_required", property(heard)):
        yield


@sink_bug(
    "a retirement is forgotten over a restart",
    "retire sink",
    "kill node",
    "stop node",
    sinks=("main", "gone"),
)
def _() -> Iterator[None]:
    def forgetful(self: Publisher, now: float, name: str, retirement: Retirement) -> None:
        state = self._sinks[name]
        state.retire(now, retirement, 3)
        self._release()

    with set_for(Publisher, "retire", forgetful):
        yield
