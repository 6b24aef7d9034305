"""``tabard init``: the root authority of an installation, and the keys of its first home."""

from __future__ import annotations

import click

from tabard import exits
from tabard.errors import RefusedError
from tabard.home import Home
from tabard.names import zone_within
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option, settings_options
from tabard.ops.cli.values import Zone
from tabard.ops.output import emit
from tabard.settings import load


@command(
    "init",
    audited="init",
    examples=[
        (
            "tabard init --zone hq",
            "The first home of an installation, with the authority over hq and all below it",
        ),
        ("tabard init", "The same, for the zone that the settings put this host in"),
        ("tabard init -o json", "With the keys that were made, for a program"),
    ],
)
@click.option(
    "--zone", type=Zone(), metavar="PATH", help="The root's zone.  [default: the first name of node.zone]"
)
@settings_options
@output_option
def init(
    home: Home, zone: str | None, stage: str | None, overrides: tuple[tuple[str, str], ...], output: str
) -> int:
    """Make the root authority and the keys of the first home.

    There are keys for its node, its brokers, its recorder and its dispatcher, as the settings name them, and for an operator `local`, who gives commands here. The root's key is the one secret that everything hangs on: it stays in trust/keys of this home. Put a copy of that
    directory where nobody reaches it over a network. Zones below the root that brokers or the node of this home are in
    get authorities of their own, here too. A home that has keys is left as it is.
    """
    from tabard.brokers.trust.files import found
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, founders_of, settle, writing

    settings = load(home, stage, args=dict(overrides))
    if (
        zone is not None
        and settings.origin("node.zone").source == "default"
        and not home.settings_file.exists()
    ):
        settings = load(home, stage, args={**dict(overrides), "node.zone": zone})
    root = zone or settings.str("node.zone").partition("/")[0]
    members = founders_of(settings, home, root)
    outside = next((each for each in members if not zone_within(each.zone, root)), None)
    if outside is not None:
        raise RefusedError(
            "this home is not in the root's zone",
            expected=f"{root}, or a zone below it",
            found=f"{outside.role} {outside.name} in {outside.zone}",
            where=str(home.settings_file),
            hint=f'Set zone = "{root}" under [node] and in each [[broker]], or give another --zone',
        )
    with writing(home):
        trust = found(home, root, members)
    said = settle(home, load(home, stage, args=dict(overrides)), None, settings.str("node.zone"))
    record(home, f"keys of the root {root} made by {who()}")
    certificates = [trust.certificate(file.role, file.path) or trust.directory.root for file in trust.owned()]
    emit(changes("made", certificates, trust), CHANGES, output)
    if said:
        click.echo(said, err=True)
    return exits.DONE
