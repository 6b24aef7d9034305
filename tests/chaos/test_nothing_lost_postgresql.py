"""Nothing lost with the store on a server: the server dies, recorders die and freeze, two of them write at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tabard.home import Home
from tabard.ops.bench.postgres import Postgres
from tests.chaos import rest
from tests.chaos.oracle import Sent, judge
from tests.chaos.plan import Cast, make_plan, show
from tests.chaos.reach import points
from tests.chaos.served import ServedFleet, ServerTorment
from tests.chaos.sources import Producer
from tests.chaos.torment import Torment

SEEDS: Final = (1,)
LONG_SEEDS: Final = range(300, 300 + max(1, int(os.environ.get("SEEDS", "20000")) // 4000))
PATIENCE: Final = 90.0
RECORDS: Final = 30_000
"""Said at full speed, by all nodes together."""
_FSYNC: Final = ("20ms", "5ms")
_NODES: Final = {False: 2, True: 6}
"""By whether two recorders share them: so many that each has some, or it comes to none of its fail-points."""
_SECOND: Final = """\
[node]
name = "hub2"
zone = "plant"

[recorder]
up = "{up_out}"
down = "{down_in}"
"""


def _run(directory: Path, server: Postgres, seed: int, *, spice: int, two: bool) -> None:
    recorders = ("recorder", "second") if two else ("recorder",)
    cast = Cast((), (), recorders, small_disk="", damaged="", bounded="")
    own = {point: meaning for point, meaning in points().items() if _is_recorders(point)}
    plan = make_plan(seed, cast, own, spice=spice)
    print(f"seed {seed}; homes below {directory}; the plan:\n{show(plan)}")
    journals = {f"n{number + 1}": {"fsync": _FSYNC[number % 2]} for number in range(_NODES[two])}
    with ServedFleet(directory, directory / "points", journals, server) as fleet:
        for worker in fleet.crew.values():
            worker.start()
            worker.wait_ready()
        if two:
            _join(fleet)
        producers = [
            Producer(f"app-{node}", node, str(seed), fleet.intake(node), RECORDS // len(journals))
            for node in fleet.homes
        ]
        torment, outages = Torment(fleet, plan, seed), ServerTorment(server, seed)
        try:
            for producer in producers:
                producer.start()
            outages.start()
            torment.run()
        finally:
            outages.finish()
            for producer in producers:
                producer.finish()
            for producer in producers:
                producer.join()
        for worker in fleet.crew.values():
            if not worker.poll():
                worker.start()
        wrong = [f"{each.name}: {each.error!r}" for each in producers if each.error]
        wrong += [f"the server: {outages.error!r}"] if outages.error else []
        try:
            rest.wait_for_rest(fleet, PATIENCE)
        except rest.NotAtRest as error:
            wrong.append(str(error))
        for worker in fleet.crew.values():
            worker.stop()
        wrong += fleet.crashes
        sent = {each.name: Sent(each.node, each.accepted, each.given) for each in producers}
        verdict = judge(
            fleet.copied(directory / "copy"), sent, may_lose=frozenset(), ignore=frozenset({rest.RELIC})
        )
    print("what was done:", *torment.diary, *torment.missed, *outages.diary, sep="\n  ")
    print(f"{verdict.rows} rows; accepted and not stored: {verdict.missing}")
    wrong += verdict.wrong
    assert len(outages.diary) > 0
    assert not wrong, f"seed {seed}, homes kept in {directory}:\n" + "\n".join(wrong[:40])


def _is_recorders(point: str) -> bool:
    return point.partition(".")[0] in {"recorder", "store"} and "retention" not in point


def _join(fleet: ServedFleet) -> None:
    """Another recorder, in a home of its own, for the same sink and the same database."""
    home = Home(fleet.directory / "hub2").ensure()
    fleet.give_recorder(home)
    ends = fleet.status("b3")["endpoints"]
    home.settings_file.write_text(_SECOND.format(**ends) + fleet.store_lines)
    fleet.hire("second", home, ["recorder"], fleet.directory / "points")
    fleet.crew["second"].start()
    fleet.crew["second"].wait_ready()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("two", [False, True], ids=["one recorder", "two recorders"])
@pytest.mark.parametrize("seed", SEEDS)
def test_all_is_stored_once(tmp_path: Path, server: Postgres, seed: int, two: bool) -> None:
    """At every fail-point of a recorder, while the server is killed and started again and again."""
    _run(tmp_path, server, seed, spice=2, two=two)


@pytest.mark.long
@pytest.mark.parametrize("two", [False, True], ids=["one recorder", "two recorders"])
@pytest.mark.parametrize("seed", LONG_SEEDS)
def test_all_is_stored_once_for_longer(tmp_path: Path, server: Postgres, seed: int, two: bool) -> None:
    """The same with much more besides."""
    _run(tmp_path, server, seed, spice=10, two=two)
