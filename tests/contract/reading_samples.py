"""Samples made readable: series and process tables, whatever nodes send."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tabard.brokers.delivery.ports import NodeKey, SinkStore
from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import Process
from tests.contract.chain import NOON, SECOND, Chain
from tests.contract.engine import Contract, ReadingEngine


class Sampled:
    """A store with what writes samples into it and what reads them."""

    def __init__(self, store: SinkStore, reader: StoreReader) -> None:
        self.store = store
        self.reader = reader
        self.chain = Chain(stream=SAMPLES)

    def put(self, *samples: tuple[int, str, dict[str, Any]], chain: Chain | None = None) -> None:
        """Store samples of one node."""
        self.store.commit([(chain or self.chain).work(samples)], NOON)

    def series(
        self, since: int = 0, until: int = 100, points: int = 100
    ) -> dict[str, list[tuple[int, float]]]:
        """Series between two seconds after noon, with times as such seconds."""
        found = self.reader.host_series("web1", NOON + since * SECOND, NOON + until * SECOND, points)
        return {
            key: [((time - NOON) // SECOND, value) for time, value in values] for key, values in found.items()
        }


def host(second: int, **data: Any) -> tuple[int, str, dict[str, Any]]:
    """A host sample so many seconds after noon."""
    return (NOON + second * SECOND, "host", data)


def scan(second: int, number: int, *procs: list[Any], **more: Any) -> tuple[int, str, dict[str, Any]]:
    """A process sample."""
    given = {"full": False, "scan": number, "part": 0, "parts": 1, "procs": list(procs), "gone": [], **more}
    return (NOON + second * SECOND, "processes", given)


def process(pid: int, cpu: float = 0.0, started: int = 1, name: str = "sh") -> list[Any]:
    """One process in a sample."""
    return [pid, started, 1, "root", name, f"/bin/{name}", "S", cpu, 4096, 1]


def pids(sampled: Sampled, second: int | None = None) -> list[int]:
    """Process ids of the table, as ordered there."""
    at = None if second is None else NOON + second * SECOND
    return [row.pid for row in sampled.reader.processes("web1", at).rows]


_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    "cpu",
    "load",
    "disks",
    "disk_io",
    "net",
    "procs",
    "full",
    "scan",
    "part",
    "parts",
    "gone",
    "mem_used",
)
HOSTILE = st.lists(
    st.tuples(st.sampled_from(["host", "processes"]), st.dictionaries(st.sampled_from(_FIELDS), _anything)),
    max_size=5,
)
"""Samples that may look like anything."""


class SampleContract(Contract):
    """What every engine makes of samples."""

    @pytest.fixture
    def sampled(self, store: SinkStore, reader: StoreReader) -> Sampled:
        """An empty store."""
        return Sampled(store, reader)

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, engine: ReadingEngine[Any]) -> Iterator[Sampled]:
        """One store for all examples."""
        store = engine.make()
        with engine.reader(store) as reader:
            yield Sampled(store, reader)

    # --- series -------------------------------------------------------------------------------------

    def test_the_newest_sample_of_links_of_each_node_is_found(self, sampled: Sampled) -> None:
        """By its own time, if it arrived within a day; other kinds and nodes without one are no concern of it."""
        other = Chain(NodeKey("web2", "hq/dmz"), stream=SAMPLES)
        host_only = Chain(NodeKey("web3", "hq"), stream=SAMPLES)
        sampled.put((NOON, "links", {"n": 1}), (NOON + 5 * SECOND, "links", {"n": 2}), host(9, cpu=1.0))
        sampled.put((NOON - SECOND, "links", {"n": 3}), chain=other)
        sampled.put(host(1, cpu=1.0), chain=host_only)
        found = sampled.reader.newest_links(NOON + 60 * SECOND)
        assert {(each.node, each.zone): (each.time, each.data) for each in found} == {
            ("web1", sampled.chain.key.zone): (NOON + 5 * SECOND, {"n": 2}),
            ("web2", "hq/dmz"): (NOON - SECOND, {"n": 3}),
        }
        assert {each.now for each in found} == {NOON + 60 * SECOND}
        assert sampled.reader.newest_links(NOON + 2 * 86_400 * SECOND) == []

    def test_gauges_are_series(self, sampled: Sampled) -> None:
        """CPU, memory, load over one minute, processes, and how full each disk is."""
        data = {
            "cpu": 12.5,
            "load": [0.5, 1, 2],
            "mem_used": 10,
            "mem_total": 40,
            "swap_used": 1,
            "procs": 99,
        }
        sampled.put(host(0, **data, disks={"/": [200, 50], "/var": [0, 0]}), host(10, cpu=20))
        assert sampled.series() == {
            "cpu": [(0, 12.5), (10, 20.0)],
            "load": [(0, 0.5)],
            "mem_used": [(0, 10.0)],
            "mem_total": [(0, 40.0)],
            "swap_used": [(0, 1.0)],
            "procs": [(0, 99.0)],
            "disk:/": [(0, 25.0)],
        }

    def test_counters_become_rates(self, sampled: Sampled) -> None:
        """All network cards together; a counter that started anew counts nothing, and a new card nothing yet."""
        sampled.put(
            host(0, disk_io=[1000, 0], net={"eth0": [0, 0, 0, 0], "lo": [100, 100, 0, 0]}),
            host(10, disk_io=[2000, 500], net={"eth0": [1000, 10, 0, 0], "lo": [200, 200, 0, 0]}),
            host(20, disk_io=[0, 600], net={"eth0": [1500, 20, 0, 0], "eth1": [10**9, 0, 0, 0]}),
        )
        series = sampled.series()
        assert series["disk_read"] == [(10, 100.0)]
        assert series["disk_write"] == [(10, 50.0), (20, 10.0)]
        assert series["net_rx"] == [(10, 110.0), (20, 50.0)]
        assert series["net_tx"] == [(10, 11.0), (20, 1.0)]

    def test_a_long_span_is_thinned(self, sampled: Sampled) -> None:
        """To about as many points as asked for, each the mean of what lies in its stretch."""
        sampled.put(*(host(second, cpu=second % 2 * 10) for second in range(100)))
        assert sampled.series(points=10)["cpu"] == [(9 + 10 * place, 5.0) for place in range(10)]

    @pytest.mark.usefixtures("small_steps")
    def test_a_very_long_span_is_picked_from(self, sampled: Sampled) -> None:
        """Not every sample of a month is read."""
        for start in range(0, 1000, 200):
            sampled.put(*(host(second, cpu=50) for second in range(start, start + 200)))
        points = sampled.series(until=1000, points=10)["cpu"]
        assert len(points) == 10
        assert {value for _, value in points} == {50.0}

    def test_only_what_lies_between_the_times_counts(self, sampled: Sampled) -> None:
        """The first included, the last not; nothing for a node that is not known, or a span that is none."""
        sampled.put(*(host(second, cpu=second) for second in range(5)))
        assert sampled.series(1, 3)["cpu"] == [(1, 1.0), (2, 2.0)]
        assert sampled.series(3, 3) == {}
        assert sampled.reader.host_series("nobody", NOON, NOON + SECOND) == {}

    def test_a_full_scan_is_a_table(self, sampled: Sampled) -> None:
        """Ordered by CPU, then memory, then id."""
        sampled.put(scan(0, 1, process(1), process(2, 5.0), process(3), full=True))
        table = sampled.reader.processes("web1")
        assert table.time == NOON
        assert [row.pid for row in table.rows] == [2, 1, 3]
        assert table.rows[0] == Process(2, 1, 1, "root", "sh", "/bin/sh", "S", 5.0, 4096, 1)

    def test_later_scans_are_laid_over_it(self, sampled: Sampled) -> None:
        """New and changed processes replace, gone ones leave; the table can be had as of any time."""
        sampled.put(
            scan(0, 1, process(1), process(2), full=True),
            scan(10, 2, process(3), process(2, 50.0)),
            scan(20, 3, gone=[[1, 1]]),
            scan(30, 4, process(1, started=25)),
        )
        assert [pids(sampled, second) for second in (5, 10, 25, 30)] == [[1, 2], [2, 1, 3], [2, 3], [2, 1, 3]]
        assert sampled.reader.processes("web1").time == NOON + 30 * SECOND

    def test_a_full_scan_may_come_in_parts(self, sampled: Sampled) -> None:
        """As long as one is missing, the full scan before it is the base."""
        sampled.put(
            scan(0, 1, process(1), process(9), full=True),
            scan(10, 2, process(2), full=True, part=0, parts=2),
        )
        assert pids(sampled) == [1, 2, 9]
        sampled.put(scan(10, 2, process(3), full=True, part=1, parts=2))
        assert pids(sampled) == [2, 3]

    def test_scans_of_another_life_of_the_agent_do_not_mix(self, sampled: Sampled) -> None:
        """Its numbers begin anew with its epoch."""
        sampled.put(scan(0, 1, process(1), full=True), scan(10, 2, process(2)))
        sampled.put(scan(20, 1, process(7), full=True), chain=Chain(stream=SAMPLES, name="b"))
        assert pids(sampled) == [7]
        assert pids(sampled, 15) == [1, 2]

    def test_without_a_full_scan_there_is_no_table(self, sampled: Sampled) -> None:
        """Changes alone say nothing about the rest."""
        sampled.put(scan(0, 5, process(1)))
        table = sampled.reader.processes("web1")
        assert (table.time, list(table.rows)) == (None, [])
        assert sampled.reader.processes("nobody").time is None

    def no_sample_breaks_a_page(self, shared: Sampled, samples: list[tuple[str, dict[str, Any]]]) -> None:
        """What does not have the documented form is left out.

        To be called by an engine's own property test.
        """
        if samples:
            shared.put(*((NOON + number * SECOND, kind, data) for number, (kind, data) in enumerate(samples)))
        assert all(math.isfinite(value) for values in shared.series().values() for _, value in values)
        assert all(math.isfinite(row.cpu) for row in shared.reader.processes("web1").rows)
