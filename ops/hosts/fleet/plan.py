"""What is wanted of a fleet, and where each of its hosts is on the way. Nothing here touches a host or a disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

UPGRADE: Final = "upgrade"
ROLLBACK: Final = "rollback"

WAITING: Final = "waiting"
"""Its batch has not begun."""
LOOKING: Final = "looking"
"""It is asked what it has."""
STAGING: Final = "staging"
"""The release is laid beside the one that runs."""
SWITCHING: Final = "switching"
"""From here on it may run either of the two, until it says so."""
PROVING: Final = "proving"
"""It was switched, and its gate is not over."""
RETURNING: Final = "returning"
"""It is put back to what it ran."""
SETTLING: Final = "settling"
"""It was put back, and is looked at whether it is well."""

DONE: Final = "done"
"""It runs the release, and has passed its gate."""
ALREADY: Final = "already"
"""It ran the release before: nothing was done."""
PASSED: Final = "passed over"
"""There is nothing to be done to it; its reasons say why."""
UNREACHABLE: Final = "unreachable"
"""It was not reached, and runs what it ran."""
ABSENT: Final = "not installed"
HELD: Final = "held"
"""It was not begun, or not switched, since others failed before."""
FAILED: Final = "failed"
"""It failed before it was switched, and runs what it ran."""
BACK: Final = "put back"
"""It failed its switch or its gate, and runs what it ran before."""
BROKEN: Final = "broken"
"""It could not be put back: somebody has to look."""
LOST: Final = "lost"
"""It did not answer any more after it was to be switched: it may run either release."""

ACTIVE: Final = frozenset({LOOKING, STAGING, SWITCHING, PROVING, RETURNING, SETTLING})
WELL: Final = frozenset({DONE, ALREADY})
WRONG: Final = frozenset({FAILED, BACK, BROKEN, LOST})
"""What counts as a failure of the release."""
LEFT: Final = frozenset({WAITING, LOST}) | ACTIVE
"""What can be gone on with."""
STATES: Final = ACTIVE | WELL | WRONG | {WAITING, PASSED, UNREACHABLE, ABSENT, HELD}


class Plan(NamedTuple):
    """What is to be done to which hosts, and how carefully."""

    kind: str
    """UPGRADE or ROLLBACK."""
    hosts: tuple[str, ...]
    """In the order they are taken."""
    release: str = ""
    """Of an upgrade: the ID it brings. Of a rollback: only hosts that run this one are taken back, or "" for all."""
    canary: int = 1
    """So many have to pass their gate, one batch of them, before any other host is begun; 0: none."""
    batch: int = 4
    """At most so many are under way at once."""
    gate: int = 120 * 10**9
    """Nanoseconds within which a host has to be well after its switch; 0: it need not be."""
    max_failed: int = 0
    """More failures than that stop the rest."""
    brought: str = ""
    """What the upgrade before has brought."""


class Host(NamedTuple):
    """Where one host is on the way."""

    state: str = WAITING
    batch: int = 0
    """In which it was begun, counted from 1."""
    canary: bool = False
    former: str | None = None
    """The release that it ran when it was looked at."""
    fallback: str | None = None
    """The one that it would have gone back to then."""
    release: str | None = None
    """The one that it is to run."""
    since: int = 0
    """When it was switched, nanoseconds UTC."""
    until: int = 0
    """When patience with what is under way ends, likewise."""
    well: int = 0
    """Looks in a row that found it well."""
    again: bool = False
    """Lost, and to be tried again before anything else is begun."""
    reasons: tuple[str, ...] = ()
    """Why it is not done."""


class Course(NamedTuple):
    """A plan and how far it is."""

    plan: Plan
    hosts: Mapping[str, Host]
    batch: int = 0
    """The one that was begun last."""
    interrupted: bool = False
    """Nothing more is begun by this process. It is not kept."""

    def count(self, states: frozenset[str]) -> int:
        """How many hosts are in one of these."""
        return sum(host.state in states for host in self.hosts.values())

    def names(self, *states: str) -> list[str]:
        """The hosts in these, in their order."""
        return [name for name in self.plan.hosts if self.hosts[name].state in states]

    @property
    def over(self) -> bool:
        """Whether there is nothing to go on with."""
        return not self.count(LEFT)

    @property
    def stopped(self) -> bool:
        """Whether too much went wrong for a host to be begun or switched."""
        wrong = [host for host in self.hosts.values() if host.state in WRONG]
        wrong += [host for host in self.hosts.values() if host.state in {RETURNING, SETTLING}]
        return (
            len(wrong) > self.plan.max_failed
            or any(host.canary for host in wrong)
            or any(host.state == BROKEN for host in wrong)
        )

    def having(self, name: str, host: Host) -> Course:
        """With one host as it is now."""
        return self._replace(hosts={**self.hosts, name: host})


def brought(last: Course | None) -> str:
    """What a rollback of all takes back, and nothing older; "" where nothing is known. ``last`` is the last course.

    An upgrade of which nothing is left, since all was put back, has brought nothing: then it is what the one before brought.
    """
    if last is None:
        return ""
    there = DONE, ALREADY, SWITCHING, PROVING, RETURNING, LOST, BROKEN
    return last.plan.release if last.plan.kind == UPGRADE and last.names(*there) else last.plan.brought


def planned(plan: Plan) -> Course:
    """A course that has not begun."""
    return Course(plan, {name: Host() for name in plan.hosts})


def plain(course: Course) -> dict[str, Any]:
    """As it is kept."""
    hosts = {name: host._asdict() for name, host in course.hosts.items()}
    return {"plan": course.plan._asdict(), "hosts": hosts, "batch": course.batch}


def of_plain(content: Mapping[str, Any]) -> Course:
    """What `plain` has made. Raises KeyError, TypeError or ValueError for anything else."""
    plan = Plan(**{**content["plan"], "hosts": tuple(content["plan"]["hosts"])})
    hosts = {
        str(name): Host(**{**host, "reasons": tuple(host["reasons"])})
        for name, host in content["hosts"].items()
    }
    strange = {host.state for host in hosts.values()} - STATES
    if strange or set(plan.hosts) != hosts.keys() or plan.kind not in {UPGRADE, ROLLBACK}:
        raise ValueError(f"no course: {sorted(strange) or plan.kind}")
    return Course(plan, hosts, int(content["batch"]))
