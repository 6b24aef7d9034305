"""A small fleet under attack: good traffic goes on beside the bad, and memory is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.chaos import rest
from tests.chaos.fleet import Fleet
from tests.chaos.oracle import Sent, judge
from tests.chaos.sources import Producer

NODE: Final = "n1"
GROWTH: Final = 64 * 1_048_576
"""Bytes by which a process may grow, whatever it is sent."""
PATIENCE: Final = 60.0
_LOOK: Final = 0.05


class Siege:
    """One node, three brokers, a recorder, and a producer that logs all the while. Use as a context manager.

    At its end nothing must have crashed or grown, and all that the producer said must be stored once.
    """

    def __init__(
        self, directory: Path, seed: str, *, foreign: frozenset[str] = frozenset(), noisy: bool = False
    ) -> None:
        """`foreign` are names of nodes that the attackers use; `noisy`: they log on the producer's node too."""
        # In unix sockets: over TCP nobody who speaks the protocol by hand gets as far as a message.
        self.fleet = Fleet(directory, directory / "points", {NODE: {"fsync": "5ms"}}, tcp=False)
        self._foreign = foreign
        self._noisy = noisy
        self._seed = seed
        self._producer: Producer | None = None
        self._before: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            for worker in self.fleet.crew.values():
                worker.start()
            for worker in self.fleet.crew.values():
                worker.wait_ready()
            self.fleet.tailed(NODE).write_text("")
            self._producer = Producer("good", NODE, self._seed, self.fleet.intake(NODE), most=2_000)
            self._producer.start()
            self.wait_until(lambda: NODE in self.fleet.presence(), "nothing is stored")
            self._before = {name: worker.memory for name, worker in self.fleet.crew.items()}
        except BaseException:
            self.fleet.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._producer is not None
        self._producer.finish()
        self._producer.join()
        try:
            if error is None:
                self._settle(self._producer)
        finally:
            self.fleet.__exit__(kind, error, trace)

    def _settle(self, producer: Producer) -> None:
        self.must_be_well()
        assert producer.error is None, producer.error
        rest.wait_for_rest(self.fleet, PATIENCE)
        self.must_be_well()
        for name in self.fleet.names("agent", "broker", "recorder"):
            self.fleet.crew[name].stop()
        assert not self.fleet.crashes, self.fleet.crashes
        sent = {"good": Sent(NODE, producer.accepted, producer.given)}
        verdict = judge(self.fleet.hub.store, sent, may_lose=frozenset(), ignore=self._foreign)
        wrong = [each for each in verdict.wrong if not (self._noisy and "nobody said" in each)]
        assert not wrong, "\n".join(wrong)

    # --- what can be seen --------------------------------------------------------------------

    def must_be_well(self) -> None:
        """Every process is the one that was started, and no larger than it may be."""
        for worker in self.fleet.crew.values():
            worker.poll()
        assert not self.fleet.crashes, "\n".join(self.fleet.crashes)
        grown = {name: worker.memory - self._before[name] for name, worker in self.fleet.crew.items()}
        assert max(grown.values()) < GROWTH, grown

    def wait_until(self, condition: Callable[[], bool], failure: str) -> None:
        """Wait for something that another process does; it has to be well meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(failure)
            for worker in self.fleet.crew.values():
                worker.poll()
            assert not self.fleet.crashes, "\n".join(self.fleet.crashes)
            time.sleep(_LOOK)  # another process's status file: there is no event to wait for

    def counters(self, name: str) -> Mapping[str, Any]:
        """What a process says that it counted."""
        counters = self.fleet.status(name).get("counters", {})
        assert isinstance(counters, dict)
        return counters

    def count(self, name: str, *words: str) -> int:
        """The sum of a process's counters whose names hold one of `words`."""
        return sum(
            int(value)
            for counter, value in self.counters(name).items()
            if any(word in counter for word in words)
        )

    def wait_for_count(self, name: str, least: int, *words: str) -> None:
        """Wait until a process has counted so many of these."""
        self.wait_until(
            lambda: self.count(name, *words) >= least,
            f"{name} did not count {least} of {words}",
        )
