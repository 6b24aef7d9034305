"""Hosts in virtual time, as bad as they get: they fail, fall silent and come back, and who upgrades them is killed at any moment."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final

from tabard.ops.hosts.fleet import plan as states
from tabard.ops.hosts.fleet.core import Ask, Message
from tabard.ops.hosts.fleet.plan import ROLLBACK, UPGRADE, Course, Plan, of_plain, plain, planned
from tabard.ops.hosts.fleet.ports import Health, Standing

SECOND: Final = 10**9
OLDER: Final = "1-older"
OLD: Final = "2-old"
NEW: Final = "3-new"
LONGEST: Final = 3600 * SECOND
"""Of a course with a dozen hosts: longer is a hang."""


class Broken(AssertionError):
    """What was promised is not so."""


@dataclass
class Machine:
    """One host, as it really is."""

    current: str | None = OLD
    previous: str | None = OLDER
    releases: set[str] = field(default_factory=lambda: {OLD, OLDER})
    bad: frozenset[str] = frozenset()
    """Releases that never run well there."""
    flaps: frozenset[str] = frozenset()
    """Releases that run well every other time one looks."""
    slow: int = 0
    """Nanoseconds after a switch until it is well."""
    away: tuple[tuple[int, int], ...] = ()
    """When it cannot be reached."""
    refuses: frozenset[str] = frozenset()
    """What it fails at: "stage", or a release to be switched to."""
    gone: frozenset[str] = frozenset()
    """Releases with which it cannot be reached any more."""
    switched: int = 0
    looks: int = 0
    proven: str | None = None
    """The release that was seen well in two looks in a row."""
    broke_off: bool = False
    seen_well: tuple[str, int] | None = None


class World:
    """A fleet, and one course or several over it."""

    def __init__(self, seed: int, core: ModuleType) -> None:
        self.random: Final = random.Random(seed)
        self.core: Final = core
        self.now = 1000 * SECOND
        draw = self.random
        names = tuple(f"h{number}" for number in range(draw.randint(1, 12)))
        self.machines: Final = {name: self._machine() for name in names}
        self.plan: Plan = Plan(
            UPGRADE,
            names,
            NEW,
            canary=draw.choice((0, 1, 1, 2, 3)),
            batch=draw.choice((1, 2, 3, 5, 12)),
            gate=draw.choice((0, 20, 60, 60)) * SECOND,
            max_failed=draw.choice((0, 0, 1, 2, 12)),
        )
        self.kept: Course | None = None
        self.open: set[str] = set()
        """Hosts that were asked something, and with which the world is not through."""
        self.crashes = draw.choice((0, 0, 1, 2, 4))
        self.count = 0

    def _machine(self) -> Machine:
        draw = self.random
        machine = Machine()
        kind = draw.choice(
            ("sound",) * 5
            + ("bad", "flaps", "slow", "away", "refuses", "gone", "dead", "new", "bare", "only")
        )
        match kind:
            case "bad":
                machine.bad = frozenset({NEW})
            case "flaps":
                machine.flaps = frozenset({NEW})
            case "slow":
                machine.slow = draw.choice((5, 15, 90)) * SECOND
            case "away":
                start = self.now + draw.randrange(200) * SECOND
                machine.away = ((start, start + draw.choice((2, 20, 400)) * SECOND),)
            case "refuses":
                machine.refuses = frozenset(
                    {draw.choice(("stage", NEW))} | ({OLD} if draw.random() < 0.2 else set())
                )
            case "gone":
                machine.gone = frozenset({NEW})
            case "dead":
                machine.away = ((0, 1 << 62),)
            case "new":
                machine.current, machine.previous = NEW, OLD
                machine.releases.add(NEW)
            case "bare":
                machine.current = machine.previous = None
                machine.releases = set()
            case "only":
                machine.previous = None
            case _:
                pass
        return machine

    # --- one course ---------------------------------------------------------------------------

    def run(self) -> Course:
        """Upgrade, through all crashes; how it ended."""
        course = planned(self.plan)
        while True:
            end = self._run(course, resume=self.kept is not None)
            if end is not None:
                return end
            assert self.kept is not None
            course = of_plain(json.loads(json.dumps(plain(self.kept))))

    def look_again(self, course: Course) -> Course:
        """Go on with those that were lost, once all can be reached."""
        self.crashes, self.open = 0, set()
        for machine in self.machines.values():
            machine.away, machine.gone, machine.broke_off = (), frozenset(), True
        found = self._run(course, resume=True)
        assert found is not None
        if not found.over:
            raise Broken(f"{found.names(*states.LEFT)} are left though all can be reached")
        return found

    def take_back(self) -> Course:
        """Roll all back that run what was brought, without a crash: the way out of an upgrade that was interrupted."""
        self.kept, self.crashes, self.open = None, 0, set()
        self.plan = self.plan._replace(kind=ROLLBACK, canary=0, max_failed=len(self.machines))
        course = self._run(planned(self.plan), resume=False)
        assert course is not None
        return course

    def _run(self, course: Course, *, resume: bool) -> Course | None:
        """One process of it; None: it was killed."""
        draw = self.random
        left = draw.randrange(60) if self.crashes > 0 else -1
        self.crashes -= 1
        course, asks = (self.core.resumed if resume else self.core.begun)(course, self.now)
        before = {name: (each.current, each.previous) for name, each in self.machines.items()}
        if not resume:
            self.initial = before
        self.kept = course
        flying: list[tuple[int, int, Ask, bool]] = []
        started = self.now
        while True:
            for ask in asks:
                self.count += 1
                flying.append((max(ask.at, self.now) + draw.randrange(1, 5 * SECOND), self.count, ask, False))
                self._asked(course, ask)
            if not flying:
                return course
            if left == 0:
                for _, _, ask, _ in flying:  # what is asked already may still be done
                    if draw.random() < 0.5:
                        self._answer(ask)
                return None
            left -= 1
            flying.sort(key=lambda each: each[:2])
            at, _, ask, _ = flying.pop(0)
            self.now = max(self.now, at)
            if self.now - started > LONGEST:
                raise Broken(f"{course.names(*states.ACTIVE)} are under way for an hour")
            message = self._answer(ask)
            course, asks = self.core.heard(course, message, self.now)
            self.kept = course
            if course.hosts[ask.host].state not in states.ACTIVE:
                self.open.discard(ask.host)

    def _asked(self, course: Course, ask: Ask) -> None:
        """What must hold whenever something is asked."""
        host = course.hosts[ask.host]
        if ask.what == states.LOOKING:
            others = {name for name in self.open if course.hosts[name].batch != host.batch}
            if others:
                raise Broken(f"{ask.host} is begun while {others} of another batch are under way")
        self.open.add(ask.host)
        if len(self.open) > course.plan.batch:
            raise Broken(f"{len(self.open)} at once, {course.plan.batch} allowed")
        if ask.what == states.SWITCHING and self.machines[ask.host].current != ask.release:
            self._may_switch(course, ask)

    def _may_switch(self, course: Course, ask: Ask) -> None:
        wrong = [
            name
            for name, host in course.hosts.items()
            if host.state in states.WRONG or host.state in {states.RETURNING, states.SETTLING}
        ]
        if host_failed := len(wrong) > course.plan.max_failed:
            raise Broken(f"{ask.host} is switched when {wrong} have failed: {host_failed}")
        if not course.plan.gate or course.plan.kind == ROLLBACK:
            return
        if not course.hosts[ask.host].canary:
            proven = [
                name for name, each in self.machines.items() if each.proven == NEW and name in course.hosts
            ]
            if len(proven) < course.plan.canary:
                raise Broken(
                    f"{ask.host} is switched when {proven} are proven of {course.plan.canary} canaries"
                )
        elif any(course.hosts[name].canary for name in wrong):
            raise Broken(f"{ask.host} is switched after a canary of {wrong} failed")

    # --- hosts --------------------------------------------------------------------------------

    def _answer(self, ask: Ask) -> Message:
        """What the host does and answers, now."""
        machine = self.machines[ask.host]
        gone = machine.current in machine.gone
        if gone or any(start <= self.now < end for start, end in machine.away):
            return Message(ask.host, away="no answer")
        match ask.what:
            case states.LOOKING:
                return Message(
                    ask.host,
                    standing=Standing(machine.current, machine.previous, tuple(sorted(machine.releases))),
                )
            case states.STAGING:
                if "stage" in machine.refuses:
                    return Message(ask.host, failed="no room")
                machine.releases &= {machine.current, machine.previous}  # what is neither goes, to make room
                machine.releases.add(NEW)
                answer = Message(ask.host, staged=NEW)
            case states.SWITCHING | states.RETURNING:
                answer = self._switch(machine, ask)
            case _:
                return Message(ask.host, health=self._health(machine, ask))
        if self.random.random() < 0.03:  # done there, and nobody hears of it
            machine.broke_off = True
            return Message(ask.host, away="broke off")
        return answer

    def _switch(self, machine: Machine, ask: Ask) -> Message:
        if ask.release not in machine.releases or (ask.previous or ask.release) not in machine.releases:
            raise Broken(
                f"{ask.host} is switched to {ask.release} with {ask.previous}, and has {machine.releases}"
            )
        if ask.release in machine.refuses:
            return Message(ask.host, failed="its roles do not start")
        if machine.current != ask.release:
            machine.switched, machine.seen_well = self.now, None
        machine.current, machine.previous = ask.release, ask.previous
        return Message(ask.host, switched=True)

    def _health(self, machine: Machine, ask: Ask) -> Health:
        machine.looks += 1
        release = machine.current
        well = (
            release == ask.release
            and release not in machine.bad
            and self.now >= machine.switched + machine.slow
            and not (release in machine.flaps and machine.looks % 2)
        )
        if not well:
            machine.seen_well = None
            return Health(ok=False, reasons=("the agent does not run",))
        assert release is not None
        if machine.seen_well is not None and machine.seen_well[0] == release:
            machine.proven = release
        machine.seen_well = (release, self.now)
        return Health(ok=True)

    # --- how it has to end --------------------------------------------------------------------

    def judge(self, course: Course) -> None:
        """Raises Broken where what is said is not what is."""
        for name, host in course.hosts.items():
            machine = self.machines[name]
            self._judge_one(course, name, host, machine)
            if machine.current is not None and machine.current not in machine.releases:
                raise Broken(f"{name} has nothing that runs")
        wrong = [host for host in course.hosts.values() if host.state in states.WRONG]
        stopped = len(wrong) > course.plan.max_failed or any(
            host.canary or host.state == states.BROKEN for host in wrong
        )
        if stopped != course.stopped or (course.names(states.HELD) and not stopped):
            raise Broken("it was stopped for nothing, or was not stopped")

    def _judge_one(self, course: Course, name: str, host: states.Host, machine: Machine) -> None:
        upgrade = course.plan.kind == UPGRADE
        has = (machine.current, machine.previous)
        match host.state:
            case states.DONE:
                former, older = self.initial[name]
                wanted = (NEW, former) if upgrade else (older, None)
                proven = machine.proven == machine.current or not course.plan.gate
                if has != wanted or not proven or (host.release in machine.bad and course.plan.gate):
                    raise Broken(f"{name} is called done, and has {has}: {machine}")
                if upgrade and host.former == NEW:
                    raise Broken(f"{name} goes back to what it runs")
            case states.ALREADY:
                if machine.current != NEW:
                    raise Broken(f"{name} has {has}, and not the release")
            case states.BACK:
                if has != self.initial[name] or has[0] != host.former:
                    raise Broken(f"{name} was put back, and has {has}, not {self.initial[name]}")
            case states.LOST:
                if machine.current not in {host.release, host.former}:
                    raise Broken(f"{name} has {has}")
            case states.BROKEN:
                if host.former not in machine.refuses:
                    raise Broken(f"{name} could have been put back")
            case states.UNREACHABLE | states.HELD | states.FAILED | states.PASSED | states.ABSENT:
                if has != self.initial[name]:
                    raise Broken(f"{name} is {host.state}, and has {has}, not {self.initial[name]}")
            case _:
                raise Broken(f"{name} is left {host.state}")
        troubles = (machine.bad, machine.flaps, machine.away, machine.slow, machine.refuses, machine.gone)
        sound = not any(troubles) and not machine.broke_off
        if sound and machine.releases and host.state not in {*states.WELL, states.HELD} and upgrade:
            raise Broken(f"{name} is sound, and {host.state}: {host.reasons}")
