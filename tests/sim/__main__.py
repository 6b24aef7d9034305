"""Run seeds alone: ``python -m tests.sim FIRST [LAST]``."""

from __future__ import annotations

import sys

from tests.sim.check import Violation, check
from tests.sim.world import World


def main(arguments: list[str]) -> int:
    """Run the seeds from FIRST to LAST and print what is violated."""
    first = int(arguments[0])
    last = int(arguments[1]) if len(arguments) > 1 else first
    bad = 0
    for seed in range(first, last + 1):
        world = World(seed)
        try:
            world.run()
            check(world)
        except Violation as violation:
            bad += 1
            print(f"seed {seed}: {violation}\n  {world.plan}\n  {world.done}")
    print(f"{bad} of {last - first + 1} violated")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
