"""``tabard host rollback``: hosts back to the release that they ran before."""

from __future__ import annotations

from collections.abc import Sequence

from tabard.errors import RefusedError
from tabard.home import Home
from tabard.ops.cli import host_fleet
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option


@command(
    "rollback",
    audited="host.rollback",
    examples=[
        ("tabard host rollback --all", "What the last upgrade brought is taken back, wherever it runs"),
        ("tabard host rollback web1", "One host, to what it ran before"),
        ("tabard host rollback --resume", "Go on after Ctrl-C"),
    ],
)
@host_fleet.fleet_options(canary=0)
@output_option
def host_rollback(
    home: Home,
    names: Sequence[str],
    every: bool,
    batch: int | None,
    canary: int | None,
    gate: float | None,
    max_failed: int | None,
    plan: bool,
    resume: bool,
    output: str,
) -> int:
    """Take hosts back to the release that they ran before, which still lies there: nothing is carried to them.

    With --all these are the hosts that run what the last upgrade brought, also one that was interrupted; others are passed over, so that none goes back
    further. Batches, gate and --max-failed are those of an upgrade: a host that is not well with its former release is put back to the one that it came from. What was taken
    back is not what a second rollback goes to: bring it again with 'tabard host upgrade'.

    Exit code 0: all that run what was brought run their former release; 1: it was stopped; 3: not all do; 4: refused.
    """
    from tabard.ops.hosts.fleet.core import SECOND
    from tabard.ops.hosts.fleet.course import Kept
    from tabard.ops.hosts.fleet.plan import ROLLBACK, Plan, brought

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
        host_fleet.left_of(home, ROLLBACK)
        return host_fleet.begin_or_go_on(home, None, lambda _course: None, output)
    hosts = host_fleet.chosen(home, names, every=every)
    known = brought(Kept(home).read())
    if every and not known:
        raise RefusedError(
            "nobody knows what is to be taken back",
            expected="an upgrade that was made from this home",
            found="none",
            hint="Name the hosts that are to go back to what they ran before",
        )
    wanted = Plan(
        ROLLBACK,
        hosts,
        known if every else "",
        canary=canary or 0,
        batch=batch or host_fleet.BATCH,
        gate=int((host_fleet.GATE if gate is None else gate) * SECOND),
        max_failed=max_failed or 0,
        brought=known,
    )
    if plan:
        return host_fleet.show_plan(home, wanted, output)
    return host_fleet.begin_or_go_on(home, wanted, lambda _course: None, output)
