"""``tabard store upgrade``: an older store for this version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import click

from tabard import exits, failpoints
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit
from tabard.ops.up.checks import refuse_missing, refuse_running
from tabard.ops.up.plan import Planned
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.place import Place

COLUMNS: Final = ("file", "before", "after", "steps")
STEP: Final = failpoints.declare("upgrade.step", "a step of an upgrade is done and not committed")


@command(
    "upgrade",
    examples=[
        ("tabard store upgrade", "The store of this home"),
        ("tabard store upgrade --check", "What that would do"),
        ("tabard store upgrade --home /srv/tabard", "The store of another home"),
    ],
)
@click.option("--check", is_flag=True, help="Change nothing; exit with 3 when there is something to do.")
@output_option
def store_upgrade(home: Home, check: bool, output: str) -> int:
    """Bring the store to this version's schema.

    End the recorder before, and make a backup: an upgraded store is not read by older versions. A store that is up
    to date is left as it is. Each part is changed in one transaction: when it is interrupted the part is as it was, and
    the next try goes on. `tabard up` does this by itself before it starts a recorder.
    """
    refuse_missing(["recorder"])
    settings = load(home)
    from tabard.consumers.store.place import Place

    place = Place.of(settings, home)
    if check:
        rows = list(_planned(place))
        emit(_shown(rows, output), COLUMNS, output)
        return exits.PARTLY if any(row["before"] != row["after"] for row in rows) else exits.DONE
    # A recorder that starts meanwhile refuses the older schema, or waits for the lock of the file.
    refuse_running(
        home,
        [Planned("recorder", ("recorder",))],
        hint="End it, and `tabard up` if that started it, and try again",
    )
    emit(_shown(_upgraded(place), output), COLUMNS, output)
    return exits.DONE


def _shown(rows: Iterable[Row], output: str) -> Iterator[Row]:
    """In a table the versions alone: their sentences are on standard error."""
    for row in rows:
        steps = row["steps"]
        if output == "table" and isinstance(steps, list):
            yield {**row, "steps": [step.partition(" ")[0] for step in steps]}
        else:
            yield row


def _planned(place: Place) -> Iterator[Row]:
    from tabard.consumers.store.engines import plan
    from tabard.consumers.store.layout import VERSION

    for part, before, steps in plan(place):
        for step in steps:
            click.echo(f"tabard: {part}: {step.version} {step.what}", err=True)
        said = [f"{step.version} {step.what}" for step in steps]
        yield {"file": part, "before": before, "after": VERSION, "steps": said}


def _upgraded(place: Place) -> Iterator[Row]:
    from tabard.consumers.store.engines import upgrade
    from tabard.consumers.store.schema import steps_after

    what = {step.version: step.what for step in steps_after(None)}

    def tell(part: str, version: str) -> None:
        click.echo(f"tabard: {part}: {version} {what[version]}", err=True)
        failpoints.hit(STEP)

    for part, (before, after) in upgrade(place, tell).items():
        said = [f"{version} {text}" for version, text in what.items() if version > (before or "")]
        yield {"file": part, "before": before, "after": after, "steps": said}
