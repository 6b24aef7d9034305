"""One seed from beginning to end, alone: ``python -m tests.sim.run SEED [FAULT,FAULT...]`` prints what happened."""

from __future__ import annotations

import sys
from dataclasses import replace

from tests.sim.check import Violation, check
from tests.sim.plan import Plan
from tests.sim.world import World


def simulate(seed: int, plan: Plan | None = None) -> World:
    """Run a world and check it.

    Raises:
        Violation: with the seed, the plan, the faults that struck and how to run it alone.
    """
    world = World(seed, plan)
    try:
        world.run()
        check(world)
    except Violation as violation:
        alone = f"python -m tests.sim.run {seed}" if plan is None else "the plan is the test's own"
        raise Violation(f"seed {seed} ({alone}): {violation}\n{world.plan}\nfaults: {world.done}") from None
    return world


def _main(seed: int, faults: str) -> None:
    world = World(seed)
    if faults:
        world.plan = replace(world.plan, faults=tuple(faults.split(",")))
    world.run()
    print(world.plan, *world.done, sep="\n")
    sink = world.recorder.sink
    print("sink:", dict(sink.counters) if sink else None, sink.credit() if sink else None)
    for node in world.nodes:
        print(node.key.node, dict(node.publisher.counters) if node.publisher else None)
        for stream, journal in node.journals.items():
            print(" ", stream, [(span.epoch.hex()[:6], span.oldest, span.last) for span in journal.spans()])
    check(world)
    print("all accounted for")


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
