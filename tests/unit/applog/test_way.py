"""From a process into a journal with everything real but time: an agent slow, frozen, killed, full; processes that die.

What `test_delivery` supposes of client and intake is here their own doing: frames cut by a full socket, answers
that come late, a connection that is replaced, a spool file that the agent takes in.
"""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.applog.delivery import PATIENCE, SILENCE
from tabard.errors import JournalError
from tests.unit.applog.rigs import World

NARROW = 2_048
"""Bytes the kernel takes from a process whose buffer is small: less than a frame."""


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    """With an agent; below a path that is short enough for a socket."""
    caplog.set_level(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as directory:
        made = World(Path(directory))
        yield made
        made.close()


def test_a_frame_that_the_kernel_takes_piece_by_piece_arrives_though_nothing_follows_it(world: World) -> None:
    """The rest of it is sent when there is room; nobody needs the spool."""
    process = world.process(NARROW)
    process.say(3, 200_000)
    for _ in range(2_000):
        world.step(process, 0.001)
    assert (world.stored(process), process.way.delivered, world.spooled()) == ([0, 1, 2], True, [])


def test_an_answer_that_comes_along_with_the_welcome_is_heard(world: World) -> None:
    """The journal had been blocked when the process came back; it has the frame just as it greets."""
    process = world.process()
    world.step(process)
    world.journal.error = JournalError("no room")
    process.say(1)
    for _ in range(5):
        world.step(process)
    world.step(process, PATIENCE + 1)
    assert process.way.spooling
    world.journal.error = None
    for _ in range(400):
        world.step(process)
    assert (world.stored(process), process.way.delivered, world.spooled()) == ([0], True, [])


@pytest.mark.parametrize("seed", range(6))
def test_with_an_agent_that_works_nothing_touches_the_disk(world: World, seed: int) -> None:
    """Bursts, gaps, idle connections that are let go, an agent that does one thing at a time."""
    dice = random.Random(seed)
    processes = [world.process(dice.choice([0, NARROW])) for _ in range(2)]
    for _ in range(60):
        process = dice.choice(processes)
        match dice.choice(["say", "burst", "big", "gap", "rest"]):
            case "say":
                process.say(dice.randint(1, 3))
            case "burst":
                for _ in range(dice.randint(1, 60)):
                    process.say(dice.randint(1, 256))
            case "big":
                process.say(dice.randint(1, 8), 100_000)
            case "gap":
                world.now += dice.choice([1.0, 7.0, 100.0])
                process.say(1)
            case "rest":
                process.way.rest()
        for other in processes:
            for _ in range(10_000):
                world.step(other, 0.000_1, most=dice.choice([1, 100]))
                if other.way.delivered:
                    break
            assert other.way.delivered
    assert [world.stored(process) for process in processes] == [
        list(range(process.said)) for process in processes
    ]
    assert not (world.directory / "spool").exists()
    assert [process.told for process in processes] == [[], []]


ACTIONS = (
    *("say", "say", "say", "step", "step", "step", "step", "burst", "big", "long", "slow", "freeze", "thaw"),
    *("kill", "start", "start", "jfail", "jok", "exit", "rest", "die"),
)


@pytest.mark.parametrize("seed", range(16))
def test_each_record_is_stored_once_and_in_order(world: World, seed: int) -> None:
    """Whatever becomes of the agent; of a process that is killed, at least what was not in its memory alone."""
    dice = random.Random(seed)
    kept: dict[str, int] = {}
    for _ in range(dice.randint(1, 3)):
        world.process(dice.choice([0, NARROW]))
    for _ in range(dice.randint(20, 120)):
        living = [process for process in world.processes if process.living]
        process = dice.choice(living or [world.process(dice.choice([0, NARROW]))])
        match dice.choice(ACTIONS):
            case "say":
                process.say(dice.randint(1, 3))
            case "burst":
                for _ in range(dice.randint(1, 60)):
                    process.say(dice.randint(1, 256))
            case "big":
                process.say(dice.randint(1, 8), dice.choice([1_000, 200_000]))
            case "step":
                for _ in range(dice.randint(1, 10)):
                    world.step(process, dice.choice([0.001, 0.02, 0.2]))
            case "slow":
                for _ in range(dice.randint(1, 10)):
                    world.step(process, 0.02, most=1)
            case "long":
                world.step(process, dice.choice([0.6, SILENCE + 0.1, PATIENCE + 0.1, 30.0]))
            case "freeze":
                world.frozen = True
            case "thaw":
                world.frozen = False
            case "kill":
                world.kill()
            case "start":
                world.start()
            case "jfail":
                world.journal.error = JournalError("no room")
            case "jok":
                world.journal.error = None
            case "exit":
                process.end()
            case "rest":
                process.way.rest()
            case "die":
                kept[process.name] = process.die()
    world.settle(dice)
    for process in world.processes:
        stored = world.stored(process)
        if process.name in kept:
            assert stored == list(range(len(stored)))
            assert kept[process.name] <= len(stored) <= process.said
        else:
            assert stored == list(range(process.said))
            assert process.way.lost == 0
        assert process.told == sorted(set(process.told))


def test_what_a_frozen_agent_leaves_unanswered_outlives_the_process(world: World) -> None:
    """A moment later nothing is in the memory of the process alone, and nobody was given up."""
    process = world.process()
    process.say(1)
    for _ in range(10):
        world.step(process)
    world.frozen = True
    process.say(50)
    world.step(process)
    world.step(process, SILENCE + 0.1)
    assert process.way.connected
    assert process.die() == 51
    world.settle(random.Random(1))
    assert world.stored(process) == list(range(51))
