"""What ``tabard host upgrade`` and ``tabard host rollback`` share: whom they are for, how carefully, and how they say what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tabard.errors import UsageError
from tabard.ops.cli.durations import Duration
from tabard.ops.output import emit

if TYPE_CHECKING:
    from tabard.home import Home
    from tabard.ops.hosts.fleet.plan import Course, Host, Plan
    from tabard.ops.hosts.fleet.ports import Bundle, Port

_F = TypeVar("_F", bound=Callable[..., Any])
BATCH: Final = 4
GATE: Final = 120.0
PLANNED: Final = ("host", "batch", "does", "release", "to", "reasons")
_AT_ONCE: Final = 8
"""Hosts that are looked at at a time for a plan."""


def fleet_options(canary: int) -> Callable[[_F], _F]:
    """Passes ``names``, ``every``, ``batch``, ``canary``, ``gate``, ``max_failed``, ``plan`` and ``resume``; what was not given is None."""

    def add(function: _F) -> _F:
        for option in reversed(
            (
                click.argument("names", nargs=-1, metavar="[NAME]..."),
                click.option("--all", "every", is_flag=True, help="All hosts of the register."),
                click.option(
                    "--batch",
                    type=click.IntRange(1, 1000),
                    metavar="N",
                    help=f"At most N hosts at once.  [default: {BATCH}]",
                ),
                click.option(
                    "--canary",
                    type=click.IntRange(0, 1000),
                    metavar="N",
                    help=f"N hosts have to pass their gate before any other is begun; 0: none.  [default: {canary}]",
                ),
                click.option(
                    "--gate",
                    type=Duration(),
                    metavar="DURATION",
                    help="Within which a host has to be well after its switch; 0s: it is not looked at.  [default: 2m]",
                ),
                click.option(
                    "--max-failed",
                    type=click.IntRange(0),
                    metavar="N",
                    help="More failures than N stop the rest.  [default: 0]",
                ),
                click.option(
                    "--plan",
                    is_flag=True,
                    help="Look at the hosts, say what would be done to each, and do nothing.",
                ),
                click.option(
                    "--resume", is_flag=True, help="Go on with the last one, which was interrupted."
                ),
            )
        ):
            function = option(function)
        return function

    return add


def chosen(home: Home, names: Sequence[str], *, every: bool) -> tuple[str, ...]:
    """The hosts that are meant. Raises UsageError where it is not said, or for one that is not in the register."""
    from tabard.ops.hosts.register import UNINSTALLING, Register

    register = Register(home)
    if every == bool(names):
        raise UsageError(
            "which hosts?", expected="names of hosts, or --all", found="both" if every else "neither",
            hint="See them with: tabard host list",
        )  # fmt: skip
    listed = [register.get(name) for name in dict.fromkeys(names)] if names else register.all()
    found = tuple(each.name for each in listed if names or each.state != UNINSTALLING)
    if not found:
        raise UsageError(
            "there are no hosts",
            expected="some in the register of this home",
            found="none",
            hint="tabard host install puts Tabard on one",
        )
    return found


def refuse_anew(given: dict[str, object]) -> None:
    """Raises UsageError where `--resume` is given with what only a new one takes: it goes on as it was begun."""
    more = [f"--{name}" for name, value in given.items() if value not in (None, False, ())]
    if more:
        raise UsageError(
            "what was begun goes on as it was begun",
            expected="--resume without more",
            found=", ".join(more).replace("--NAME", "NAME"),
        )


def begin_or_go_on(
    home: Home, plan: Plan | None, bundle: Callable[[Course], Bundle | None], output: str
) -> int:
    """Carry it out, and say how it ended; None goes on with what is kept. Raises RefusedError, TabardError."""
    from tabard.ops.hosts.fleet import telling
    from tabard.ops.hosts.fleet.course import Kept
    from tabard.ops.hosts.fleet.plan import planned
    from tabard.ops.hosts.fleet.running import Running
    from tabard.ops.hosts.reaching import Reaching

    kept = Kept(home)
    with kept.held():
        if plan is not None:
            kept.refuse_unfinished(plan.kind)
        course = planned(plan) if plan is not None else kept.read()
        if course is None:
            raise UsageError(
                "there is nothing to go on with",
                expected="an upgrade or a rollback that was interrupted",
                found="none",
            )
        course = Running(Reaching(home), bundle(course), kept, _say).run(course, resume=plan is None)
    emit(telling.rows(course), telling.COLUMNS, output)
    click.echo(f"tabard: {telling.sentence(course)}", err=True)
    return telling.exit_code(course)


def left_of(home: Home, kind: str) -> Course:
    """The course that `--resume` goes on with. Raises UsageError where none of that kind was interrupted."""
    from tabard.ops.hosts.fleet.course import Kept

    course = Kept(home).read()
    if course is None or course.plan.kind != kind or course.over:
        found = (
            "none"
            if course is None
            else f"a {course.plan.kind}, which is {'over' if course.over else 'not over'}"
        )
        raise UsageError(
            f"there is no {kind} to go on with", expected="one that was interrupted", found=found
        )
    return course


def show_plan(home: Home, plan: Plan, output: str) -> int:
    """Look at each host, and say what would be done."""
    from concurrent.futures import ThreadPoolExecutor

    from tabard.ops.hosts.fleet import telling
    from tabard.ops.hosts.reaching import Reaching

    port = Reaching(home)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = list(pool.map(lambda name: _looked(port, plan, name), plan.hosts))
    rows = telling.planned_rows(plan, dict(zip(plan.hosts, found, strict=True)))
    emit(rows, PLANNED, output)
    return telling.exit_code_of_plan(rows)


def _looked(port: Port, plan: Plan, name: str) -> Host:
    """What would be begun with one host: the first thing that is asked of it, and what is decided by that."""
    from tabard.ops.hosts.fleet import core, running
    from tabard.ops.hosts.fleet.plan import planned

    course, asks = core.begun(planned(plan._replace(hosts=(name,))), 0)
    return core.heard(course, running.asked(port, None, asks[0]), 0)[0].hosts[name]


def _say(before: Course, after: Course) -> None:
    from tabard.ops.hosts.fleet import telling
    from tabard.ops.output import printable

    for line in telling.lines(before, after):
        click.echo(f"tabard: {printable(line)}", err=True)
