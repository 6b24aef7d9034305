"""Every peer that is installed, as the bench runs it: a few thousand records, a kill, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tabard.ops.bench.helper import Helper
from tabard.ops.bench.peers import kills, speed, work
from tabard.ops.bench.peers.kills import Suffered
from tabard.ops.bench.peers.peer import Peer
from tabard.ops.bench.peers.plan import Blow, Part, Plan, Strike, make_plan
from tabard.ops.bench.peers.serving import Serving
from tabard.ops.bench.peers.table import PEERS
from tests.conftest import Need
from tests.peers.losing import DROPS, Careless, Loser

RECORDS = 3_000
RATE = 300
KILL = Plan(0, (Strike(1.0, Part.RECEIVER, Blow.KILL, 0.5),), 1.0)
TABARDS = [name for name in PEERS if name.startswith("tabard-")]
BACK_OFF = ("sockethandler", "sockethandler-each")
"""They wait longer after each failure to connect, perhaps until all is said."""
OTHERS = [name for name in PEERS if name not in TABARDS]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")


@pytest.fixture(scope="module")
def at_full_speed(place: Path) -> Iterator[tuple[Path, Serving, Helper]]:
    """What `speed.measure` is given."""
    with ExitStack() as stack:
        serving = Serving()
        stack.callback(serving.close)
        sender = stack.enter_context(Helper(speed.SENDER))
        for form in work.FORMS:
            sender.ask(speed.PREPARING, do="prepare", form=form, records=RECORDS)
        yield place, serving, sender


@pytest.fixture(scope="module")
def killed(place: Path) -> Mapping[str, Suffered]:
    """All that are installed, and one that loses on purpose, through one kill of the receiver."""
    there: dict[str, type[Peer]] = {name: PEERS[name] for name in OTHERS if not PEERS[name].missing()}
    return kills.torment({**there, "loser": Loser}, place, KILL, RATE, print, quiet=5.0)


def _needed(name: str, need: Need) -> type[Peer]:
    missing = PEERS[name].missing()
    need.that(not missing, f"{PEERS[name].title} ({missing})")
    return PEERS[name]


@pytest.mark.parametrize("name", PEERS)
def test_each_takes_the_work_and_stores_all_of_it(
    name: str, need: Need, at_full_speed: tuple[Path, Serving, Helper]
) -> None:
    """At full speed, undisturbed: every record once, a rate, CPU and memory of its processes, a version."""
    made = _needed(name, need)
    count = max(RECORDS // made.divided_by, 1)
    found = speed.measure(made, *at_full_speed, count)
    assert found.found._replace(out_of_order=0) == (count, count, 0, 0, 0, 0)
    assert found.rate > 0
    assert 0 < found.memory["pss_mb"] <= found.memory["rss_mb"]
    assert ("server_pss_mb" in found.memory) == ("PostgreSQL" in made.store)
    assert any(digit.isdigit() for digit in made.version())


@pytest.mark.parametrize("name", OTHERS)
def test_each_is_killed_and_goes_on(name: str, need: Need, killed: Mapping[str, Suffered]) -> None:
    """Whatever it lost: all of it adds up, no row is made up, and the last record said after the kill is stored."""
    _needed(name, need)
    print(killed[name])
    found = killed[name].found
    assert found.given >= RATE
    assert found.stored + found.lost == found.given
    assert found.foreign == 0
    assert found.stored > 0
    if name not in BACK_OFF:
        assert killed[name].last == found.given


def test_relp_with_a_disk_queue_loses_nothing(need: Need, killed: Mapping[str, Suffered]) -> None:
    """The peer that is built for it keeps what it was given: a harness that loses by itself would show here."""
    _needed("rsyslog-relp", need)
    assert killed["rsyslog-relp"].found.lost == 0


def test_one_that_loses_is_seen_at_full_speed(at_full_speed: tuple[Path, Serving, Helper]) -> None:
    """Lost, doubled and out of order are exactly what its rule makes of the numbers."""
    found = speed.measure(Loser, *at_full_speed, RECORDS, quiet=3.0).found
    careless = Careless()
    stored = [out for number in range(1, RECORDS + 1) for out in careless.take(number)]
    late = [number for number, after in zip(stored[1:], stored, strict=False) if number < after]
    assert found.lost == RECORDS - len(set(stored)) > RECORDS // DROPS - 1
    assert found.doubled == len(stored) - len(set(stored)) > 0
    assert found.out_of_order == len(late) > 0


def test_one_that_loses_is_seen_under_the_kill(killed: Mapping[str, Suffered]) -> None:
    """At least every seventh is gone, and nothing told of it."""
    found = killed["loser"].found
    assert found.lost >= found.given // DROPS
    assert (killed["loser"].told, killed["loser"].failed) == (0, 0)


def test_tabard_loses_and_doubles_nothing_under_all_kinds_of_kills(need: Need, place: Path) -> None:
    """On both engines, fed by its own socket and over syslog: broker, recorder and server killed and frozen."""
    for name in TABARDS:
        _needed(name, need)
    found = kills.torment(
        {name: PEERS[name] for name in TABARDS}, place, make_plan(3, 0.6, peace=1.0), RATE, print
    )
    for name, suffered in found.items():
        given = suffered.found.given
        assert given > RATE, name
        assert suffered.found == (given, given, 0, 0, 0, 0), name
        assert (suffered.failed, suffered.told) == (0, 0), name
