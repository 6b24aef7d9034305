"""``tabard bench``: measure this machine."""

from __future__ import annotations

import sys
from typing import Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.bench.table import BENCHES, Options
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option

STORED: Final = ("ingest", "retention", "search")
"""Benches of a store, whichever it is."""


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
        ("tabard bench ingest --store postgresql", "The same with the store on a server"),
        ("tabard bench peers", "How do rsyslog, syslog-ng, pyzmq and SocketHandler do on the same work?"),
        ("tabard bench peers rsyslog-relp tabard-sqlite --long", "Two of them, at length"),
        ("tabard bench search --rows 5000000", "How long does a search take in a large store?"),
        ("tabard bench ingest --records 50000 --rounds 1 -o json", "A quick look, for a program"),
    ],
)
@click.argument("name", type=click.Choice(list(BENCHES)))
@click.argument("peers", nargs=-1, metavar="[PEER]...")
@click.option("--records", type=click.IntRange(1, 10_000_000), metavar="N", help="Records of one run.")
@click.option(
    "--seconds", type=click.IntRange(1, 3600), metavar="N", help="How long something steady is watched."
)
@click.option(
    "--store",
    type=click.Choice(["sqlite", "postgresql"]),
    default="sqlite",
    show_default=True,
    help="Of ingest, retention and search: where the store is. A PostgreSQL server of its own is started for it.",
)
@click.option(
    "--rows", type=click.IntRange(1_000, 100_000_000), metavar="N", help="Of search: rows of the store."
)
@click.option(
    "--index",
    type=click.Choice(["none", "words", "trigram"]),
    help="Of search: which index the store has.  [default: words]",
)
@click.option("--fresh", is_flag=True, help="Of search: remove the stores that earlier runs have kept.")
@click.option("--rounds", type=click.IntRange(1, 100), metavar="N", help="How often a run is repeated.")
@click.option("--long", is_flag=True, help="Of peers: five times the records, more rounds, longer kills.")
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
    start of an agent), intake (records a second of each way in), logging (the cost of a logging call for the
    application) or peers (other tools and Tabard on the same work, struck by the same kills; a PEER chooses some of
    them). Takes up to three minutes. Everything runs in a home of its own that is removed afterwards; the store that
    search has built is kept in the user's cache for the next run. An aim that is missed is reported as missed, with
    exit code 0; code 1 means that nothing could be measured, or that a record was lost. How far it is comes on
    standard error.
    """
    if store != "sqlite" and name not in STORED:
        raise UsageError(
            f"--store belongs to the benches {', '.join(STORED)}", found=name, hint="Leave it out"
        )
    if (rows is not None or index or fresh) and name != "search":
        raise UsageError(
            "--rows, --index and --fresh belong to the bench search", found=name, hint="Leave them out"
        )
    if (peers or long) and name != "peers":
        found = f"{name} {peers[0] if peers else '--long'}"
        raise UsageError(
            "names of peers and --long belong to the bench peers", found=found, hint="Leave them out"
        )
    from tabard.ops.bench.machine import describe
    from tabard.ops.bench.result import write

    machine = describe()
    measured = BENCHES[name].load()(
        Options(records, seconds, rounds, store, peers, long, rows, index or "", fresh),
        lambda text: click.echo(f"tabard bench: {text}", err=True),
    )
    write(name, machine, measured, output, sys.stdout)
    return exits.DONE
