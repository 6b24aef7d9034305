"""``tabard store forget``: what must not be kept any more."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.auditing import record, who
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Text, Time, Zone
from tabard.ops.heard import check_heard_of, nodes_of
from tabard.ops.output import emit
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.erasing import Found, Told, Wanted
    from tabard.consumers.store.place import Place

COLUMNS: Final = ("part", "table", "rows", "erased", "held", "holds")
SHORTEST: Final = 3
"""Characters of a text: a shorter one is in most records."""
LONGEST: Final = 2_000


@command(
    "forget",
    audited="store.forget",
    examples=[
        (
            "tabard store forget --match alice@example.org --reason 'request 12' --dry-run",
            "How many records have that text in them",
        ),
        (
            "tabard store forget --match alice@example.org --match 'Alice A.' --reason 'request 12'",
            "Overwrite them, after a question",
        ),
        (
            "tabard store forget --node laptop7 --reason 'given away' --yes",
            "All that a node said, in a script",
        ),
    ],
)
@click.option("--node", type=Text(), metavar="NAME", help="Of this node.")
@click.option("--zone", type=Zone(), metavar="PATH", help="Of this zone and those below it.")
@click.option(
    "--match",
    "texts",
    type=Text(SHORTEST, LONGEST),
    multiple=True,
    metavar="TEXT",
    help="Records with this text in any field, in any case; of several options any one.",
)
@click.option("--service", type=Text(), metavar="NAME", help="Log records of this service.")
@click.option("--since", type=Time(), metavar="TIME", help="What happened or arrived from this time on.")
@click.option("--until", type=Time(), metavar="TIME", help="What happened or arrived before this time.")
@click.option(
    "--reason", type=Text(), required=True, metavar="TEXT", help="Why; it is kept, so do not name the person."
)
@click.option("--dry-run", is_flag=True, help="Only say what there is.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def store_forget(
    home: Home,
    node: str | None,
    zone: str | None,
    texts: Sequence[str],
    service: str | None,
    since: int | None,
    until: int | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: str,
) -> int:
    """Erase personal data from the store, beside a recorder that runs. It cannot be taken back.

    With --match or --service log records are overwritten in their place: they say that they were erased. Samples and answers with the
    text in them, and such batches in quarantine, are deleted. Without both, all that the nodes said is deleted, of every stream.
    What is under a legal hold stays: exit code 3 when only some of it was erased, 4 when none. Backups, journals of
    nodes, and what comes in later are not touched; the page "Forget personal data" says what to do about them.
    """
    from tabard.consumers.store.erasing import Wanted
    from tabard.consumers.store.place import Place

    if since is not None and until is not None and since >= until:
        raise UsageError("--until is not after --since, so nothing would be erased", hint="Exchange them")
    if node is None and zone is None and not texts and service is None:
        raise UsageError(
            "what is to be erased is missing",
            expected="--node, --zone, --match or --service",
            found="none of them",
        )
    if not reason.strip():
        raise UsageError("--reason says nothing", expected="why it is erased", found="an empty text")
    settings = load(home)
    place = Place.of(settings, home)
    wanted = Wanted(node, zone, tuple(texts), service, since, until)
    if node is not None or zone is not None:
        check_heard_of(nodes_of(place), node, zone)
    if dry_run or not yes:
        found = _look(place, wanted)
        if dry_run:
            _emit(found, output)
            return exits.DONE
        _ask(found)
    now, by = time.time_ns(), who()
    done = _erase(place, wanted, now, by, reason)
    erased, held = sum(each.erased for each in done), sum(each.held for each in done)
    record(home, f"{erased} rows erased by {by}, {held} are held: {reason}")
    _emit(done, output)
    if not held:
        return exits.DONE
    names = sorted({name for each in done for name in each.holds})
    click.echo(f"tabard: {held} rows stay: they are under a legal hold: {', '.join(names)}", err=True)
    return exits.PARTLY if erased else exits.REFUSED


@contextlib.contextmanager
def _shown(doing: str) -> Iterator[Told]:
    """Shows on a terminal how far it is, by table."""
    from tabard.ops.progress import Meter

    rows = 0

    with Meter(counted=lambda _at: f"{rows:,} rows") as meter:

        def told(table: str, found: int, at: int, last: int) -> None:
            nonlocal rows
            rows = found
            meter(f"{doing} {table}", at, last)

        yield told


def _look(place: Place, wanted: Wanted) -> list[Found]:
    from tabard.consumers.store import erasing
    from tabard.consumers.store.erasing_parts import opened
    from tabard.consumers.store.layout import FILES

    found: list[Found] = []
    with _shown("looking through") as told:
        for kind in FILES:
            with opened(place, kind) as part:
                found += erasing.look(part, wanted, told)
    return found


def _erase(place: Place, wanted: Wanted, now: int, by: str, reason: str) -> list[Found]:
    from tabard.consumers.store import erasing
    from tabard.consumers.store.erasing_parts import opened
    from tabard.consumers.store.layout import FILES

    done: list[Found] = []
    with _shown("erasing in") as told:
        for kind in FILES:
            with opened(place, kind) as part:
                done += erasing.erase(part, wanted, now=now, by=by, reason=reason, told=told)
    return done


def _ask(found: Sequence[Found]) -> None:
    """Raises UsageError where nobody can answer, and click's Abort for a no."""
    rows = sum(each.rows - each.held for each in found)
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody is there to be asked",
            expected="--yes, or --dry-run to look only",
            found=f"{rows} rows that would be erased",
        )
    for each in found:
        if each.rows:
            click.echo(
                f"tabard: {each.table}: {each.rows} rows, {each.held} of them under a legal hold", err=True
            )
    click.confirm(f"Erase {rows} rows for good?", abort=True, err=True)


def _emit(found: Sequence[Found], output: str) -> None:
    emit(({**each._asdict(), "holds": list(each.holds)} for each in found), COLUMNS, output)
