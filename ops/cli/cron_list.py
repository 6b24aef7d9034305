"""``tabard cron list`` and ``tabard cron forget``: the jobs that a home knows of."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from tabard import exits
from tabard.errors import RefusedError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.cronexec.jobs import COLUMNS, busy, rows
from tabard.ops.cronexec.state import JobFile
from tabard.ops.output import emit


@command(
    "list",
    examples=[
        ("tabard cron list", "How every job is"),
        ("tabard cron list -o json | jq '.[] | select(.overdue)'", "Those that should have begun"),
    ],
)
@output_option
def cron_list(home: Home, output: str) -> int:
    """List the jobs of this home, and how their last runs ended.

    state is running, done, failed, signal, timeout, "not started", or "cut off" where nobody saw the end. Overdue is a job
    whose run was due two minutes ago and has not begun. missed and refused are counts since the job is known. Times are UTC.
    """
    emit(rows(home, time.time_ns()), COLUMNS, output)
    return exits.DONE


@command("forget", examples=[("tabard cron forget backup", "It is no longer in any crontab")])
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def cron_forget(home: Home, names: Sequence[str]) -> int:
    """Forget jobs that are no longer run.

    What their runs said stays in the store. Exit code 4 when one of them runs; then none is forgotten.
    """
    files = [JobFile(home, name) for name in names]
    for file in files:
        if not file.path.exists():
            raise UsageError(
                "no such job",
                expected="a name that `tabard cron list` shows",
                found=file.name,
                where=str(file.folder),
            )
        if busy(file):
            raise RefusedError(f"{file.name} runs", where=str(file.path), hint="Wait for its end")
    for file in files:
        file.remove()
    return exits.DONE
