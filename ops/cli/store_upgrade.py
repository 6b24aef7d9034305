"""``tabard store upgrade``: an older store for this version."""

from __future__ import annotations

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.up.checks import refuse_missing, refuse_running
from tabard.ops.up.plan import Planned
from tabard.settings import load


@command(
    "upgrade",
    examples=[
        ("tabard store upgrade", "The store of this home"),
        ("tabard store upgrade --home /srv/tabard", "That of another"),
    ],
)
def store_upgrade(home: Home) -> int:
    """Bring the store to this version's schema.

    End the recorder before, and make a copy of the directory: an upgraded store is not read by older versions. A
    store that is up to date is left as it is.
    """
    refuse_missing(["recorder"])
    settings = load(home)
    # A recorder that starts meanwhile refuses the older schema, or waits for the lock of the file.
    refuse_running(home, [Planned("recorder", ("recorder",))])
    from tabard.consumers.store.schema import upgrade

    for file, (before, after) in upgrade(settings.str("store.path") or home.store).items():
        click.echo(f"{file}: {after}" if before == after else f"{file}: {before} to {after}")
    return exits.DONE
