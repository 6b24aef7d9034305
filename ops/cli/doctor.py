"""``tabard doctor``: what is wrong here and above and below, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit, printable

if TYPE_CHECKING:
    from tabard.ops.doctor.finding import Finding

PATIENCE: Final = 10.0
"""Seconds that a check has."""


@command(
    "doctor",
    examples=[
        ("tabard doctor", "What is wrong, place by place, and what to do"),
        ("tabard doctor -o ndjson", "One object for each finding, for a program"),
        ("tabard doctor --home /srv/tabard", "Of that home"),
    ],
)
@output_option
def doctor(home: Home, output: str) -> int:
    """Look for what is wrong with this home and what it knows of others, and say what to do.

    Looks at the settings, keys, tunnels, roles, ports and disks of this home, at the zones and links that it knows, and
    where it has a store at the clocks, versions and losses of all nodes. Starts, changes and mends nothing; to see
    whether a disk can be written, it writes a small file there and removes it. Each
    check has an id and ten seconds; one that fails or takes longer is a finding itself. The ids are in the
    documentation, in docs/reference/doctor.md.

    Exit code 0: nothing was found; 3: warnings only; 1: at least one fault.
    """
    from tabard.ops.doctor.catalogue import CHECKS
    from tabard.ops.doctor.finding import FAULT, Finding
    from tabard.ops.doctor.guard import examine
    from tabard.ops.doctor.place import place_of

    found = examine(CHECKS, place_of(home), PATIENCE)
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
