"""``tabard doctor``: what is wrong here and above and below, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit, printable

if TYPE_CHECKING:
    from tabard.ops.doctor.finding import Finding
    from tabard.ops.doctor.place import Place

PATIENCE: Final = 10.0
"""Seconds that a check has."""


@command(
    "doctor",
    examples=[
        ("tabard doctor", "What is wrong, place by place, and what to do"),
        ("tabard doctor -o ndjson", "One object for each finding, for a program"),
        ("tabard doctor --home /srv/tabard", "Of that home"),
        ("tabard doctor --bundle for-support.tar.gz", "Put it all into a file for somebody who helps"),
    ],
)
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what somebody who helps needs to see, without secrets, to this new file (.tar.gz).",
)
@output_option
def doctor(home: Home, bundle: Path | None, output: str) -> int:
    """Look for what is wrong with this home and what it knows of others, and say what to do.

    Looks at the settings, keys, tunnels, roles, ports and disks of this home, at the zones and links that it knows, and
    where it has a store at the clocks, versions and losses of all nodes. Starts, changes and mends nothing; to see
    whether a disk can be written, it writes a small file there and removes it. Each
    check has an id and ten seconds; one that fails or takes longer is a finding itself. The ids are in the
    documentation, in docs/reference/doctor.md.

    With --bundle it writes a support bundle instead of showing what it found: versions, settings with secrets masked, the status of
    each role, findings, zones, counts of the store, whose the keys are, and what Tabard's own roles logged. No records of
    applications, no keys, tokens or links are in it, and a manifest says what was left out. It is for you alone to read (mode 0600) until
    you hand it on; names of hosts, users and paths are in it.

    Exit code 0: nothing was found; 3: warnings only; 1: at least one fault. With --bundle 0: it was written; 3: something could not
    be put into it, which the manifest says.
    """
    from tabard.ops.doctor.catalogue import CHECKS
    from tabard.ops.doctor.finding import FAULT, Finding
    from tabard.ops.doctor.guard import examine
    from tabard.ops.doctor.place import place_of

    place = place_of(home)
    found = examine(CHECKS, place, PATIENCE)
    if bundle is not None:
        return _bundle(bundle, place, found, output)
    if output != "table":
        emit((finding._asdict() for finding in found), Finding._fields, output)
    elif found:
        for line in _lines(found):
            click.echo(line)
    else:
        click.echo(f"nothing is wrong: {len(CHECKS)} checks of {home.path}")
    if any(finding.severity == FAULT for finding in found):
        return exits.FAILED
    return exits.PARTLY if found else exits.DONE


def _bundle(path: Path, place: Place, found: list[Finding], output: str) -> int:
    from tabard.ops.doctor.bundle import COLUMNS, write

    packed = write(path, place, found, PATIENCE)
    emit((each.row() for each in packed), COLUMNS, output)
    if output == "table":
        click.echo(f"tabard: written: {path}. Look into it before you hand it on", err=True)
    return exits.PARTLY if any(each.left_out for each in packed) else exits.DONE


def _lines(found: Iterable[Finding]) -> Iterator[str]:
    """For a person: place by place, those with faults first, each finding with what to do below it."""
    places: dict[str, list[Finding]] = {}
    for finding in sorted(found, key=lambda each: each.severity):
        places.setdefault(finding.where, []).append(finding)
    for where, of_place in places.items():
        yield printable(where)
        for finding in of_place:
            yield printable(f"  {finding.severity} [{finding.check}] {finding.what}")
            yield printable(f"    {finding.do}")
