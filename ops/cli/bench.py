"""``tabard bench``: measure this machine."""

from __future__ import annotations

import sys
from typing import Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.bench.table import BENCHES, Options, heeding
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option

WORDS: Final = {
    "records": "--records",
    "seconds": "--seconds",
    "rounds": "--rounds",
    "store": "--store",
    "names": "PEER",
    "long": "--long",
    "rows": "--rows",
    "search_index": "--index",
    "fresh": "--fresh",
}
"""How each of the `Options` is spelled."""


@command(
    "bench",
    examples=[
        ("tabard bench ingest", "How fast do records get into the store, and how soon can they be read?"),
        ("tabard bench retention", "Does deleting hold up what comes in?"),
        ("tabard bench agent", "What does an agent cost its host?"),
        (
            "tabard bench intake",
            "How fast do records come in, by SocketHandler, syslog, OTLP and the others?",
        ),
        ("tabard bench logging", "What does a logging call cost an application?"),
        ("tabard bench tunnel", "How fast is a tunnel, and how soon is a frozen peer noticed?"),
        ("tabard bench command", "How soon is a command done, and how soon is said that a node is away?"),
        ("tabard bench ingest --store postgresql", "The same with the store on a server"),
        ("tabard bench peers", "How do rsyslog, syslog-ng, pyzmq and SocketHandler do on the same work?"),
        ("tabard bench peers rsyslog-relp tabard-sqlite --long", "Two of them, at length"),
        ("tabard bench search --rows 5000000", "How long does a search take in a large store?"),
        ("tabard bench ingest --records 50000 --rounds 1 -o json", "A quick look, for a program"),
    ],
)
@click.argument("name", type=click.Choice(list(BENCHES)))
@click.argument("peers", nargs=-1, metavar="[PEER]...")
@click.option(
    "--records",
    type=click.IntRange(1, 10_000_000),
    metavar="N",
    help=f"Of {heeding('records')}: records of one run.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 3600),
    metavar="N",
    help=f"Of {heeding('seconds')}: how long something steady is watched.",
)
@click.option(
    "--store",
    type=click.Choice(["sqlite", "postgresql"]),
    default="sqlite",
    show_default=True,
    help=f"Of {heeding('store')}: where the store is. A PostgreSQL server of its own is started for it.",
)
@click.option(
    "--rows",
    type=click.IntRange(1_000, 100_000_000),
    metavar="N",
    help=f"Of {heeding('rows')}: rows of the store.",
)
@click.option(
    "--index",
    type=click.Choice(["none", "words", "trigram"]),
    help=f"Of {heeding('search_index')}: which index the store has.  [default: words]",
)
@click.option(
    "--fresh",
    is_flag=True,
    help=f"Of {heeding('fresh')}: remove the stores that earlier runs have kept.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    metavar="N",
    help=f"Of {heeding('rounds')}: how often a run is repeated.",
)
@click.option(
    "--long", is_flag=True, help=f"Of {heeding('long')}: five times the records, more rounds, longer kills."
)
@output_option
def bench(
    home: Home,  # noqa: ARG001 -- every command takes --home; a bench makes a home of its own
    name: str,
    peers: tuple[str, ...],
    records: int | None,
    seconds: int | None,
    rounds: int | None,
    store: str,
    long: bool,
    rows: int | None,
    index: str | None,
    fresh: bool,
    output: str,
) -> int:
    """Measure this machine, each figure beside a ceiling or a peer of the same run.

    NAME is ingest (records a second and delay from an agent's socket through three brokers into the store),
    retention (the delay while a million old records are deleted), search (pages, searches and counts of a large store, and what a search index costs), agent (memory, CPU and
    start of an agent), intake (records a second of each way in), tunnel (bytes
    a second through each back end beside bare ssh, and how soon a frozen peer is noticed), logging (the cost of a logging call for the
    application), command (how soon an action is done that does nothing, beside bare ZeroMQ) or peers (other tools and Tabard on the same work, struck by the same kills; a PEER chooses some of
    them). Takes up to three minutes. Everything runs in a home of its own that is removed afterwards; the store that
    search has built is kept in the user's cache for the next run. An aim that is missed is reported as missed, with
    exit code 0; code 1 means that nothing could be measured, or that a record was lost. How far it is comes on
    standard error.
    """
    options = Options(records, seconds, rounds, store, peers, long, rows, index or "", fresh)
    _refuse_unheeded(name, options)
    from tabard.ops.bench.machine import describe
    from tabard.ops.bench.result import write

    machine = describe()
    measured = BENCHES[name].load()(
        options,
        lambda text: click.echo(f"tabard bench: {text}", err=True),
    )
    write(name, machine, measured, output, sys.stdout)
    return exits.DONE


def _refuse_unheeded(name: str, options: Options) -> None:
    """Raises UsageError for an option that this bench would not go by: a figure must be of what was asked for."""
    plain, heeds = Options()._asdict(), BENCHES[name].heeds
    for field, value in options._asdict().items():
        if value != plain[field] and field not in heeds:
            raise UsageError(
                f"the bench {name} takes no {WORDS[field]}",
                expected=f"{WORDS[field]} with {heeding(field)}",
                hint="Leave it out",
            )
