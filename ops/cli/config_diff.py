"""``tabard config diff``: what differs between two stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.errors import StoreError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.consumers.store.comparing import Difference
    from tabard.consumers.store.ports import StoreReader

COLUMNS: Final = ("service", "option", "state")
KEYS: Final = ("service", "kind", "name", "left", "right", "state")


@command(
    "diff",
    examples=[
        ("tabard config diff INTEGRATION PRODUCTION", "What differs"),
        ("tabard config diff TESTING PRODUCTION --service shop --all", "Every option of one service, side by side"),
        ("tabard config diff INTEGRATION PRODUCTION --check -o ndjson", "In a script: exit code 3 when they differ"),
    ],
)  # fmt: skip
@click.argument("left", metavar="STAGE")
@click.argument("right", metavar="STAGE")
@click.option("--service", metavar="NAME", help="Only this service.")
@click.option("--node", metavar="NAME", help="Only what runs on this node.")
@click.option("--all", "every", is_flag=True, help="Also what is the same.")
@click.option("--check", is_flag=True, help="Exit with 3 when anything differs.")
@output_option
def config_diff(
    home: Home,
    left: str,
    right: str,
    service: str | None,
    node: str | None,
    every: bool,
    check: bool,
    output: str,
) -> int:
    """Compare the versions and options of what runs in two stages.

    Reads the store of this home. A row is one version, option or secret of one service; where the nodes of a stage have
    several values, all are listed. The state is "different", "left" or "right" (only there), "unknown" (secrets that were
    tagged by different rules, or values that did not fit a record), with --all also "same". The exit code is 0 whether
    they differ or not, unless --check is given.
    """
    from tabard.ops.stores import open_reader

    with open_reader(home) as reader:
        found = compared(reader, left, right, service, node)
    different = [each for each in found if each.state != "same"]
    shown = found if every else different
    rows: list[Row] = [
        {**each._asdict(), "left": list(each.left), "right": list(each.right)} for each in shown
    ]
    if output == "table":
        heads = _heads(left, right)
        emit([_line(row, heads) for row in rows], (*COLUMNS[:2], *heads, COLUMNS[2]), output)
    else:
        emit(rows, KEYS, output)
    return exits.PARTLY if check and different else exits.DONE


def compared(
    reader: StoreReader, left: str, right: str, service: str | None, node: str | None
) -> list[Difference]:
    """What is the same and what differs. Raises StoreError for a stage in which nothing is known to run."""
    from tabard.consumers.store.comparing import differences

    sides = [reader.deployments(service, stage, node) for stage in (left, right)]
    for stage, side in zip((left, right), sides, strict=True):
        if not side:
            known = sorted({each.stage for each in reader.deployments(service, None, node) if each.stage})
            raise StoreError(
                "nothing is known to run in that stage",
                expected=f"one of {', '.join(known)}"
                if known
                else "services that record their configuration",
                found=stage,
                hint="Services that use tabard.Config appear with their next start",
            )
    return differences(sides[0], sides[1], reader.configuration)


def _heads(left: str, right: str) -> tuple[str, str]:
    """The stages' own names above their values, in a form that no other column has."""
    first = f"{left} " if left in COLUMNS else left or "(none)"
    second = f"{right} " if right in COLUMNS else right or "(none)"
    return (first, f"{second} ") if first == second else (first, second)


def _line(row: Row, heads: tuple[str, str]) -> Row:
    """A row with the stages' own names above their values."""
    return {
        "service": row["service"],
        "option": row["name"] or f"({row['kind']})",
        heads[0]: row["left"],
        heads[1]: row["right"],
        "state": row["state"],
    }
