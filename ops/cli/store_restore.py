"""``tabard store restore``: a backup in place of the store."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits, locks
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit
from tabard.ops.up.checks import refuse_missing
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.place import Place

COLUMNS: Final = ("backup", "made", "records", "store", "aside", "upgraded", "holds")
_HINT: Final = "End it, and `tabard up` if that started it, and try again"


@command(
    "restore",
    audited="store.restore",
    examples=[
        ("tabard store restore /backup/store-2026-11-22", "Go back to what was stored then"),
        (
            "tabard store restore --upgrade /backup/store-2026-01-01",
            "From a backup of an older version of Tabard",
        ),
    ],
)
@click.option("--upgrade", is_flag=True, help="Bring what is restored to this version's schema.")
@click.option(
    "--while-running",
    is_flag=True,
    help="Though a recorder runs: it begins a new session when it finds another store in place of its own.",
)
@click.argument("source", type=click.Path(path_type=Path))
@output_option
def store_restore(home: Home, source: Path, upgrade: bool, while_running: bool, output: str) -> int:
    """Put the backup SOURCE in place of the store.

    It is verified before anything changes. What is in the store now is put aside and stays there: the output
    says where. Both parts are restored or none is; a restoration that is interrupted is finished by the next start of
    a recorder. End the recorder before. When it starts again, nodes send what they still have of what came after the
    backup; what they no longer have is recorded as a gap or a doubt. Legal holds that are in force stay in force.
    """
    refuse_missing(["recorder"])
    from tabard.consumers.store import backup_engines as engines
    from tabard.consumers.store.backup_manifest import Manifest
    from tabard.consumers.store.place import Place
    from tabard.ops.progress import Meter
    from tabard.web.zones import iso

    settings = load(home)
    place = Place.of(settings, home)
    manifest = Manifest.read(source)
    engines.refuse_unfit(place, settings.str("recorder.sink"), source, manifest, upgrade=upgrade)
    home.ensure()
    with contextlib.ExitStack() as stack:
        if not while_running:
            stack.enter_context(locks.hold(home.lock("recorder"), hint=_HINT))
            _refuse_others(place)
        with Meter() as meter:
            done = engines.restore(place, source, manifest, meter, upgrade=upgrade)
    row = {
        "backup": str(source.absolute()),
        "made": iso(manifest.made),
        "records": manifest.records,
        "store": str(place),
        "aside": done.aside or None,
        "upgraded": done.upgraded,
        "holds": done.holds,
    }
    emit([row], COLUMNS, output)
    if done.aside:
        click.echo(
            f"tabard: what was in the store is in {done.aside}; remove it when you no longer need it",
            err=True,
        )
    return exits.DONE


def _refuse_others(place: Place) -> None:
    """Recorders of other hosts, which hold no lock of this home."""
    if place.url:
        from tabard.consumers.store.postgresql.restore import refuse_recorders

        refuse_recorders(place.url, place.password())
