"""``tabard run``: a command or a named action on nodes, with what it prints."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import click

from tabard import exits
from tabard.brokers.wire.answers import DONE, ENDS
from tabard.consumers.commands.talk import waits_for
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import Command, command
from tabard.ops.cli.durations import Duration
from tabard.ops.cli.options import output_option
from tabard.ops.commands.client import Client, GoneError
from tabard.ops.commands.shown import (
    RAN,
    RAN_TABLE,
    SHORT,
    Printer,
    Texts,
    code_of,
    descriptor_of,
    missing_of,
    what,
)
from tabard.ops.output import emit

_PLAN: Final = ("zone", "node", "here", "heard", "os", "version", "approvals")
_AWAY: Final = "the node is away: it gets this when it is back, or it expires"
_STREAMS: Final = {1: "stdout", 2: "stderr"}


class _Run(Command):
    """What follows ``--`` is not this command's: click would take that word away, and nobody could tell words from targets."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the words aside."""
        at = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:at])
        ctx.params["words"] = tuple(args[at + 1 :])
        return rest


@command(
    "run",
    audited="command.run",
    examples=[
        ("tabard run web1 --action ping", "Does web1 answer?"),
        ("tabard run 'web*' zone:hq/dmz --plan -- uptime", "Who would be meant? Nothing is sent"),
        (
            "tabard run group:web os=debian* --batch 2 --yes -- systemctl restart nginx",
            "Two at a time, without asking",
        ),
        (
            "tabard run web1 --via ssh://ops@hub -- df -h",
            "From a host without a dispatcher, with a key of this home",
        ),
    ],
    cls=_Run,
)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option(
    "--action", metavar="NAME", help="A named action of the nodes; words after -- are its arguments."
)
@click.option(
    "--expires",
    type=Duration(),
    default="1h",
    show_default=True,
    metavar="DURATION",
    help="Not begun after that.",
)
@click.option(
    "--timeout",
    type=Duration(),
    default="60s",
    show_default=True,
    metavar="DURATION",
    help="Ended after that.",
)
@click.option(
    "--batch",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    metavar="N",
    help="At most so many at a time.  [default: all]",
)
@click.option("--detach", is_flag=True, help="Do not wait; see tabard commands.")
@click.option("--plan", is_flag=True, help="Only show whom it would be for.")
@click.option("--yes", is_flag=True, help="Do not ask, also for several nodes.")
@click.option(
    "--as",
    "operator",
    metavar="NAME",
    help="The operator of this home whose key signs.  [default: local, or the only one]",
)
@click.option("--via", metavar="ssh://HOST", help="Use the dispatcher of another host.")
@output_option
def run(
    home: Home,
    targets: tuple[str, ...],
    action: str | None,
    expires: float,
    timeout: float,
    batch: int,
    detach: bool,
    plan: bool,
    yes: bool,
    operator: str | None,
    via: str | None,
    output: str,
    words: tuple[str, ...],
) -> int:
    """Run a command, or a named action, on nodes, and show what it prints.

    A TARGET is a node's name, a pattern such as 'web*', zone:PATH (and below), or group:NAME of the settings; os=PATTERN and version=PATTERN
    narrow them. What follows -- are the words of the command; no shell reads them. Nodes that are there are waited for; one that is away gets it
    when it is back before --expires.

    Exits with 0 when all was done, 1 when it failed, 3 when it was done by some or some nodes are away, 4 when it was refused.
    """
    from tabard.brokers.wire.command import MAX_DAYS

    names = list(targets)
    kind = "run" if action is None else "action"
    argv = list(words) if action is None else [action, *words]
    if not plan and not argv:
        raise UsageError(
            "nothing to run", expected="--action NAME, or -- and the words of a command", found="neither"
        )
    if not names:
        raise UsageError(
            "a command needs a target", expected="nodes, patterns, zone:PATH or group:NAME", found="none"
        )
    if not 0 < timeout <= 86_400 or not 0 < expires <= MAX_DAYS * 86_400:
        raise UsageError(
            "a wrong time",
            expected=f"a timeout up to 1d, and an expiry within {MAX_DAYS}d",
            found=f"--timeout {timeout:g}s --expires {expires:g}s",
        )
    with Client(home, via) as client:
        nodes: list[dict[str, Any]] = client.ask("resolve", targets=names)["nodes"]
        if plan or (len(nodes) > 1 and not yes):
            _show(nodes, output if plan else "table", to_stderr=not plan)
        if plan:
            return exits.DONE
        if len(nodes) > 1 and not yes:
            _confirm(kind, argv, len(nodes))
        from tabard.ops.commands.issuing import give, operator_of

        issuer = operator_of(home, operator)
        meant = [(each["zone"], each["node"], argv) for each in nodes]
        group, uids = give(
            client, issuer, meant, kind, now=time.time_ns(), expires=expires, timeout=timeout, batch=batch
        )
        rows = {
            uid: {
                "id": uid,
                "group": group,
                "zone": each["zone"],
                "node": each["node"],
                "state": "queued",
                "reason": _held(each),
                "exit": None,
                "stdout": "",
                "stderr": "",
                "cut": 0,
                "missing": 0,
            }
            for uid, each in zip(uids, nodes, strict=True)
        }
        if detach:
            _emit(rows, output)
            return exits.DONE
        waiting = {uid for uid, each in zip(uids, nodes, strict=True) if not _held(each)}
        try:
            _follow(client, group, rows, waiting, output)
        except KeyboardInterrupt:
            click.echo(f"tabard: {_goes_on(group, via)}", err=True)
            raise
        except GoneError as error:
            error.hint = _goes_on(group, via)
            click.echo(f"tabard: {error}", err=True)
    _emit(rows, output)
    return code_of([str(each["state"]) for each in rows.values()])


def _goes_on(group: str, via: str | None) -> str:
    way = f" --via {via}" if via else ""
    return f"It goes on: tabard commands show {group[:SHORT]}{way}; to end it: tabard commands cancel {group[:SHORT]}{way}"


def _held(node: dict[str, Any]) -> str:
    """Why a command to a node is not waited for; "" where it is."""
    return waits_for(node["approvals"]) if node["approvals"] else "" if node["here"] else _AWAY


def _show(nodes: list[dict[str, Any]], output: str, *, to_stderr: bool) -> None:
    from tabard.ops.keys import time_of

    emit(
        ({**each, "heard": time_of(each["heard"])} for each in nodes),
        _PLAN,
        output,
        sys.stderr if to_stderr else None,
    )


def _confirm(kind: str, argv: list[str], count: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "several nodes are meant, and nobody is there to be asked",
            expected="--yes",
            found=f"{count} nodes",
            hint="See them with --plan",
        )
    click.confirm(f"{what(kind, argv)}: on these {count} nodes?", abort=True, err=True)


def _follow(
    client: Client, group: str, rows: dict[str, dict[str, Any]], waiting: set[str], output: str
) -> None:
    """Until all that is waited for has ended."""
    if not waiting:
        return
    printer, texts = Printer(several=len(rows) > 1, raw=len(rows) == 1), Texts()
    client.ask("follow", id=group)
    try:
        for event in client.events():
            _take(event, rows, waiting, texts, printer if output == "table" else None)
            if not waiting:
                break
    finally:
        printer.end()


def _take(
    event: dict[str, Any],
    rows: dict[str, dict[str, Any]],
    waiting: set[str],
    texts: Texts,
    printer: Printer | None,
) -> None:
    """One thing that became known."""
    row = rows.get(str(event.get("id")))
    if row is None:
        return
    if event.get("event") == "output":
        row[_STREAMS[descriptor_of(event)]] += texts.of(row["id"], event)
        if printer:
            printer.take(event)
        return
    if event.get("event") == "missing":
        row["missing"] += missing_of(event)
        if printer:
            printer.miss(event)
        return
    state = str(event.get("state"))
    away = state == "queued" and row["reason"]
    row.update(state=state, exit=event.get("exit"), reason=row["reason"] if away else event.get("reason"))
    if state in ENDS:
        row["cut"] = event.get("cut") or 0
        for descriptor, name in _STREAMS.items():
            row[name] += texts.rest(row["id"], descriptor)
        waiting.discard(row["id"])


def _emit(rows: dict[str, dict[str, Any]], output: str) -> None:
    """All of them; for a person only what its output does not say: nothing of one that was done and printed something."""
    if output != "table":
        emit(rows.values(), RAN, output)
        return
    for each in rows.values():
        if each["cut"]:
            click.echo(
                f"tabard: {each['node']} did not send the last {each['cut']} bytes of what it printed",
                err=True,
            )
    if len(rows) == 1 and all(
        each["state"] == DONE and each["stdout"] + each["stderr"] for each in rows.values()
    ):
        return
    short = [{**each, "id": each["id"][:SHORT]} for each in rows.values()]
    emit(short, RAN_TABLE, output, sys.stderr)
