"""``tabard config show``: the options that services run with, as they were recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option, place_options
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.consumers.store.ports import StoreReader

KEYS: Final = ("service", "stage", "node", "zone", "version", "digest", "since", "option", "value", "secret")
COLUMNS: Final = ("service", "stage", "node", "version", "option", "value")


@command(
    "show",
    examples=[
        ("tabard config show --service shop --stage PRODUCTION", "What the shop runs with in production"),
        ("tabard config show --service shop -o json", "For a program"),
    ],
)
@place_options
@click.option("--option", "name", metavar="NAME", help="Only this option.")
@output_option
def config_show(
    home: Home, service: str | None, stage: str | None, node: str | None, name: str | None, output: str
) -> int:
    """Show with which configuration services run, or ran last.

    Reads the store of this home. Secrets are masked; behind the mask stands the beginning of a tag that differs when the
    secret does. Options that did not fit the record are missing: the last line of a service says how many.
    """
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:
        rows = list(_rows(reader, service, stage, node, name))
    emit(rows, COLUMNS if output == "table" else KEYS, output)
    return exits.DONE


def _rows(
    reader: StoreReader, service: str | None, stage: str | None, node: str | None, name: str | None
) -> Iterator[Row]:
    from tabard.web.zones import iso

    for found in reader.deployments(service, stage, node):
        content = reader.configuration(found)
        place = {
            "service": found.service,
            "stage": found.stage,
            "node": found.node,
            "zone": found.zone,
            "version": found.version or None,
            "digest": found.digest,
            "since": iso(found.since),
        }
        for option, value in content.values.items():
            if name in (None, option):
                tag = content.secrets.get(option)
                shown = f"{value} #{tag[:8]}" if tag else value
                yield {**place, "option": option, "value": shown, "secret": tag is not None}
        if content.left_out and name is None:
            more = f"{content.left_out} more, which did not fit the record"
            yield {**place, "option": None, "value": more, "secret": False}
