"""``tabard settings``: the values that hold, and why."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import click

from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option, settings_options
from tabard.ops.output import emit
from tabard.settings import load


@command(
    "settings",
    examples=[
        ("tabard settings", "All of them"),
        ("tabard settings 'agent.*' 'journal.*'", "What the agent goes by"),
        ("tabard settings --changed -o ndjson", "What is not a default, one JSON object a line"),
    ],
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--changed", is_flag=True, help="Only those that are not at their default.")
@settings_options
@output_option
def settings(
    home: Home,
    names: Sequence[str],
    changed: bool,
    stage: str | None,
    overrides: Sequence[tuple[str, str]],
    output: str,
) -> None:
    """Show every setting and where its value comes from.

    NAME may hold * and ?. Secrets are masked. The column reload says whether a running role takes a new
    value on SIGHUP.
    """
    shown = load(home, stage, args=dict(overrides)).masked()
    if names:
        shown = tuple(row for row in shown if any(fnmatchcase(row.name, name) for name in names))
        if not shown:
            raise UsageError(
                "no setting has such a name", found=" ".join(names), hint="`tabard settings` lists all"
            )
    rows = (
        {"name": row.name, "value": row.value, "origin": str(row.origin), "reload": row.reload}
        for row in shown
        if not changed or row.origin.source != "default"
    )
    emit(rows, ("name", "value", "origin", "reload"), output)
