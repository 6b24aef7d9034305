"""Which runs of a job did not happen between the last one that was seen and now. Pure.

The clock on the wall may have been moved in between. Within one boot the kernel's own clock, which nobody moves,
tells how much time really passed; then runs are looked for in that time only, and one fewer is counted than fell
into it, since nobody knows at which moment of it the clock was moved. Over a reboot nothing is known of a clock that went
back, and nothing is claimed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.ops.cronexec import due as dues
from tabard.ops.cronexec.due import Span, Zone, local
from tabard.ops.cronexec.expression import Expression

SLACK: Final = 2.0
"""Seconds by which cron and this process may disagree about the time, and by which clocks may differ unnoticed."""
_DRIFT: Final = 0.001
"""Share of the time passed by which a clock that is being disciplined may run fast or slow."""
_SECOND: Final = 1_000_000_000


class Moment(NamedTuple):
    """A reading of both clocks."""

    wall: int
    """Nanoseconds since 1970-01-01 UTC, as the host believes."""
    boot: str
    """Which boot; readings of `uptime` of two boots say nothing of each other."""
    uptime: float
    """Seconds since then, also those that the host slept."""


class Every(NamedTuple):
    """A job that is to run at least every so many seconds."""

    seconds: float
    text: str


Plan = Expression | Every


class Seen(NamedTuple):
    """The last run of a job that is known of, whether it could start or not."""

    moment: Moment
    due: int | None
    """The moment that it was due at, in seconds since 1970."""
    plan: str
    """How the job was planned then."""


class Verdict(NamedTuple):
    """What a run that begins now is, and what was missed before it."""

    due: int | None
    """The moment that it was due at; None without a plan."""
    late: float
    """Seconds by which it begins after that."""
    missed: Span
    at_least: bool
    """Whether there may be more: the clock was moved, so that nobody can know exactly."""
    moved: float
    """Seconds by which the clock on the wall was put forward, below 0 back."""


def judge(plan: Plan | None, seen: Seen | None, now: Moment, zone: Zone = local) -> Verdict:
    """What is to be said of a run that begins ``now``.

    Nothing was missed before the first run, nor when the plan is another one than it was.
    """
    due = latest_due(plan, now, zone)
    if seen is not None and seen.due == due:
        # That minute has been served: this is the next one, if cron is but a moment ahead of the clock.
        due = latest_due(plan, now._replace(wall=now.wall + int(SLACK * _SECOND)), zone)
    late = max(now.wall / _SECOND - due, 0.0) if due is not None else 0.0
    if seen is None or plan is None or due is None:
        return Verdict(due, late, Span(), at_least=False, moved=0.0)
    moved, passed = _compare(seen.moment, now)
    verdict = Verdict(due, late, Span(), at_least=bool(moved), moved=moved)
    if seen.plan != plan.text or seen.due is None:
        return verdict._replace(at_least=False)
    if isinstance(plan, Every):
        return verdict._replace(missed=_intervals(plan, passed, now), at_least=passed is None)
    if not moved:
        # Never back: within the slack, the minute that has just been served must not be served again.
        due = max(due, seen.due)
        return verdict._replace(due=due, missed=dues.between(plan, seen.due, due, zone))
    if passed is None:
        return verdict
    missed = dues.between(plan, now.wall // _SECOND - int(passed), due, zone)
    return verdict._replace(missed=_without_first(plan, missed, zone))


def latest_due(plan: Plan | None, now: Moment, zone: Zone = local) -> int | None:
    """The moment that a run beginning ``now`` is due at."""
    if isinstance(plan, Every):
        return now.wall // _SECOND
    return None if plan is None else dues.latest(plan, now.wall // _SECOND, zone)


def next_due(plan: Plan | None, seen_due: int | None, now: int, zone: Zone = local) -> int | None:
    """When it is due next after ``now``, in seconds since 1970; None when nobody can know."""
    if isinstance(plan, Every):
        return None if seen_due is None else int(seen_due + plan.seconds)
    return None if plan is None else dues.after(plan, now, zone)


def overdue(plan: Plan | None, seen_due: int | None, now: int, allowed: float, zone: Zone = local) -> bool:
    """Whether a run that was due more than ``allowed`` seconds before ``now`` has not begun."""
    if plan is None or seen_due is None:
        return False
    if isinstance(plan, Every):
        following: int | None = int(seen_due + plan.seconds)
    else:
        following = dues.after(plan, seen_due, zone)
    return following is not None and following + allowed < now


def _compare(before: Moment, now: Moment) -> tuple[float, float | None]:
    """How far the clock on the wall was moved, and how much time has passed; None when nobody can know."""
    shown = (now.wall - before.wall) / _SECOND
    if before.boot == now.boot and now.uptime >= before.uptime:
        passed = now.uptime - before.uptime
        moved = shown - passed
        return (moved if abs(moved) > SLACK + _DRIFT * passed else 0.0), passed
    if shown < -SLACK:
        return shown, None
    return 0.0, max(shown, 0.0)


def _intervals(plan: Every, passed: float | None, now: Moment) -> Span:
    """Half an interval is allowed for cron lines that do not come round evenly."""
    count = int((passed or 0.0) / plan.seconds + 0.5) - 1
    if passed is None or count < 1:
        return Span()
    start = now.wall / _SECOND - passed
    return Span(count, int(start + plan.seconds), int(start + count * plan.seconds))


def _without_first(plan: Expression, span: Span, zone: Zone) -> Span:
    if span.number < 2:
        return Span()
    return Span(span.number - 1, dues.after(plan, span.first, zone) or span.last, span.last)
