"""The command reference, written from the commands' own help: ``python -m tabard.ops.docs FILE``."""

from __future__ import annotations

import sys

import click

from tabard import exits
from tabard.ops.cli import root

_WIDTH = 100
_INTRODUCTION = f"""\
# Commands

<!-- Written by `python -m tabard.ops.docs docs/reference/cli.md` from the commands' help. -->

Every command takes `--home`, before its name or after it. Lists take `-o table|json|ndjson`: `json` is one array,
`ndjson` one object a line, written as it comes; numbers are JSON numbers, durations and sizes text with a unit. In a
table, control characters that somebody wrote into a record are shown as escapes.

What went wrong is one sentence on standard error: where, what was expected, what was found, what to do.

| exit code | meaning |
|---|---|
| {exits.DONE} | Done. |
| {exits.FAILED} | Failed; standard error says why. |
| {exits.WRONG_USE} | The command line was wrong, or a value on it. |
| {exits.PARTLY} | Partly done, or done with warnings. |
| {exits.REFUSED} | Understood and refused: it runs already, the home is not safe, the store is of a newer version. |
| 75, 124 to 127 | Of `tabard cron exec` only, whose [exit codes](../how-to/monitor-a-cron-job.md#exit-codes) are otherwise those of its command. |
| {exits.INTERRUPTED} | Ended by Ctrl-C before it was done. What runs until Ctrl-C (`up`, the roles, `logs -f`) ends with 0. |

A reader that leaves early (`tabard logs | head`) is no failure.
"""


def reference() -> str:
    """The whole page, in Markdown. Imports every command."""
    top = click.Context(
        root,
        info_name="tabard",
        terminal_width=_WIDTH,
        help_option_names=root.context_settings["help_option_names"],
    )
    parts = [_INTRODUCTION, _help("tabard", root, top)]
    for name in root.list_commands(top):
        command = root.get_command(top, name)
        if command is None:
            raise LookupError(name)
        parts.extend(_pages(f"tabard {name}", name, command, top))
    return "\n".join(parts)


def _pages(path: str, name: str, command: click.Command, parent: click.Context) -> list[str]:
    """A command and, below it, those of its own."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=_WIDTH)
    pages = [_help(path, command, context)]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                pages.extend(_pages(f"{path} {inner}", inner, found, context))
    return pages


def _help(path: str, command: click.Command, context: click.Context) -> str:
    return f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as page:
        page.write(reference())
