"""What is done next to a fleet: (course, message, now) -> (course, what to ask of hosts). Nothing here touches a host or a disk.

Of each host that is under way one thing is asked at a time, and its answer is the next message about it. What is asked
is noted in the course before it is asked, and names where to go to: asked twice it does no more than once. So a course that was kept and is read
again by another process goes on by asking again what was asked last (`resumed`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.ops.hosts.fleet import plan as states
from tabard.ops.hosts.fleet.plan import ACTIVE, UPGRADE, Course, Host
from tabard.ops.hosts.fleet.ports import Health, Standing

SECOND: Final = 10**9
PAUSE: Final = SECOND
"""Between two looks at a host that is not well, or two tries to reach one that may be switched."""
STEADY: Final = 2 * SECOND
"""Between the two looks in a row that have to find a host well: one that starts over and over is well now and then."""
LOOKS: Final = 2
PATIENCE: Final = 30 * SECOND
"""At least so long is tried to reach a host that may be switched, however short the gate is."""


class Ask(NamedTuple):
    """What is to be asked of a host, not before ``at``."""

    what: str
    """The state that it answers: LOOKING, STAGING, SWITCHING, PROVING, RETURNING or SETTLING."""
    host: str
    release: str = ""
    previous: str | None = None
    since: int = 0
    at: int = 0


class Message(NamedTuple):
    """What a host answered to the last that was asked of it, or that it did not."""

    host: str
    standing: Standing | None = None
    staged: str | None = None
    switched: bool = False
    health: Health | None = None
    away: str = ""
    """Why it was not reached."""
    failed: str = ""
    """Why it was not done."""


def begun(course: Course, now: int) -> tuple[Course, list[Ask]]:
    """The first that is asked."""
    return _onwards(course, now)


def resumed(course: Course, now: int) -> tuple[Course, list[Ask]]:
    """Go on with a course whose process is no more: what was under way is asked again, each with all of its patience."""
    asks: list[Ask] = []
    for name, host in course.hosts.items():
        again = host
        if host.state == states.STAGING:  # what it has may be another by now
            again = host._replace(state=states.LOOKING)
        elif host.state == states.LOST:
            again = host._replace(again=True)
        elif host.state == states.SWITCHING and course.stopped:
            again = host._replace(state=states.RETURNING)
        if again.state in ACTIVE:
            again = again._replace(until=now + _patience(course, again), well=0)
            asks.append(_ask(course, name, again, now))
        course = course.having(name, again)
    course, more = _onwards(course, now)
    return course, asks + more


def interrupted(course: Course) -> Course:
    """From here on nothing is asked; answers to what was asked are still noted."""
    return course._replace(interrupted=True)


def heard(course: Course, message: Message, now: int) -> tuple[Course, list[Ask]]:
    """Go on by an answer. Raises ValueError for one to what was not asked."""
    name = message.host
    host = course.hosts[name]
    if host.state not in ACTIVE:
        raise ValueError(f"{name} is {host.state}, and was asked nothing")
    host, at = _ANSWERS[host.state](course, host, message, now)
    course = course.having(name, host)
    if host.state in ACTIVE:
        return course, [] if course.interrupted else [_ask(course, name, host, at)]
    return _onwards(course, now)


def _onwards(course: Course, now: int) -> tuple[Course, list[Ask]]:
    """Begin the next batch where all of the last one are through."""
    asks: list[Ask] = []
    while not course.interrupted and not course.count(ACTIVE):
        lost = [name for name, host in course.hosts.items() if host.again]
        if lost:
            for name in lost[: course.plan.batch]:
                host = _returned(course, course.hosts[name]._replace(again=False), now)
                course = course.having(name, host)
                asks.append(_ask(course, name, host, now))
            break
        waiting = course.names(states.WAITING)
        if course.stopped:
            for name in waiting:
                course = course.having(name, course.hosts[name]._replace(state=states.HELD))
            break
        if not waiting:
            break
        proven = sum(host.canary and host.state == states.DONE for host in course.hosts.values())
        canaries = course.plan.canary - proven
        size = min(canaries, course.plan.batch) if canaries > 0 else course.plan.batch
        course = course._replace(batch=course.batch + 1)
        for name in waiting[:size]:
            host = Host(states.LOOKING, course.batch, canaries > 0)
            course = course.having(name, host)
            asks.append(_ask(course, name, host, now))
    return course, asks


def _ask(course: Course, name: str, host: Host, at: int) -> Ask:
    release = host.release or ""
    previous = host.former if course.plan.kind == UPGRADE else None  # taken back twice is not brought again
    if host.state in {states.RETURNING, states.SETTLING}:
        release, previous = host.former or "", host.fallback
    return Ask(host.state, name, release, previous, host.since, at)


def _patience(course: Course, host: Host) -> int:
    proved = host.state in {states.PROVING, states.SETTLING}
    return course.plan.gate if proved else max(course.plan.gate, PATIENCE)


def _looking(course: Course, host: Host, message: Message, now: int) -> tuple[Host, int]:
    if message.standing is None:
        return _untouched(host, message), now
    found = message.standing
    host = host._replace(former=found.current, fallback=found.previous)
    if found.current is None:
        return _because(host, states.ABSENT, "no release is installed there"), now
    if course.plan.kind == UPGRADE:
        if found.current == course.plan.release:
            return host._replace(state=states.ALREADY, release=found.current), now
        if course.stopped:
            return host._replace(state=states.HELD), now
        return host._replace(state=states.STAGING), now
    return _taken_back(course, host, found, now), now


def _taken_back(course: Course, host: Host, found: Standing, now: int) -> Host:
    only = course.plan.release
    if only and found.current != only:
        return _because(host, states.PASSED, f"it runs {found.current}, and not {only}")
    if found.previous is None:
        return _because(host, states.PASSED, f"it runs {found.current}, and has nothing to go back to")
    if found.previous not in found.releases:
        return _because(
            host, states.FAILED, f"{found.previous}, which it ran before, does not lie there any more"
        )
    if course.stopped:
        return host._replace(state=states.HELD)
    return _switched_to(course, host, found.previous, now)


def _staging(course: Course, host: Host, message: Message, now: int) -> tuple[Host, int]:
    if message.staged is None:
        return _untouched(host, message), now
    if message.staged == host.former:
        return host._replace(state=states.ALREADY, release=host.former), now
    if course.stopped:
        return host._replace(state=states.HELD), now
    return _switched_to(course, host, message.staged, now), now


def _switched_to(course: Course, host: Host, release: str, now: int) -> Host:
    host = host._replace(state=states.SWITCHING, release=release, since=now)
    return host._replace(until=now + _patience(course, host))


def _switching(course: Course, host: Host, message: Message, now: int) -> tuple[Host, int]:
    if message.switched:
        host = host._replace(since=now, until=now + course.plan.gate, well=0, reasons=())
        return host._replace(state=states.PROVING if course.plan.gate else states.DONE), now
    if message.away and now < host.until and not course.stopped:
        return host._replace(reasons=(message.away,)), now + PAUSE
    return _returned(course, host._replace(reasons=(message.away or message.failed,)), now), now


def _proving(course: Course, host: Host, message: Message, now: int) -> tuple[Host, int]:
    host, at = _looked(host, message, now)
    if host.well >= LOOKS:
        return host._replace(state=states.DONE, reasons=()), now
    if host.well or now < host.until:
        return host, at
    return _returned(course, host, now), now


def _looked(host: Host, message: Message, now: int) -> tuple[Host, int]:
    if message.health is not None and message.health.ok:
        return host._replace(well=host.well + 1, reasons=()), now + STEADY
    told = message.health.reasons if message.health is not None else (message.away or message.failed,)
    return host._replace(well=0, reasons=tuple(told)), now + PAUSE


def _returned(course: Course, host: Host, now: int) -> Host:
    host = host._replace(state=states.RETURNING, well=0)
    return host._replace(until=now + _patience(course, host))


def _returning(course: Course, host: Host, message: Message, now: int) -> tuple[Host, int]:
    if message.switched:
        host = host._replace(since=now, until=now + course.plan.gate, well=0)
        return host._replace(state=states.SETTLING if course.plan.gate else states.BACK), now
    if now < host.until:
        return host, now + PAUSE
    why = message.away or message.failed
    return _because(host, states.LOST if message.away else states.BROKEN, *host.reasons, why), now


def _settling(_course: Course, host: Host, message: Message, now: int) -> tuple[Host, int]:
    looked, at = _looked(host, message, now)
    if looked.well >= LOOKS:
        return host._replace(state=states.BACK), now
    if looked.well or now < host.until:
        return looked._replace(reasons=host.reasons), at
    also = [f"put back it is not well either: {why}" for why in looked.reasons]
    return _because(host, states.BACK, *host.reasons, *also), now


def _untouched(host: Host, message: Message) -> Host:
    if message.away:
        return _because(host, states.UNREACHABLE, message.away)
    return _because(host, states.FAILED, message.failed)


def _because(host: Host, state: str, *reasons: str) -> Host:
    return host._replace(state=state, reasons=reasons)


_ANSWERS: Final = {
    states.LOOKING: _looking,
    states.STAGING: _staging,
    states.SWITCHING: _switching,
    states.PROVING: _proving,
    states.RETURNING: _returning,
    states.SETTLING: _settling,
}
