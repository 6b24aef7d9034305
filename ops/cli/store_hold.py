"""``tabard store hold``: what must not be deleted, whatever the limits say."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.auditing import record, who
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Text, Time, Zone
from tabard.ops.heard import nodes_of, not_yet
from tabard.ops.output import Row, emit
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.holds import Hold

KEYS: Final = (
    "name", "state", "since", "until", "node", "zone", "service", "match", "reason", "made", "made_by",
    "released", "released_by", "release_reason",
)  # fmt: skip
LONGEST: Final = 2_000
"""Characters of a reason or a text."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIMES: Final = ("since", "until", "made", "released")

hold: Final = Group(
    name="hold",
    table={
        "add": Entry("tabard.ops.cli.store_hold:hold_add", "Keep what must not be deleted."),
        "list": Entry("tabard.ops.cli.store_hold:hold_list", "List the legal holds."),
        "release": Entry("tabard.ops.cli.store_hold:hold_release", "End a hold."),
    },
    default="list",
    help="Keep records that must not be deleted, whatever the limits say.",
    examples=[
        (
            "tabard store hold add audit-2026 --node till1 --since 2026-10-01 --reason 'order of the court'",
            "From that day on nothing of till1 is deleted",
        ),
        ("tabard store hold list", "Every hold in force, with who made it, when and why"),
    ],
)


class _Name(click.ParamType[str]):
    """The name of a hold."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _NAME.fullmatch(str(value)):
            self.fail(
                f"expected 1 to 64 of A-Z a-z 0-9 . _ - that begin with a letter or digit, found {value!r}",
                param,
                ctx,
            )
        return str(value)


_TEXT: Final = Text(1, LONGEST)
_reason = click.option("--reason", type=_TEXT, required=True, metavar="TEXT", help="Why; it is kept.")


@command(
    "add",
    audited="hold.add",
    examples=[
        (
            "tabard store hold add audit-2026 --node till1 --since 2026-10-01 --reason 'order of the court'",
            "From that day on nothing of till1 is deleted",
        ),
        (
            "tabard store hold add order-4711 --service shop --match 4711 --reason 'ticket 12'",
            "Log records of one service with that text",
        ),
        ("tabard store hold add everything --reason 'inquiry'", "Nothing at all is deleted any more"),
    ],
)
@click.argument("name", type=_Name())
@click.option("--since", type=Time(), metavar="TIME", help="What happened or arrived from this time on.")
@click.option("--until", type=Time(), metavar="TIME", help="What happened or arrived before this time.")
@click.option("--node", type=_TEXT, metavar="NAME", help="Of this node.")
@click.option("--zone", type=Zone(), metavar="PATH", help="Of this zone and those below it.")
@click.option("--service", type=_TEXT, metavar="NAME", help="Log records of this service.")
@click.option("--match", "text", type=_TEXT, metavar="TEXT", help="Log records with this text.")
@_reason
@output_option
def hold_add(
    home: Home,
    name: str,
    since: int | None,
    until: int | None,
    node: str | None,
    zone: str | None,
    service: str | None,
    text: str | None,
    reason: str,
    output: str,
) -> int:
    """Put a legal hold in force: what falls under it is not deleted, whatever the limits say.

    The hold covers what every option says that is given, and everything when none is; what comes in later, too. A
    record is in its time when it happened in it, or arrived in it: a wrong clock takes nothing out. Without --service and
    --match it covers log records, samples and the control stream, with the gaps and the quarantine of those nodes;
    with one of them log records, and the gaps and the quarantine. The text is looked for in message, exception, stack,
    attributes, function and module, in any case of its letters. Once the command has ended with exit code 0, nothing that
    the hold covers is deleted any more; what was deleted before is gone. The recorder may run.
    """
    from tabard.consumers.store import holding
    from tabard.consumers.store.holds import Hold
    from tabard.consumers.store.place import Place

    if since is not None and until is not None and since >= until:
        raise UsageError("--until is not after --since, so nothing would be held", hint="Exchange them")
    wanted = Hold(name, since, until, node, zone, service, text, reason, time.time_ns(), who())
    place = Place.of(load(home), home)
    done = holding.add(place, wanted)
    record(home, f"hold {name} added by {wanted.made_by}: {reason}")
    emit(_objects([done]), KEYS, output)
    odd = not_yet(nodes_of(place), node, zone) if node is not None or zone is not None else ""
    if odd:  # it may be one that is to come, and the hold is for that as well
        click.echo(
            f"tabard: {odd}. The hold is in force and covers what comes of it; if that was a slip,"
            f" `tabard store hold release {name} --reason TEXT` ends it",
            err=True,
        )
    return exits.DONE


@command(
    "list",
    examples=[
        ("tabard store hold list", "Those in force"),
        ("tabard store hold list --all -o json", "Also those that were released, for a program"),
    ],
)
@click.option("--all", "released", is_flag=True, help="Also holds that were released.")
@output_option
def hold_list(home: Home, released: bool, output: str) -> int:
    """List the legal holds: what each covers, who made it, when and why; and who released it."""
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:
        found = reader.holds(released=released)
    emit(_objects(found), KEYS, output)
    return exits.DONE


@command(
    "release",
    audited="hold.release",
    examples=[
        (
            "tabard store hold release audit-2026 --reason 'the case is closed'",
            "What is old goes from now on",
        ),
    ],
)
@click.argument("name", type=_Name())
@_reason
@output_option
def hold_release(home: Home, name: str, reason: str, output: str) -> int:
    """End a hold. What it covered is deleted by the next pass of retention if it is too old or too much.

    The hold itself stays in the store, with who released it, when and why: `tabard store hold list --all`.
    """
    from tabard.consumers.store import holding
    from tabard.consumers.store.place import Place

    by = who()
    done = holding.release(Place.of(load(home), home), name, time.time_ns(), by, reason)
    record(home, f"hold {name} released by {by}: {reason}")
    emit(_objects([done]), KEYS, output)
    return exits.DONE


def _objects(found: Iterable[Hold]) -> Iterator[Row]:
    from tabard.web.zones import iso

    for each in found:
        row: dict[str, Any] = {**each._asdict(), "match": each.text}
        row |= {name: None if row[name] is None else iso(row[name]) for name in _TIMES}
        row["state"] = "in force" if each.released is None else "released"
        yield row
