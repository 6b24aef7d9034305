"""``tabard logs``: what was said, from the store."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Text, Time, Zone
from tabard.records import SEVERITIES

if TYPE_CHECKING:
    from tabard.consumers.store.attestation import Attestation
    from tabard.consumers.store.results import LogQuery
    from tabard.ops.listing import Row

    Shown = tuple[Row, Sequence[Attestation]]

NEWEST: Final = 100
FOLLOWED: Final = 10
"""Rows shown when neither -n nor --since says how many: without and with -f."""
MOST: Final = 100_000
PATIENCE: Final = 3.0
"""Seconds that a search may take before it is said how it would not."""


class _Level(click.ParamType[str]):
    """A level word, in any case; the severity number it begins at."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = str(value).upper()
        if word not in SEVERITIES:
            self.fail(f"expected one of {', '.join(SEVERITIES).lower()}, found {value!r}", param, ctx)
        return word

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The words, in small letters."""
        words = [word.lower() for word in SEVERITIES]
        return [CompletionItem(word) for word in words if word.startswith(incomplete.lower())]


@command(
    "logs",
    examples=[
        ("tabard logs", "The newest 100 records"),
        ("tabard logs -f --level warning", "Follow warnings and worse until Ctrl-C"),
        ("tabard logs --since 2h --service shop", "The last two hours of one service"),
        ("tabard logs --since '2026-11-03 08:00' --until '2026-11-03 09:00'", "One hour, in local time"),
        ("tabard logs --word timeout --word 10.0.0.7", "Records with both words"),
        ("tabard logs --since 1d --level error --count", "How many errors there were since yesterday"),
        ("tabard logs --since 1d -o ndjson > day.ndjson", "A day, one JSON object a line"),
    ],
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is stored from now on, until Ctrl-C.")
@click.option(
    "--since",
    type=Time(),
    metavar="TIME",
    help="From this event time on: 15m, 2h, 1d ago, or a date and time.",
)
@click.option("--until", type=Time(), metavar="TIME", help="Before this event time.")
@click.option("--level", type=_Level(), metavar="LEVEL", help="This level and worse, such as warning.")
@click.option("--node", type=Text(), metavar="NAME", help="Of this node.")
@click.option("--zone", type=Zone(), metavar="PATH", help="Of this zone and those below it.")
@click.option("--service", type=Text(), metavar="NAME", help="Of this service.")
@click.option("--grep", type=Text(), metavar="TEXT", help="With this text in message, module or function.")
@click.option(
    "--word",
    "word",
    type=Text(),
    multiple=True,
    metavar="WORD",
    help="With this word in message or exception, whole; several: with all of them.",
)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, MOST),
    metavar="N",
    help="The newest N.  [default: 100, with -f 10, with --since all]",
)
@click.option("--count", "counting", is_flag=True, help="Only say how many records fit.")
@output_option
def logs(
    home: Home,
    follow: bool,
    since: int | None,
    until: int | None,
    level: str | None,
    node: str | None,
    zone: str | None,
    service: str | None,
    grep: str | None,
    word: tuple[str, ...],
    lines: int | None,
    counting: bool,
    output: str,
) -> int:
    """Show what was said, oldest first.

    Reads the store of this home; no role needs to run. A time without an offset is local; a date without a time
    is its midnight. A GAP stands where records were lost, a DOUBT where one side was restored from a backup, whatever
    the filters say of records. WITHHELD are records that a policy kept in their zone: they are no loss, and are left out where
    the filters ask for more than node, zone and time. The text of --grep is looked for as it is, in any case of its letters; --word finds it
    where no letter or digit adjoins it. With a search index (store.index) both are found at once. --count says how many
    records fit in all, exactly, however long that takes; gaps are no records.
    """
    if counting and (follow or lines is not None):
        raise UsageError("--count counts all that fits", found="-f" if follow else "-n", hint="Leave it out")
    if follow and until is not None:
        raise UsageError("-f has no end, --until has one", hint="Leave one of them out")
    if follow and output == "json":
        raise UsageError("-f never closes a JSON array", hint="Use -o ndjson")
    from tabard.consumers.store.results import LogQuery
    from tabard.consumers.store.words import MOST_WORDS, split

    words = split(" ".join(word))
    if len(words) > MOST_WORDS:
        raise UsageError(
            "too many words", expected=f"at most {MOST_WORDS}", found=str(len(words)), hint="Leave some out"
        )
    query = LogQuery(
        node=node,
        zone=zone,
        service=service,
        min_severity=SEVERITIES[level] if level else 0,
        text=grep,
        words=words,
        since=since,
        until=until,
    )
    began = time.monotonic()
    try:
        written = (
            _write_count(home, query, output)
            if counting
            else _write(_rows(home, query, lines, follow=follow, attested=output != "table"), output)
        )
    except KeyboardInterrupt:
        if not follow:
            raise
    else:
        if not written and output == "table" and not counting:
            click.echo("tabard: nothing fits", err=True)
        if time.monotonic() - began > PATIENCE and (grep or words) and not follow:
            _offer_index(home, query)
    return exits.DONE


def _rows(
    home: Home, query: LogQuery, lines: int | None, *, follow: bool, attested: bool
) -> Iterator[Iterable[Shown]]:
    """What there is, then what comes, `attested` with who attests it; each item is written out before the next is asked for."""
    from tabard.ops import listing
    from tabard.ops.following import Follower
    from tabard.ops.following import follow as going_on
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:

        def shown(rows: Iterable[Row]) -> Iterable[Shown]:
            return listing.attested(reader, rows) if attested else ((row, ()) for row in rows)

        mark = listing.mark(reader)
        if lines is None and query.since is not None:
            stored: Iterable[Row] = listing.every(reader, query)
        else:
            stored = listing.newest(reader, query, lines or (FOLLOWED if follow else NEWEST))
        if not follow:
            yield shown(stored)
            return
        follower = Follower(reader, query, mark, lambda said: click.echo(f"tabard: {said}", err=True))
        # What was stored while this was read comes right after, once.
        yield shown(follower.note(row for row in stored if mark.covers(row)))
        yield from map(shown, going_on(follower))


def _write_count(home: Home, query: LogQuery, output: str) -> int:
    """Write how many records fit; that number."""
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:
        records = reader.count_all(query)
    sys.stdout.write((str(records) if output == "table" else json.dumps({"records": records})) + "\n")
    return records


def _offer_index(home: Home, query: LogQuery) -> None:
    """Say how such a search would not take that long."""
    from tabard.consumers.store.hits import INDEX
    from tabard.consumers.store.words import advice
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:
        how = reader.logs(replace(query, limit=1), 0.0).index
    if how != INDEX:
        click.echo(f"tabard: {advice(how, query.text)}", err=True)


def _write(batches: Iterable[Iterable[Shown]], output: str) -> int:
    """Write each batch as it comes; how many rows there were."""
    from tabard.ops.rendering import as_lines
    from tabard.web.objects import as_object

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    written = 0
    for rows in batches:
        before = written
        for row, attested in rows:
            if output == "table":
                for line in as_lines(row, colour=colour):
                    sys.stdout.write(line + "\n")
            else:
                text = json.dumps(as_object(row, attested), ensure_ascii=False)
                before_it = "" if output == "ndjson" else ",\n  " if written else "[\n  "
                sys.stdout.write(before_it + text + ("\n" if output == "ndjson" else ""))
            written += 1
        sys.stdout.flush()
        if written == before:
            _notice_reader_gone()
    if output == "json":
        sys.stdout.write("\n]\n" if written else "[]\n")
    return written


def _notice_reader_gone() -> None:
    """Raises BrokenPipeError when standard output is a pipe that nobody reads, though nothing is to be written."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(events & select.POLLERR for _, events in poll.poll(0)):
        raise BrokenPipeError
