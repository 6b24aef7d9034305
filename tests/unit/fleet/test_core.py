"""The core that upgrades a fleet: drawn worlds in which all goes wrong, and bugs that they have to find."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Final

import pytest

from tabard.ops.hosts.fleet import core
from tabard.ops.hosts.fleet import plan as states
from tests.unit.fleet.world import Broken, World

SEEDS: Final = range(1, 801)
BUGS: Final = {
    "the next batch does not wait for the gate": (
        "while not course.interrupted and not course.count(ACTIVE):",
        "while not course.interrupted and not course.count(ACTIVE - {states.PROVING}):",
    ),
    "one more at once": ("else course.plan.batch\n", "else course.plan.batch + 1\n"),
    "a canary is no canary": ("canaries > 0)", "False)"),
    "what fails its gate stays": (
        "return _returned(course, host, now), now",
        "return host._replace(state=states.DONE), now",
    ),
    "it is put back without what it would go back to": (
        'release, previous = host.former or "", host.fallback',
        'release, previous = host.former or "", host.release',
    ),
    "one look that finds it well is enough": ("LOOKS: Final = 2", "LOOKS: Final = 1"),
    "what was being switched is taken for not begun": (
        "if host.state == states.STAGING:",
        "if host.state in {states.STAGING, states.SWITCHING}:",
    ),
    "who is lost was never begun": (
        "states.LOST if message.away else states.BROKEN",
        "states.UNREACHABLE if message.away else states.BROKEN",
    ),
    "who falls silent while it is switched was not touched": (
        "return _returned(course, host._replace(reasons=(message.away or message.failed,)), now), now",
        "return _untouched(host, message), now",
    ),
    "those of the same batch are switched after one failed": (
        "        return host._replace(state=states.ALREADY, release=host.former), now\n    if course.stopped:",
        "        return host._replace(state=states.ALREADY, release=host.former), now\n    if False:",
    ),
    "patience begins again with each try": (
        "return host._replace(reasons=(message.away,)), now + PAUSE",
        "return host._replace(reasons=(message.away,), until=now + PATIENCE), now + PAUSE",
    ),
    "a rollback goes on to what it came from": (
        "return _switched_to(course, host, found.previous, now)",
        'return _switched_to(course, host, found.current or "", now)',
    ),
    "what was under way when it died is forgotten": ("if again.state in ACTIVE:", "if False:"),
}


def _passed(seed: int, module: ModuleType = core) -> World:
    world = World(seed, module)
    course = world.run()
    world.judge(course)
    if not course.over:
        world.judge(world.look_again(course))
    world.judge(world.take_back())
    return world


def _all_passed(module: ModuleType) -> None:
    for seed in SEEDS:
        _passed(seed, module)


def test_a_fleet_ends_in_a_definite_state_whatever_breaks() -> None:
    """Never more at once than allowed, never past a gate, each host with what is said of it; also after crashes, and taken back."""
    ended: dict[str, int] = {}
    for seed in SEEDS:
        try:
            world = _passed(seed)
        except (Broken, ValueError) as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        assert world.kept is not None
        for host in world.kept.hosts.values():
            ended[host.state] = ended.get(host.state, 0) + 1
    assert {states.DONE, states.PASSED, states.UNREACHABLE, states.ABSENT} <= ended.keys()


def test_worlds_reach_every_end() -> None:
    """Else they would show nothing."""
    reached = {host.state for seed in SEEDS for host in World(seed, core).run().hosts.values()}
    assert reached == states.WELL | states.WRONG | {
        states.PASSED,
        states.UNREACHABLE,
        states.ABSENT,
        states.HELD,
    } - {states.PASSED}


@pytest.mark.parametrize("bug", BUGS)
def test_worlds_find_seeded_bugs(bug: str) -> None:
    """Each shows in some world."""
    right, wrong = BUGS[bug]
    source = inspect.getsource(core)
    assert source.count(right) == 1, right
    module = ModuleType("seeded")
    sys.modules["seeded"] = module  # where a NamedTuple looks
    exec(compile(source.replace(right, wrong), bug, "exec"), module.__dict__)
    with pytest.raises((Broken, ValueError, KeyError)):
        _all_passed(module)
