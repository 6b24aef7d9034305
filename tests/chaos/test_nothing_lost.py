"""Nothing lost, with real processes: whatever is killed, frozen, filled up or damaged, and whenever."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.chaos import disk, rest
from tests.chaos.fleet import BROKERS, Fleet
from tests.chaos.oracle import Sent, Verdict, judge
from tests.chaos.plan import Cast, Plan, make_plan, show
from tests.chaos.reach import Coverage, points
from tests.chaos.sources import LogFile, Producer, Source
from tests.chaos.torment import Torment
from tests.conftest import Need

SEEDS: Final = (1, 2)
"""Each of them kills at its share of the fail-points, all of them at every one."""
LONG_SEEDS: Final = range(100, 100 + max(1, int(os.environ.get("SEEDS", "20000")) // 1000))
"""One for every thousand seeds of the simulation, which SEEDS counts."""
PATIENCE: Final = 60.0
"""Seconds until all is stored once all processes are well again."""
RECORDS: Final = 40_000
"""Records that each producer says at full speed."""

_JOURNALS: Final = {
    "n1": {"segment": "64KiB", "keep_acked": "128KiB", "fsync": "20ms"},
    "n2": {"segment": "256KiB", "keep_acked": "0B", "fsync": "100ms"},
    "n3": {"segment": "64KiB", "keep_acked": "0B", "logs_bytes": "1MiB", "fsync": "0s"},
}
_CAST: Final = Cast(tuple(_JOURNALS), BROKERS, ("recorder",), small_disk="n2", damaged="n1", bounded="n3")


@contextmanager
def _fleet(directory: Path, log: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        stack.enter_context(disk.small_disk(directory / "n2" / "journal", "6m"))
        fleet = stack.enter_context(Fleet(directory, log, _JOURNALS))
        rest.age_store(fleet.hub.store)
        yield fleet


def _sources(fleet: Fleet, seed: int) -> list[Source]:
    producers = [
        Producer(f"app-{node}", node, str(seed), fleet.intake(node), RECORDS) for node in fleet.homes
    ]
    files = [LogFile(f"file-{node}", node, str(seed), fleet.tailed(node)) for node in fleet.homes]
    return [*producers, *files]


def _run(directory: Path, log: Path, seed: int, plan: Plan) -> tuple[Torment, Verdict, list[str]]:
    """Torment a fleet, let it come to rest, and judge what is in its store."""
    print(f"seed {seed}; homes below {directory}; the plan:\n{show(plan)}")
    with _fleet(directory, log) as fleet:
        for worker in fleet.crew.values():
            worker.start()
        sources = _sources(fleet, seed)
        for source in sources:
            source.start()
        try:
            rest.wait_for_sight(fleet)
            for source in sources:
                if isinstance(source, LogFile):
                    source.rotates.set()
            torment = Torment(fleet, plan, seed)
            torment.run()
        finally:
            for source in sources:
                source.finish()
            for source in sources:
                source.join()
        wrong = [f"{source.name}: {source.error!r}" for source in sources if source.error]
        try:
            rest.wait_for_rest(fleet, PATIENCE)
        except rest.NotAtRest as error:
            wrong.append(str(error))
        for name in fleet.names("agent", "broker", "recorder"):
            fleet.crew[name].stop()
        wrong += fleet.crashes
        sent = {source.name: Sent(source.node, source.accepted, source.given) for source in sources}
        verdict = judge(
            fleet.hub.store,
            sent,
            may_lose=frozenset({_CAST.damaged, _CAST.bounded}),
            ignore=frozenset({rest.RELIC}),
            exact=frozenset({_CAST.bounded}),
        )
    return torment, verdict, wrong


def _report(torment: Torment, verdict: Verdict) -> None:
    print("what was done:", *torment.diary, *torment.missed, sep="\n  ")
    print(f"{verdict.rows} rows; accepted and not stored: {verdict.missing}")
    for node, losses in verdict.losses.items():
        print(f"  {node}: {len(losses)} losses stored: {', '.join(sorted({loss.reason for loss in losses}))}")


def _torment(directory: Path, coverage: Coverage, seed: int, plan: Plan) -> None:
    torment, verdict, wrong = _run(directory, coverage.log, seed, plan)
    _report(torment, verdict)
    coverage.deaths.update(torment.died_at)
    wrong += verdict.wrong
    assert not wrong, f"seed {seed}, homes kept in {directory}:\n" + "\n".join(wrong[:40])


@pytest.fixture
def coverage(tmp_path: Path, need: Need, capfd: pytest.CaptureFixture[str]) -> Iterator[Coverage]:
    """Which fail-points were passed and died at; shown at the end, whatever became of the test."""
    need.that(disk.may_mount(tmp_path / "try"), "the right to mount a tmpfs, for a journal on a small disk")
    made = Coverage(tmp_path / "fail-points")
    yield made
    with capfd.disabled():  # also where a worker of xdist runs the test
        print("\nfail-points:", made.table(), sep="\n", file=sys.stderr)


@pytest.mark.timeout(400)
def test_all_is_stored_once(tmp_path: Path, coverage: Coverage) -> None:
    """Kills, stops, errors, a full disk and flipped bytes, at every fail-point there is, and at random moments.

    Every accepted record is stored once, in order, or its loss is said.
    """
    for turn, seed in enumerate(SEEDS):
        share = dict(list(points().items())[turn :: len(SEEDS)])
        _torment(tmp_path / f"seed-{seed}", coverage, seed, make_plan(seed, _CAST, share, spice=1))
    passed = coverage.passed()
    assert [point for point in points() if not passed[point]] == []
    assert [point for point in points() if not coverage.deaths[point]] == []


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG_SEEDS)
def test_all_is_stored_once_for_longer(tmp_path: Path, coverage: Coverage, seed: int) -> None:
    """The same with every fail-point and much more besides; each seed runs about two minutes."""
    _torment(tmp_path, coverage, seed, make_plan(seed, _CAST, points(), spice=12))
