"""``tabard store backup``: a copy of the store that can be restored, while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.backup_manifest import Manifest

COLUMNS: Final = (
    "backup",
    "engine",
    "sink",
    "schema",
    "version",
    "made",
    "records",
    "bytes",
    "files",
)


@command(
    "backup",
    examples=[
        ("tabard store backup /backup/store-$(date +%F)", "The whole store, while it is written"),
        ("tabard store backup --verify /backup/store-2026-11-22", "Whether a backup is whole and sound"),
    ],
)
@click.option("--verify", is_flag=True, help="Make none: look whether the one at TARGET is whole and sound.")
@click.argument("target", type=click.Path(path_type=Path))
@output_option
def store_backup(home: Home, target: Path, verify: bool, output: str) -> int:
    """Back up the store to the directory TARGET, which must not be there yet.

    The recorder goes on meanwhile, and does not wait. TARGET is there when the backup is whole, was read again
    and is on the disk; a run that is ended before leaves nothing of that name. On SQLite both files are copied; on
    PostgreSQL the two schemas are dumped by pg_dump, which has to be installed here.
    """
    from tabard.consumers.store import backup_engines as engines
    from tabard.consumers.store.place import Place
    from tabard.ops.progress import Meter

    if verify:
        with Meter() as meter:
            manifest = engines.verify(target, meter)
        emit([shown(target, manifest, output)], COLUMNS, output)
        return exits.DONE
    settings = load(home)
    place = Place.of(settings, home)
    with Meter() as meter:
        manifest = engines.backup(place, target, settings.str("recorder.sink"), meter)
    emit([shown(target, manifest, output)], COLUMNS, output)
    try:
        engines.note(place, home, target, manifest)
    except OSError as error:
        click.echo(
            f"tabard: warning: the backup is made, but `tabard store stats` will not know of it: {error}",
            err=True,
        )
        return exits.PARTLY
    return exits.DONE


def shown(target: Path, manifest: Manifest, output: str) -> Row:
    """A backup as a row."""
    from tabard.web.scales import show_bytes
    from tabard.web.zones import iso

    table = output == "table"
    return {
        "backup": str(target.absolute()),
        "engine": manifest.engine,
        "sink": manifest.sink,
        "schema": manifest.schema,
        "version": manifest.tabard,
        "made": iso(manifest.made),
        "records": manifest.records,
        "bytes": show_bytes(manifest.bytes) if table else manifest.bytes,
        "files": [file.name for file in manifest.files],
    }
