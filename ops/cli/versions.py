"""``tabard versions``: what runs where, since when, and what was promoted when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option, place_options
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.consumers.store.comparing import Change
    from tabard.consumers.store.deployments import Deployment

KEYS: Final = (
    "service", "stage", "node", "zone", "package", "version", "digest", "rule", "since", "last", "starts",
)  # fmt: skip
COLUMNS: Final = ("service", "stage", "node", "version", "configuration", "since", "starts")
HISTORY_KEYS: Final = (
    "time", "service", "stage", "node", "zone", "change", "package", "version", "digest", "before_version",
    "before_digest", "promoted_from", "until",
)  # fmt: skip
HISTORY_COLUMNS: Final = (
    "time",
    "service",
    "stage",
    "node",
    "change",
    "version",
    "before",
    "configuration",
    "promoted",
)
NEWEST: Final = 200
"""Changes that are listed unless more are asked for."""


@command(
    "versions",
    examples=[
        ("tabard versions", "What runs on every stage and node, and since when"),
        ("tabard versions --service shop --history", "What was promoted when"),
        ("tabard versions --stage PRODUCTION -o ndjson", "One JSON object a line"),
    ],
)
@place_options
@click.option("--history", is_flag=True, help="What changed when, newest first, in place of what runs now.")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 20_000),
    default=NEWEST,
    show_default=True,
    help="Most changes to list.",
)
@output_option
def versions(
    home: Home,
    service: str | None,
    stage: str | None,
    node: str | None,
    history: bool,
    count: int,
    output: str,
) -> int:
    """Show which version of which service runs where, and what changed when.

    Reads the store of this home, where services that use tabard.Config appear with each start, and so do Tabard's own roles
    (tabard-agent and others). What runs is what started last; whether it still does is not known here. With --history every
    change is a row: promoted names the stage in which that version was seen before, rollback says that an older one
    began again.
    """
    from tabard.consumers.store.comparing import changes
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:
        if not history:
            current = reader.deployments(service, stage, node)
            if output == "table":
                emit(map(_line, current), COLUMNS, output)
            else:
                emit(map(_row, current), KEYS, output)
            return exits.DONE
        # What was promoted is seen only by looking at all stages and nodes.
        found = [
            change
            for change in changes(reader.deployment_history(service))
            if stage in (None, change.deployment.stage) and node in (None, change.deployment.node)
        ][:count]
    if output == "table":
        emit(map(_change_line, found), HISTORY_COLUMNS, output)
    else:
        emit(map(_change, found), HISTORY_KEYS, output)
    return exits.DONE


def _row(found: Deployment) -> Row:
    from tabard.web.zones import iso

    row: dict[str, Any] = found._asdict()
    return {
        **row,
        "package": found.package or None,
        "version": found.version or None,
        "since": iso(found.since),
        "last": iso(found.last),
    }


def _line(found: Deployment) -> Row:
    return {**_row(found), "configuration": found.digest[:12]}


def _change(change: Change) -> Row:
    from tabard.web.zones import iso

    this, before = change.deployment, change.before
    return {
        "time": iso(this.since),
        "service": this.service,
        "stage": this.stage,
        "node": this.node,
        "zone": this.zone,
        "change": change.what,
        "package": this.package or None,
        "version": this.version or None,
        "digest": this.digest,
        "before_version": before.version or None if before else None,
        "before_digest": before.digest if before else None,
        "promoted_from": change.promoted_from or None,
        "until": None if this.until is None else iso(this.until),
    }


def _change_line(change: Change) -> Row:
    this = change.deployment
    return {
        **_change(change),
        "before": change.before.version if change.before else None,
        "configuration": this.digest[:12],
        "promoted": f"from {change.promoted_from}" if change.promoted_from else None,
    }
