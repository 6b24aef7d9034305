"""When a fleet has come to rest, and a store that was in use before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.store.sqlite import SqliteStore
from tests.chaos.fleet import Fleet
from tests.contract.chain import Chain

RELIC: Final = "relic"
"""A node of long ago, whose samples are old enough to be deleted."""
_OLD: Final = 2 * 3600 * 1_000_000_000
_MANY: Final = 256
_LOOK: Final = 0.1
_SOON: Final = 0.02
_STILL: Final = 2
"""Beacons in a row that say that nothing is behind."""


def age_store(directory: Path) -> None:
    """Make a store that holds samples of a node which retention will want to delete."""
    with SqliteStore.open(directory) as store:
        chain = Chain(NodeKey(RELIC, "plant"), SAMPLES)
        arrived = time.time_ns() - _OLD
        store.commit([chain.open()], arrived)
        for _ in range(80):
            store.commit([chain.work([[arrived, "host", {}] for _ in range(_MANY)])], arrived)


def until(holds: Callable[[], object], what: Callable[[], str] | str, patience: float = 120.0) -> None:
    """Wait for what another process does; ``what`` is said when it has not done it after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(
            _SOON
        )  # another process's state, in its files or its database: there is no event to wait for


def wait_for_sight(fleet: Fleet, patience: float = 30.0) -> None:
    """Wait until every agent has begun to read its file: what was rotated away before that is not its own."""
    until(
        lambda: all(_has_begun(fleet, name) for name in fleet.homes),
        lambda: f"not every agent reads its file: {_complaint(fleet)}",
        patience,
    )


def _has_begun(fleet: Fleet, name: str) -> bool:
    return any(source["offset"] for source in fleet.status(name).get("sources", []))


class NotAtRest(AssertionError):
    """Raised when something kept on a node was not stored in time."""


def wait_for_rest(fleet: Fleet, patience: float) -> None:
    """Wait until every node has read all its files and says that the store has all it keeps.

    Raises:
        NotAtRest: it did not come to that within `patience` seconds.
    """
    deadline = time.monotonic() + patience
    still = dict.fromkeys(fleet.homes, 0)
    heard: dict[str, int] = {}
    while min(still.values()) < _STILL:
        if time.monotonic() > deadline:
            raise NotAtRest(_complaint(fleet))
        for worker in fleet.crew.values():
            worker.poll()
        for name, (beacon, state) in fleet.presence().items():
            if name in still and heard.get(name) != beacon:
                heard[name] = beacon
                still[name] = still[name] + 1 if _has_all(state) and _has_read(fleet, name) else 0
        time.sleep(_LOOK)  # another process's database: there is no event to wait for


def _has_all(state: dict[str, Any]) -> bool:
    # Samples never stop: those of the last moments may be on their way.
    most = {"control": 0, "logs": 0, "samples": 9}
    return all(state[stream]["behind"] <= behind for stream, behind in most.items())


def _has_read(fleet: Fleet, name: str) -> bool:
    sources = fleet.status(name).get("sources", [])
    return bool(sources) and all(source["lag"] == 0 for source in sources)


def _complaint(fleet: Fleet) -> str:
    lines = ["it does not come to rest"]
    lines += [f"  {name}: {state}" for name, (_, state) in fleet.presence().items()]
    for name in fleet.crew:
        status = fleet.status(name)
        shown = {
            key: status[key] for key in ("sinks", "blocked", "faults", "fault", "counters") if key in status
        }
        lines.append(f"  {name}: {shown}")
    return "\n".join(lines)
