"""``tabard commands``: what was commanded, what became of it, and taking it back. Without a word after it, it lists."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import click

from tabard import exits
from tabard.consumers.commands.course import STATES
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.commands.client import Client
from tabard.ops.commands.shown import JSON, LIST, SHORT, Printer, Texts, row
from tabard.ops.output import emit, printable

_CANCELLED: Final = ("id", "zone", "node", "did", "state")
_via = click.option("--via", metavar="ssh://HOST", help="Ask the dispatcher of another host.")

commands: Final = Group(
    name="commands",
    table={
        "list": Entry("tabard.ops.cli.commands:commands_list", "List commands, the newest first."),
        "show": Entry(
            "tabard.ops.cli.commands:commands_show",
            "Show a command or a submission: its states and its output.",
        ),
        "approve": Entry(
            "tabard.ops.cli.commands_approve:commands_approve",
            "Approve a command, or all of a submission, that another operator gave.",
        ),
        "cancel": Entry(
            "tabard.ops.cli.commands:commands_cancel", "Take back a command, or a whole submission."
        ),
    },
    default="list",
    help="Look at commands, approve them, and take them back.",
    examples=[
        ("tabard commands", "What was commanded lately, and what became of it"),
        ("tabard commands show 3f9a", "Its history, and what it printed"),
        ("tabard commands approve 3f9a", "Let it be sent, where two have to agree"),
        ("tabard commands cancel 3f9a", "Take it back, or have it ended"),
    ],
)


@command(
    "list",
    examples=[
        ("tabard commands list --state running", "What runs now"),
        ("tabard commands list -n 5 -o json", "The last five, for a program"),
    ],
)
@click.option("-n", "--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="How many.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@_via
@output_option
def commands_list(home: Home, limit: int, state: str | None, via: str | None, output: str) -> int:
    """List commands, the newest first."""
    with Client(home, via) as client:
        found = client.ask("list", limit=limit, **({"state": state} if state else {}))["commands"]
    emit((row(each, output) for each in found), LIST if output == "table" else JSON, output)
    return exits.DONE


@command(
    "show",
    examples=[
        ("tabard commands show 3f9a", "By the first digits of its id, or of the id of its submission"),
        ("tabard commands show 3f9a -o json", "With its history and output, for a program"),
    ],
)
@click.argument("prefix", metavar="ID")
@_via
@output_option
def commands_show(home: Home, prefix: str, via: str | None, output: str) -> int:
    """Show a command, or all of a submission: what became of it, when, and what it printed."""
    with Client(home, via) as client:
        found = client.ask("show", id=prefix)["commands"]
    if output != "table":
        rows = ({**row(each, output), "history": _history(each), "output": _output(each)} for each in found)
        emit(rows, (*JSON, "history", "output"), output)
        return exits.DONE
    emit((row(each, output) for each in found), LIST, output)
    printer = Printer(several=len(found) > 1)
    for each in found:
        sys.stdout.write(printable(f"{each['node']}, given by {each['issuer']}").join("\n\n"))
        emit(_history(each), ("time", "state", "reason"), output)
        for piece in each["output"]:
            printer.take({**piece, "node": each["node"]})
        printer.end()
    return exits.DONE


@command(
    "cancel",
    audited="command.cancel",
    examples=[
        ("tabard commands cancel 3f9a", "What was not sent yet is withdrawn; what runs is ended by its node"),
    ],
)
@click.argument("prefix", metavar="ID")
@click.option(
    "--as",
    "operator",
    metavar="NAME",
    help="The operator of this home whose key signs.  [default: local, or the only one]",
)
@_via
@output_option
def commands_cancel(home: Home, prefix: str, operator: str | None, via: str | None, output: str) -> int:
    """Take back a command, or all of a submission.

    One that was never sent is withdrawn at once. The node of any other is told by a command of its own, which an operator's key signs; what became of
    it is then seen as of any command.
    """
    with Client(home, via) as client:
        said = client.ask("cancel", id=prefix)
        if said["underway"]:
            from tabard.ops.commands.issuing import CANCEL_TIMEOUT, cancelling, give, operator_of

            issuer = operator_of(home, operator)
            meant = [(each["zone"], each["node"], [each["id"]]) for each in said["underway"]]
            now = time.time_ns()
            give(
                client,
                issuer,
                meant,
                "cancel",
                now=now,
                expires=cancelling([int(each["expires"]) for each in said["underway"]], now),
                timeout=CANCEL_TIMEOUT,
            )
    did = (("withdrawn", "withdrawn"), ("underway", "its node is told"), ("ended", "had ended"))
    rows = [
        {**each, "did": words, "id": each["id"][:SHORT] if output == "table" else each["id"]}
        for name, words in did
        for each in said[name]
    ]
    emit(rows, _CANCELLED, output)
    return exits.FAILED if all(each["did"] == "had ended" for each in rows) else exits.DONE


def _history(each: dict[str, Any]) -> list[dict[str, Any]]:
    from tabard.ops.keys import time_of

    return [{**entry, "time": time_of(entry["time"])} for entry in each["history"]]


def _output(each: dict[str, Any]) -> list[dict[str, Any]]:
    texts = Texts()
    printed = [{"fd": piece["fd"], "text": texts.of(each["id"], piece)} for piece in each["output"]]
    rests = [{"fd": descriptor, "text": texts.rest(each["id"], descriptor)} for descriptor in (1, 2)]
    return [*printed, *(rest for rest in rests if rest["text"])]
