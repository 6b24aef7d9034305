"""``tabard lab exec``: a command in a node."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from tabard.home import Home
from tabard.ops.cli.base import command


@command(
    "exec",
    examples=[
        ("tabard lab exec hq1 -- tabard nodes", "What the store knows of the nodes"),
        ("tabard lab exec web1 -- sh", "A shell in a node"),
    ],
    context_settings={"allow_interspersed_args": False},
)
@click.argument("node")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def lab_exec(home: Home, node: str, words: Sequence[str]) -> int:
    """Run a command in a node of the lab.

    It sees the node's network, processes, disk and home; the exit code is that of the command. The node's own
    Tabard is the one that 'tabard' finds there.
    """
    from tabard.ops.lab import build, faults
    from tabard.ops.lab.state import Place

    if words[:1] == ("--",):  # click leaves it there behind the name of the node
        words = words[1:]
    if not words:
        raise click.UsageError("Missing argument 'COMMAND...'.")
    place = Place(home)
    found = faults.running(place)
    line, variables = build.words_in(place, found.lab, found.lab.host(node).name, words)
    os.execve(line[0], line, variables)  # noqa: S606 -- a list of words, no shell
