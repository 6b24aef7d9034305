"""Carries out a plan: all processes at once, each step by step, in one thread."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from tests.chaos import disk
from tests.chaos.fleet import Fleet
from tests.chaos.plan import Plan, Step
from tests.chaos.worker import Worker

REACH: Final = 20.0
"""Seconds a process gets to come to a fail-point. What is done to the others may keep it from it: then it is tried again."""
TRIES: Final = 3
ENDING: Final = 20.0
"""Seconds a process gets to end in order."""
_LOOK: Final = 0.01


class Wait(NamedTuple):
    """A step goes on when `until` holds, or after `longest` seconds."""

    longest: float
    until: Callable[[], bool] = lambda: False


class Torment:
    """One run of a plan over a fleet. `diary` says what happened when, `missed` which fail-points did not come at a try."""

    def __init__(self, fleet: Fleet, plan: Plan, seed: int) -> None:
        self._fleet = fleet
        self._plan = plan
        self._random = Random(seed)
        self._began = time.monotonic()
        self.diary: list[str] = []
        self.missed: list[str] = []
        self.died_at: dict[str, int] = {}
        """How many processes ended or stopped at a fail-point."""
        self._unreached: dict[str, bool] = {}
        """By process, whether its last step should have killed it and did not."""
        self._deeds: dict[str, Callable[[Worker, Step], Iterator[Wait]]] = {
            "kill": self._kill,
            "end": self._end,
            "freeze": self._freeze,
            "point": self._point,
            "fill": self._fill,
            "damage": self._damage,
        }

    def run(self) -> None:
        """Do everything in the plan, and leave all running and well."""
        lanes = {name: self._lane(self._fleet.crew[name], steps) for name, steps in self._plan.items()}
        waits = {name: (self._now(), Wait(0.0)) for name in lanes}
        while lanes:
            for name in list(lanes):
                since, wait = waits[name]
                if self._now() - since < wait.longest and not wait.until():
                    continue
                following = next(lanes[name], None)
                if following is None:
                    del lanes[name]
                else:
                    waits[name] = (self._now(), following)
            for worker in self._fleet.crew.values():
                worker.poll()
            time.sleep(_LOOK)  # a stopped process wakes nobody: it has to be looked for
        for worker in self._fleet.crew.values():
            worker.thaw()
            if not worker.poll():
                worker.start()

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _note(self, worker: Worker, text: str) -> None:
        self.diary.append(f"{self._now():7.2f} {worker.name}: {text}")

    # --- the steps -------------------------------------------------------------------------

    def _lane(self, worker: Worker, steps: Sequence[Step]) -> Iterator[Wait]:
        tried: Counter[Step] = Counter()
        waiting = deque(steps)
        while waiting:
            step = waiting.popleft()
            yield Wait(step.calm)
            if not worker.poll():
                self._note(worker, "was found dead")
                worker.start()
            self._note(worker, f"{step.what} {step.points}")
            yield from self._deeds[step.what](worker, step)
            tried[step] += 1
            if self._unreached.pop(worker.name, None) and tried[step] < TRIES:
                waiting.append(step)

    def _kill(self, worker: Worker, step: Step) -> Iterator[Wait]:
        worker.kill()
        yield Wait(step.hold)
        worker.start()

    def _end(self, worker: Worker, step: Step) -> Iterator[Wait]:
        worker.ask_to_end()
        yield Wait(ENDING, lambda: not worker.poll())
        if worker.poll():
            worker.crashes.append(f"{worker.name} did not end within {ENDING:.0f} s of SIGTERM")
            worker.kill()
        yield Wait(step.hold)
        worker.start()

    def _freeze(self, worker: Worker, step: Step) -> Iterator[Wait]:
        worker.freeze()
        yield Wait(step.hold)
        worker.thaw()

    def _point(self, worker: Worker, step: Step) -> Iterator[Wait]:
        point, _, action = step.points.partition("=")
        worker.kill()
        worker.start(step.points)
        if action.startswith("kill"):
            yield Wait(REACH, lambda: not worker.poll())
            self._reached(worker, point, reached=not worker.poll())
            self._unreached[worker.name] = worker.poll()
            yield Wait(step.hold)
            worker.kill()
            worker.start()
        elif action.startswith("stop"):
            yield Wait(REACH, lambda: worker.stopped)
            reached = worker.stopped
            self._reached(worker, point, reached=reached)
            yield Wait(step.hold)
            worker.thaw()
            if not reached:  # it would stop at some later time
                worker.kill()
                worker.start()
        else:
            yield Wait(step.hold)

    def _reached(self, worker: Worker, point: str, *, reached: bool) -> None:
        if reached:
            self.died_at[point] = self.died_at.get(point, 0) + 1
            self._note(worker, f"is at {point}")
        else:
            self.missed.append(f"{worker.name} did not come to {point}")
            self._note(worker, f"did not come to {point}")

    def _fill(self, worker: Worker, step: Step) -> Iterator[Wait]:
        journal = self._fleet.homes[worker.name].journal
        disk.fill(journal)
        if step.dead:
            worker.kill()
            yield Wait(0.1)
            worker.start()
        yield Wait(step.hold)
        disk.free(journal)

    def _damage(self, worker: Worker, step: Step) -> Iterator[Wait]:
        if step.dead:
            worker.kill()
        where = disk.damage(self._fleet.segments(worker.name), self._random)
        self._note(worker, f"damaged {where}" if where else "had no closed segment to be damaged")
        yield Wait(step.hold)
        if step.dead:
            worker.start()
