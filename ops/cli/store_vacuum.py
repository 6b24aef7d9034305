"""``tabard store vacuum``: room that deleted rows left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits, locks
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.vacuum import Won

COLUMNS: Final = ("part", "before", "after", "log_before", "log_after", "complete")


@command(
    "vacuum",
    examples=[
        ("tabard store vacuum", "Give back what deleted records took, while everything runs"),
        ("tabard store vacuum --full", "Write everything anew, with the recorder ended"),
    ],
)
@click.option(
    "--full",
    is_flag=True,
    help="Write everything anew. On SQLite the recorder has to be ended; on PostgreSQL every table is locked for"
    " readers and recorders while it is written. Needs as much room again.",
)
@output_option
def store_vacuum(home: Home, full: bool, output: str) -> int:
    """Give the room of deleted records back.

    Seldom needed: new records use that room, and the recorder shortens a file by itself when a quarter of it is free.
    On SQLite both files are shortened in steps of a few milliseconds, and the write-ahead logs are cut; on PostgreSQL
    Tabard's tables are vacuumed and analysed. Exits with 3 when something is left to be given back, because
    a reader needed it.
    """
    from tabard.consumers.store.place import Place
    from tabard.ops.progress import Meter

    settings = load(home)
    place = Place.of(settings, home)
    with contextlib.ExitStack() as stack:
        meter = stack.enter_context(Meter())
        if place.url:
            from tabard.consumers.store.postgresql import vacuum as served

            won = served.vacuum(place.url, place.password(), meter, full=full)
        else:
            from tabard.consumers.store.vacuum import vacuum

            if full:
                home.ensure()
                stack.enter_context(
                    locks.hold(home.lock("recorder"), hint="End it, and `tabard up` if that started it")
                )
            won = vacuum(Path(place.directory), meter, full=full)
    emit(_rows(won, output), COLUMNS, output)
    return exits.DONE if all(part.complete for part in won) else exits.PARTLY


def _rows(won: list[Won], output: str) -> Iterator[Row]:
    from tabard.web.scales import show_bytes

    for part in won:
        row = part._asdict()
        if output == "table":
            row |= {name: show_bytes(size) for name, size in row.items() if name not in ("part", "complete")}
        yield row
