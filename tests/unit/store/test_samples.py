"""Samples made readable: series and process tables, whatever nodes send."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.store.read import Process, Reader
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, SECOND, Chain


class Home:
    """A store below a directory, with what writes samples into it and what reads them."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore.open(path, "normal")
        self.reader = Reader(path)
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

    def close(self) -> None:
        """Close both."""
        self.reader.close()
        self.store.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty store."""
    home = Home(tmp_path)
    yield home
    home.close()


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


# --- series -------------------------------------------------------------------------------------


def test_gauges_are_series(home: Home) -> None:
    """CPU, memory, load over one minute, processes, and how full each disk is."""
    data = {"cpu": 12.5, "load": [0.5, 1, 2], "mem_used": 10, "mem_total": 40, "swap_used": 1, "procs": 99}
    home.put(host(0, **data, disks={"/": [200, 50], "/var": [0, 0]}), host(10, cpu=20))
    assert home.series() == {
        "cpu": [(0, 12.5), (10, 20.0)],
        "load": [(0, 0.5)],
        "mem_used": [(0, 10.0)],
        "mem_total": [(0, 40.0)],
        "swap_used": [(0, 1.0)],
        "procs": [(0, 99.0)],
        "disk:/": [(0, 25.0)],
    }


def test_counters_become_rates(home: Home) -> None:
    """All network cards together; a counter that started anew counts nothing, and a new card nothing yet."""
    home.put(
        host(0, disk_io=[1000, 0], net={"eth0": [0, 0, 0, 0], "lo": [100, 100, 0, 0]}),
        host(10, disk_io=[2000, 500], net={"eth0": [1000, 10, 0, 0], "lo": [200, 200, 0, 0]}),
        host(20, disk_io=[0, 600], net={"eth0": [1500, 20, 0, 0], "eth1": [10**9, 0, 0, 0]}),
    )
    series = home.series()
    assert series["disk_read"] == [(10, 100.0)]
    assert series["disk_write"] == [(10, 50.0), (20, 10.0)]
    assert series["net_rx"] == [(10, 110.0), (20, 50.0)]
    assert series["net_tx"] == [(10, 11.0), (20, 1.0)]


def test_a_long_span_is_thinned(home: Home) -> None:
    """To about as many points as asked for, each the mean of what lies in its stretch."""
    home.put(*(host(second, cpu=second % 2 * 10) for second in range(100)))
    assert home.series(points=10)["cpu"] == [(9 + 10 * place, 5.0) for place in range(10)]


def test_a_very_long_span_is_picked_from(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every sample of a month is read."""
    monkeypatch.setattr("tabard.consumers.store.samples.READ_PER_POINT", 2)
    for start in range(0, 1000, 200):
        home.put(*(host(second, cpu=50) for second in range(start, start + 200)))
    points = home.series(until=1000, points=10)["cpu"]
    assert len(points) == 10
    assert {value for _, value in points} == {50.0}


def test_only_what_lies_between_the_times_counts(home: Home) -> None:
    """The first included, the last not; nothing for a node that is not known, or a span that is none."""
    home.put(*(host(second, cpu=second) for second in range(5)))
    assert home.series(1, 3)["cpu"] == [(1, 1.0), (2, 2.0)]
    assert home.series(3, 3) == {}
    assert home.reader.host_series("nobody", NOON, NOON + SECOND) == {}


# --- processes ----------------------------------------------------------------------------------


def pids(home: Home, second: int | None = None) -> list[int]:
    """Process ids of the table, as ordered there."""
    at = None if second is None else NOON + second * SECOND
    return [row.pid for row in home.reader.processes("web1", at).rows]


def test_a_full_scan_is_a_table(home: Home) -> None:
    """Ordered by CPU, then memory, then id."""
    home.put(scan(0, 1, process(1), process(2, 5.0), process(3), full=True))
    table = home.reader.processes("web1")
    assert table.time == NOON
    assert [row.pid for row in table.rows] == [2, 1, 3]
    assert table.rows[0] == Process(2, 1, 1, "root", "sh", "/bin/sh", "S", 5.0, 4096, 1)


def test_later_scans_are_laid_over_it(home: Home) -> None:
    """New and changed processes replace, gone ones leave; the table can be had as of any time."""
    home.put(
        scan(0, 1, process(1), process(2), full=True),
        scan(10, 2, process(3), process(2, 50.0)),
        scan(20, 3, gone=[[1, 1]]),
        scan(30, 4, process(1, started=25)),
    )
    assert [pids(home, second) for second in (5, 10, 25, 30)] == [[1, 2], [2, 1, 3], [2, 3], [2, 1, 3]]
    assert home.reader.processes("web1").time == NOON + 30 * SECOND


def test_a_full_scan_may_come_in_parts(home: Home) -> None:
    """As long as one is missing, the full scan before it is the base."""
    home.put(
        scan(0, 1, process(1), process(9), full=True),
        scan(10, 2, process(2), full=True, part=0, parts=2),
    )
    assert pids(home) == [1, 2, 9]
    home.put(scan(10, 2, process(3), full=True, part=1, parts=2))
    assert pids(home) == [2, 3]


def test_scans_of_another_life_of_the_agent_do_not_mix(home: Home) -> None:
    """Its numbers begin anew with its epoch."""
    home.put(scan(0, 1, process(1), full=True), scan(10, 2, process(2)))
    home.put(scan(20, 1, process(7), full=True), chain=Chain(stream=SAMPLES, name="b"))
    assert pids(home) == [7]
    assert pids(home, 15) == [1, 2]


def test_without_a_full_scan_there_is_no_table(home: Home) -> None:
    """Changes alone say nothing about the rest."""
    home.put(scan(0, 5, process(1)))
    table = home.reader.processes("web1")
    assert (table.time, list(table.rows)) == (None, [])
    assert home.reader.processes("nobody").time is None


# --- hostile samples ----------------------------------------------------------------------------

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
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


@given(
    samples=st.lists(
        st.tuples(st.sampled_from(["host", "processes"]), st.dictionaries(st.sampled_from(FIELDS), anything)),
        max_size=5,
    )
)
def test_no_sample_breaks_a_page(samples: list[tuple[str, dict[str, Any]]], shared: Home) -> None:
    """What does not have the documented form is left out."""
    if samples:
        shared.put(*((NOON + number * SECOND, kind, data) for number, (kind, data) in enumerate(samples)))
    assert all(math.isfinite(value) for values in shared.series().values() for _, value in values)
    assert all(math.isfinite(row.cpu) for row in shared.reader.processes("web1").rows)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One store for all examples."""
    home = Home(tmp_path_factory.mktemp("shared"))
    yield home
    home.close()
