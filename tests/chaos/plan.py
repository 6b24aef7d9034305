"""What is done to each process of a fleet, and when: drawn from a seed, so that a failure can be run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

KINDS: Final = ("agent", "broker", "recorder")
_KIND_OF: Final = {
    "intake": "agent",
    "tail": "agent",
    "journal": "agent",
    "outbox": "agent",
    "broker": "broker",
    "recorder": "recorder",
    "store": "recorder",
}
"""Which process passes a fail-point, by the first part of its name."""

_DISK_POINTS: Final = frozenset(
    {
        "journal.before_write",
        "journal.after_write",
        "journal.before_sync",
        "journal.after_sync",
        "journal.before_roll",
        "intake.before_append",
        "store.before_cursor",
        "store.before_rows",
        "store.before_commit",
        "store.after_commit",
        "store.lease_taken",
        "store.retention_chunk",
    }
)
"""Where a disk may fail: there the process has to go on after an error."""
_RARE: Final = frozenset(
    {
        "journal.before_roll",
        "journal.gap_written",
        "journal.before_unlink",
        "outbox.before_commit",
        "outbox.after_commit",
        "recorder.leases_renewed",
        "store.retention_chunk",
    }
)
"""Passed so seldom that waiting for the tenth time would be long."""
_ONCE: Final = "store.lease_taken"
"""Passed when a process begins, and then only when leases change hands."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done to a process: ``what``, after ``calm`` seconds in peace, for ``hold`` seconds."""

    calm: float
    what: str
    """``kill``, ``end``, ``freeze``, ``point``, ``fill`` or ``damage``."""
    hold: float
    points: str = ""
    """For ``point``: what TABARD_FAILPOINTS says at the next start."""
    dead: bool = False
    """For ``fill`` and ``damage``: done while the process is dead, instead of while it runs."""

    def __str__(self) -> str:
        detail = self.points or ("while it is dead" if self.dead else "")
        return f"{self.calm:.2f}s {self.what} {detail} {self.hold:.2f}s".replace("  ", " ")


class Cast(NamedTuple):
    """Who is there to be tormented."""

    agents: Sequence[str]
    brokers: Sequence[str]
    recorders: Sequence[str]
    small_disk: str
    """The agent whose journal is on a disk of its own, "" for none."""
    damaged: str
    """The agent whose journal is damaged."""
    bounded: str
    """The agent whose journal may hold so little that records give way to gaps."""


Plan = Mapping[str, Sequence[Step]]


def make_plan(seed: int, cast: Cast, points: Mapping[str, str], spice: int = 2) -> Plan:
    """A plan in which one process or another is killed at each of `points` and frozen or refused at others.

    Args:
        seed: the same seed makes the same plan.
        cast: the processes.
        points: fail-points and their meanings.
        spice: how many more things are done to each process.
    """
    random = Random(seed)
    lanes: dict[str, list[Step]] = {name: [] for name in (*cast.agents, *cast.brokers, *cast.recorders)}
    names = {"agent": cast.agents, "broker": cast.brokers, "recorder": cast.recorders}
    for kind in KINDS:
        own = [point for point in sorted(points) if _KIND_OF[point.partition(".")[0]] == kind]
        random.shuffle(own)
        for number, point in enumerate(own):
            victim = names[kind][number % len(names[kind])]
            if point == "journal.gap_written":
                victim = cast.bounded
            elif point == "journal.before_unlink":
                victim = cast.small_disk
            lanes[victim].append(_point(random, point, "kill"))
    for name, lane in lanes.items():
        lane += [_spice(random, name, cast, points) for _ in range(spice)]
        if name == cast.small_disk:
            lane += [_calm(random, "fill", (0.5, 2.0), dead=dead) for dead in (False, True)]
        if name == cast.damaged:
            lane += [_calm(random, "damage", (0.2, 0.6), dead=dead) for dead in (False, False, True, True)]
        random.shuffle(lane)
        # What there is to be deleted has been deleted before long.
        lane.sort(key=lambda step: "retention" not in step.points)
    return lanes


def _spice(random: Random, name: str, cast: Cast, points: Mapping[str, str]) -> Step:
    what = random.choice(("kill", "end", "freeze", "freeze", "point"))
    if what != "point":
        return _calm(random, what, (0.1, 2.5))
    kind = "agent" if name in cast.agents else "broker" if name in cast.brokers else "recorder"
    own = [point for point in sorted(points) if _KIND_OF[point.partition(".")[0]] == kind]
    point = random.choice([point for point in own if point != "journal.gap_written"])
    action = random.choice(("stop", "error")) if point in _DISK_POINTS else "stop"
    return _point(random, point, action)


def _point(random: Random, point: str, action: str) -> Step:
    at = random.randint(1, 2) if point in _RARE else random.choice((1, 2, 5, 15))
    at = 1 if point == _ONCE else at
    return _calm(random, "point", (0.1, 1.0), points=f"{point}={action}@{at}")


def _calm(
    random: Random, what: str, hold: tuple[float, float], *, points: str = "", dead: bool = False
) -> Step:
    return Step(random.uniform(0.2, 1.2), what, random.uniform(*hold), points, dead)


def show(plan: Plan) -> str:
    """The plan, a line for each process."""
    return "\n".join(f"  {name}: " + "; ".join(map(str, lane)) for name, lane in plan.items())
