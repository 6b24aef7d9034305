"""``tabard host upgrade``: another release on hosts, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tabard.errors import RefusedError
from tabard.home import Home
from tabard.ops.cli import host_fleet
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option

if TYPE_CHECKING:
    from tabard.ops.hosts.bundle import Release
    from tabard.ops.hosts.fleet.plan import Course


@command(
    "upgrade",
    audited="host.upgrade",
    examples=[
        ("tabard host upgrade --all --plan", "What would be done to which host, and in which order"),
        (
            "tabard host upgrade --all",
            "The release that is installed here: one host first, then four at a time",
        ),
        ("tabard host upgrade web1 web2 --wheels ./wheels", "The one whose wheels lie there, on two hosts"),
        ("tabard host upgrade --resume", "Go on after Ctrl-C, or when this host died in the middle"),
    ],
)
@host_fleet.fleet_options(canary=1)
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Directory with the wheels of the release, in place of what is installed here.",
)
@output_option
def host_upgrade(
    home: Home,
    names: Sequence[str],
    every: bool,
    batch: int | None,
    canary: int | None,
    gate: float | None,
    max_failed: int | None,
    plan: bool,
    resume: bool,
    wheels: Path | None,
    output: str,
) -> int:
    """Bring another release of Tabard to hosts, in batches, each behind a gate.

    On each host the release is laid beside the one that runs, and verified, before anything that runs is touched; then it is switched to, and has to be
    well within --gate: its roles run it, nothing new is wrong with it, and, where this home has a store, it was heard here since. A host that is not is put back
    to what it ran, by itself. The next batch begins when all of the last one have passed; when the canary or more than --max-failed hosts fail, the
    rest is left as it was. A host that is not reached is said and passed over: the same command again takes it up.

    Ctrl-C ends it between steps, and says where hosts stand; --resume goes on, and so it does after this host died. Exit code 0: all
    hosts run it; 1: it was stopped; 3: not all hosts run it; 4: refused.
    """
    from tabard.ops.hosts.fleet.core import SECOND
    from tabard.ops.hosts.fleet.course import Kept
    from tabard.ops.hosts.fleet.plan import UPGRADE, Plan, brought

    if resume:
        host_fleet.refuse_anew(
            {
                "NAME": tuple(names),
                "all": every,
                "batch": batch,
                "canary": canary,
                "gate": gate,
                "max-failed": max_failed,
                "plan": plan,
            }
        )
        host_fleet.left_of(home, UPGRADE)
        return host_fleet.begin_or_go_on(home, None, lambda course: _same(course, wheels), output)
    hosts = host_fleet.chosen(home, names, every=every)
    release = _release(wheels)
    wanted = Plan(
        UPGRADE,
        hosts,
        release.release,
        canary=1 if canary is None else canary,
        batch=batch or host_fleet.BATCH,
        gate=int((host_fleet.GATE if gate is None else gate) * SECOND),
        max_failed=max_failed or 0,
        brought=brought(Kept(home).read()),
    )
    if plan:
        return host_fleet.show_plan(home, wanted, output)
    return host_fleet.begin_or_go_on(home, wanted, lambda _course: release, output)


def _release(wheels: Path | None) -> Release:
    from tabard.ops.hosts import bundle

    return bundle.made() if wheels is None else bundle.read(wheels)


def _same(course: Course, wheels: Path | None) -> Release | None:
    """The release that the course brings; none where no host lacks it. Raises RefusedError where there is another one here."""
    from tabard.ops.hosts.fleet import plan as states

    if not course.names(states.WAITING, states.LOOKING, states.STAGING):
        return None
    release = _release(wheels)
    if release.release != course.plan.release:
        raise RefusedError(
            "that is another release than the one that was begun",
            expected=course.plan.release,
            found=release.release,
            hint="Hand over its wheels with --wheels DIR, or take back what was begun with 'tabard host rollback --all'",
        )
    return release
