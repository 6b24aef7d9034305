"""``tabard join``: take in the file that an authority made for this home."""

from __future__ import annotations

from pathlib import Path

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit
from tabard.settings import load


@command(
    "join",
    audited="join",
    examples=[
        ("tabard join web1.tabard", "On the host that the file was made for"),
        ("tabard join roster.tabard", "Newer rosters: what was revoked or removed since"),
        ("tabard join --new-root web1.tabard", "The whole installation got a new root"),
    ],
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--new-root",
    is_flag=True,
    help="Believe the root in the file in place of the one that this home believes. The old trust/ is kept aside.",
)
@output_option
def join(home: Home, file: Path, new_root: bool, output: str) -> int:
    """Take in keys and rosters that were made for this home.

    The first file decides which root it believes from then on. All of it is verified before anything is written. A key that gets a newer one in its place is kept as the former
    one; an older file changes nothing, and one whose keys were revoked is refused. The file must be this user's own, and
    nobody else may read it (mode 0600).
    """
    from tabard.brokers.trust import joining
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, change, settle, writing

    with writing(home):
        home.ensure()
        done = joining.join(home, file, replace_root=new_root)
    record(home, f"{file.name} joined by {who()}")
    node = next(
        (each.certificate for each in done if not each.roster and each.certificate.role == "node"), None
    )
    said = None if node is None else settle(home, load(home), node.name, node.zone)
    emit([change(each.did, each.certificate, each.roster) for each in done], CHANGES, output)
    if said:
        click.echo(said, err=True)
    return exits.DONE
