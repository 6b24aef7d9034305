"""``tabard cron exec``: one run of a job. A plain line is read without click, by `tabard.ops.cronexec.line`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tabard.errors import TabardError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import Command, command
from tabard.ops.cli.durations import Duration
from tabard.ops.cronexec import plans
from tabard.ops.cronexec.missed import Plan
from tabard.ops.cronexec.order import Order


class _Exec(Command):
    """A command whose own options end at ``--``, which must be there: what follows is another command's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what stands before ``--``, and leave alone what stands behind it."""
        if "--" not in args and not any(word in ctx.help_option_names for word in args):
            ctx.fail("expected `--` and the command behind it: tabard cron exec NAME -- CMD ARG...")
        behind = len(args) - args.index("--") - 1 if "--" in args else 0
        rest = super().parse_args(ctx, args)
        if len(ctx.params.get("argv", ())) != behind:
            ctx.fail("expected one word, the name, before `--`")
        return rest


class _Plan(click.ParamType[Plan | None]):
    """A cron expression, or an interval."""

    name = "plan"

    def __init__(self, *, interval: bool) -> None:
        self._interval = interval

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Plan | None:
        """What is meant by a text."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return plans.every(value) if self._interval else plans.schedule(value)
        except TabardError as error:
            self.fail(str(error), param, ctx)


@command(
    "exec",
    cls=_Exec,
    examples=[
        (
            "tabard cron exec backup -- /srv/backup.sh --full",
            "In place of `/srv/backup.sh --full` in a cron line",
        ),
        (
            "tabard cron exec backup --schedule '0 3 * * *' --timeout 2h -- /srv/backup.sh",
            "Say which runs were missed, and end one that hangs",
        ),
        (
            "tabard cron exec poll --every 5m --print always -- sh -c 'poll | tee last'",
            "With what a shell does",
        ),
    ],
)
@click.argument("name")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]...")
@click.option(
    "--timeout", type=Duration(), metavar="DURATION", help="End it after that long.  [default: never]"
)
@click.option(
    "--grace",
    type=Duration(),
    default="10s",
    show_default=True,
    metavar="DURATION",
    help="Time between SIGTERM and SIGKILL then.",
)
@click.option(
    "--lock/--no-lock",
    default=None,
    help="Whether a run is refused while the one before it goes on.  [default: --lock, but run when no lock can be made]",
)
@click.option(
    "--schedule",
    type=_Plan(interval=False),
    metavar="EXPR",
    help="When it is to run, as in the crontab: '*/5 * * * *', @daily.",
)
@click.option("--every", type=_Plan(interval=True), metavar="DURATION", help="Or how often at least.")
@click.option(
    "--lines",
    type=click.IntRange(0, 1_000_000),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Most lines of its output that are recorded: the first, and the last 100.",
)
@click.option(
    "--print",
    "printed",
    type=click.Choice(["failure", "always", "never"]),
    default="failure",
    show_default=True,
    help="When its output is printed, for cron to mail.",
)
def cron_exec(
    home: Home,
    name: str,
    argv: Sequence[str],
    timeout: float | None,
    grace: float,
    lock: bool | None,
    schedule: Plan | None,
    every: Plan | None,
    lines: int,
    printed: str,
) -> int:
    """Run a command as a service that is watched.

    Records of the service NAME say when it starts, what it writes, how it ended and what it used, which runs before
    it were missed (--schedule, --every), and when it was not started. Without an agent they wait in the home.

    What the command writes is printed when it fails, so that cron mails it; --print always passes it on as it comes. Signals
    are handed on to all the command started, and so is standard input.

    The exit code is the command's own; 128 and the signal's number when a signal ended it; 124 when its time was over;
    126 when it cannot be started, 127 when it is not there; 75 when it was refused because it still runs; 125 when --lock was
    given and no lock can be made; 2 for a wrong command line.
    """
    if schedule is not None and every is not None:
        raise UsageError("--schedule and --every exclude each other", hint="Leave one of them out")
    if timeout is not None and timeout <= 0:
        raise UsageError("not a time-out", expected="more than 0s", found=f"{timeout:g}s")
    from tabard.ops.cronexec.job import perform

    plan = schedule or every
    return perform(Order(name, argv, home, plan, timeout, grace, lock, lines, printed))
