"""``tabard store index``: the search index of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.errors import UsageError
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.results import IndexState

KEYS: Final = ("kind", "wanted", "state", "covered", "rows", "bytes")

index: Final = Group(
    name="index",
    table={
        "status": Entry("tabard.ops.cli.store_index:index_status", "Show how far the search index is."),
        "build": Entry("tabard.ops.cli.store_index:index_build", "Build it now, while no recorder runs."),
        "drop": Entry("tabard.ops.cli.store_index:index_drop", "Remove it now, while no recorder runs."),
    },
    default="status",
    help="Look at the search index, build or remove it.",
    examples=[
        ("tabard store index", "Which one there is, and how much of the log it has"),
        ("tabard store index build", "Build what store.index names, without waiting for a recorder"),
    ],
)


@command(
    "status",
    examples=[
        ("tabard store index status", "Which one there is, and how much of the log it has"),
        ("tabard store index status -o json", "For a program"),
    ],
)
@output_option
def index_status(home: Home, output: str) -> int:
    """Show which search index there is, and how much of the log it has.

    WANTED is what `store.index` names. A recorder that runs builds it in the background, and removes any other; both
    are then in the list. COVERED of ROWS is how many records the index has; on a server both are its estimates.
    """
    from tabard.ops.stores import open_reader

    settings = load(home)
    wanted = settings.str("store.index")
    with open_reader(home, settings) as reader:
        found = reader.indexes()
    emit(_rows(found, wanted), KEYS, output)
    return exits.DONE


def _rows(found: list[IndexState], wanted: str) -> Iterator[Row]:
    for each in found:
        state = each.state if each.kind == wanted or each.state == "broken" else "not wanted"
        yield {**each._asdict(), "wanted": wanted, "state": state}
    if wanted != "none" and not any(each.kind == wanted for each in found):
        rows = found[0].rows if found else None
        yield {"kind": wanted, "wanted": wanted, "state": "missing", "covered": 0, "rows": rows, "bytes": 0}


@command(
    "build",
    examples=[("tabard store index build", "What store.index names, as far as it is not there yet")],
)
@output_option
def index_build(home: Home, output: str) -> int:
    """Build the search index that `store.index` names, in the foreground.

    A recorder builds it by itself while records come in; this is for a store that has none running, after a large
    import for example. It may be interrupted and called again: it goes on where it was.
    """
    wanted = load(home).str("store.index")
    if wanted == "none":
        raise UsageError(
            "there is no index to build",
            expected='store.index to be "words" or "trigram"',
            found='"none"',
            hint="Put it into the settings first",
        )
    _make(home, wanted)
    return _shown(home, output)


@command(
    "drop",
    examples=[("tabard store index drop", 'After store.index = "none" was set')],
)
@output_option
def index_drop(home: Home, output: str) -> int:
    """Remove every search index, in the foreground. Records stay as they are.

    A recorder does so by itself when `store.index` is "none"; with another value it would build the index again.
    """
    wanted = load(home).str("store.index")
    if wanted != "none":
        raise UsageError(
            "the next recorder would build it again",
            expected='store.index = "none"',
            found=f'"{wanted}"',
            hint="Change the settings first",
        )
    _make(home, "none")
    return _shown(home, output)


def _make(home: Home, wanted: str) -> None:
    from tabard.consumers.store.engines import make_index
    from tabard.consumers.store.place import Place
    from tabard.ops.up.checks import refuse_running
    from tabard.ops.up.plan import Planned

    settings = load(home)
    refuse_running(
        home,
        [Planned("recorder", ("recorder",))],
        hint="It builds and removes the index by itself: see `tabard store index status`",
    )
    make_index(Place.of(settings, home), wanted, lambda text: click.echo(f"tabard: {text}", err=True))


def _shown(home: Home, output: str) -> int:
    from tabard.ops.stores import open_reader

    settings = load(home)
    with open_reader(home, settings) as reader:
        emit(_rows(reader.indexes(), settings.str("store.index")), KEYS, output)
    return exits.DONE
