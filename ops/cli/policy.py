"""``tabard policy``: what may pass from one zone to the one above it. Without a word after it, it lists policies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tabard import exits
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.home import Home
from tabard.names import NAME, NAME_FORM
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Time, Zone
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.brokers.policy.document import Policy
    from tabard.brokers.trust.files import Trust
    from tabard.ops.policies.trying import Said

policy: Final = Group(
    name="policy",
    table={
        "set": Entry("tabard.ops.cli.policy:policy_set", "Make a policy, or another one in its place."),
        "list": Entry("tabard.ops.cli.policy:policy_list", "List the policies that this home knows."),
        "show": Entry("tabard.ops.cli.policy:policy_show", "Show one policy as the file that describes it."),
        "remove": Entry("tabard.ops.cli.policy:policy_remove", "End a policy: everything passes again."),
        "test": Entry("tabard.ops.cli.policy:policy_test", "See what a policy would make of records."),
    },
    default="list",
    help="Say what may pass from one zone to the one above, and try it.",
    examples=[
        ("tabard policy test edge --draft edge.toml --since 1h", "What would it withhold and redact?"),
        ("tabard policy set edge --zone hq/dmz --file edge.toml", "What hq/dmz lets out, upwards"),
        ("tabard policy list", "Which policies hold, and what they say"),
    ],
)


class PolicyId(click.ParamType[str]):
    """What policies are called, whatever their number."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id."""
        if NAME.fullmatch(str(value)) is None:
            self.fail(f"expected {NAME_FORM}, found {value!r}", param, ctx)
        return str(value)


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_zone_option = click.option(
    "--zone",
    type=Zone(),
    metavar="PATH",
    help="The zone whose broker applies it.  [default: the one whose authority is here, or that has such a policy, if there is one only]",
)
_below_option = click.option(
    "--below",
    type=Zone(),
    metavar="PATH",
    help="The zone right below it of whose records it speaks.  [default: the zone itself: what leaves it upwards]",
)


@command(
    "set",
    audited="policy.set",
    examples=[
        ("tabard policy set edge --zone hq/dmz --file edge.toml", "What the DMZ lets out"),
        (
            "tabard policy set plant --zone hq --below hq/plant --file plant.toml",
            "What hq lets in from the plant, whatever that sends",
        ),
    ],
)
@click.argument("id_", metavar="ID", type=PolicyId())
@_zone_option
@_below_option
@click.option("--file", "file", type=_FILE, required=True, metavar="FILE", help="What it says, as TOML.")
@output_option
def policy_set(home: Home, id_: str, zone: str | None, below: str | None, file: Path, output: str) -> int:
    """Sign what a file says as the next number of a policy, and put it into the roster of its zone.

    Run where the zone's authority is. The zone's brokers apply it as soon as they have that roster: in this home within
    a second, elsewhere as any roster gets there. docs/how-to/policies.md says what the file may have in it; one that has
    something else in it is refused with the line, by exit code 1, and nothing changes.
    """
    from tabard.brokers.trust import members
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import changing, zone_of
    from tabard.ops.policies.rows import HOLDS, LIST, TABLE, row
    from tabard.ops.policies.written import read_policy

    with changing(home) as trust:
        place = zone_of(trust, zone)
        wanted = read_policy(file, id_, place, _link(place, below))
        known = trust.authority(place).policies().get(id_)
        if below is None and known is not None and known.policy.below != place and not known.policy.ended:
            raise UsageError(
                f"the policy {known.policy.name} is for another link",
                expected=f"--below {known.policy.below}, or another id",
                found="no --below",
            )
        made = members.set_policy(trust, wanted, time.time_ns())
    record(home, f"policy {made.policy.name} of zone {place} set by {who()}")
    emit([row(made.policy, HOLDS)], LIST if output != "table" else TABLE, output)
    return exits.DONE


@command(
    "list",
    examples=[
        ("tabard policy list", "Those that hold, of all zones"),
        ("tabard policy list --all -o json", "Also those that were removed, for a program"),
    ],
)
@click.option("--all", "every", is_flag=True, help="Also policies that were removed.")
@output_option
def policy_list(home: Home, every: bool, output: str) -> int:
    """List the policies of all rosters that this home knows, by zone and id.

    Exit code 3: one of them cannot be read, or who signed it is not believed; its zone's brokers then hand nothing up
    over that link. Or a roster does not hold, which standard error says.
    """
    from tabard.ops.keys import trusted
    from tabard.ops.policies.known import all_of
    from tabard.ops.policies.rows import ENDED, LIST, TABLE, UNREADABLE, UNSIGNED

    trust = trusted(home)
    rows = [each for each in all_of(trust, time.time_ns()) if every or each["state"] != ENDED]
    emit(rows, LIST if output != "table" else TABLE, output)
    for fault in trust.faults:
        click.echo(f"tabard: {fault}", err=True)
    wrong = any(each["state"] in {UNREADABLE, UNSIGNED} for each in rows)
    return exits.PARTLY if wrong or trust.faults else exits.DONE


@command(
    "show",
    examples=[
        ("tabard policy show edge > edge.toml", "Take it as it is, change it, and set it again"),
        ("tabard policy show edge -o json", "For a program"),
    ],
)
@click.argument("id_", metavar="ID", type=PolicyId())
@_zone_option
@output_option
def policy_show(home: Home, id_: str, zone: str | None, output: str) -> int:
    """Show what a policy says: as the file that `tabard policy set` takes, with its name in a comment."""
    from tabard.ops.keys import trusted
    from tabard.ops.policies.known import find
    from tabard.ops.policies.rows import LIST, row, state_of
    from tabard.ops.policies.written import as_toml

    trust = trusted(home)
    found = find(trust, id_, zone)
    state = state_of(found, trust.directory, time.time_ns())
    if output != "table":
        emit([row(found, state)], LIST, output)
        return exits.DONE
    link = "upwards" if found.below == found.zone else f"from {found.below}"
    click.echo(f"# {found.name} of zone {found.zone}, {link}: {state}")
    for line in as_toml(found):
        click.echo(line)
    return exits.DONE


@command(
    "remove",
    audited="policy.remove",
    examples=[("tabard policy remove edge --zone hq/dmz", "Everything passes again")],
)
@click.argument("id_", metavar="ID", type=PolicyId())
@_zone_option
@output_option
def policy_remove(home: Home, id_: str, zone: str | None, output: str) -> int:
    """End a policy by its next number, which says so. Run where the zone's authority is.

    What it withheld stays withheld in the stores above; the records are where they were handed on.
    """
    from tabard.brokers.trust import members
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import changing
    from tabard.ops.policies.known import find
    from tabard.ops.policies.rows import ENDED, LIST, TABLE, row

    with changing(home) as trust:
        found = find(trust, id_, zone)
        if found.ended:
            raise RefusedError("the policy was removed before", found=found.name, expected="one that holds",
                               hint="See those with: tabard policy list")  # fmt: skip
        made = members.set_policy(trust, found._replace(ended=True), time.time_ns())
    record(home, f"policy {found.name} of zone {found.zone} removed by {who()}")
    emit([row(made.policy, ENDED)], LIST if output != "table" else TABLE, output)
    return exits.DONE


@command(
    "test",
    examples=[
        ("tabard policy test edge --since 1h", "The records that this store has of the last hour"),
        ("tabard policy test edge --file day.ndjson --all", "Those of a file, also what passes as it is"),
        (
            "tabard policy test edge --draft edge.toml --zone hq/dmz --since 1d -o ndjson",
            "A policy that is not set yet",
        ),
    ],
)
@click.argument("id_", metavar="ID", type=PolicyId())
@_zone_option
@_below_option
@click.option(
    "--draft", type=_FILE, metavar="FILE", help="What it would say, as TOML, instead of what is set."
)
@click.option("--file", "file", type=_FILE, metavar="FILE",
              help="Records, one JSON object a line, as tabard logs -o ndjson writes them.")  # fmt: skip
@click.option("--since", type=Time(), metavar="TIME", help="Records of this home's store from this time on.")
@click.option("--until", type=Time(), metavar="TIME", help="With --since: before this time.")
@click.option("--all", "every", is_flag=True, help="Also records that would pass as they are.")
@output_option
def policy_test(
    home: Home,
    id_: str,
    zone: str | None,
    below: str | None,
    draft: Path | None,
    file: Path | None,
    since: int | None,
    until: int | None,
    every: bool,
    output: str,
) -> int:
    """Say of log records which of them a policy would withhold, and what it would redact of others. Changes nothing.

    Records are those of a store that lies at the boundary or below it, or of a file. Standard error says how many there
    were. A rate is not tried. Records of samples are withheld as a whole or not at all, and not looked at here.
    """
    from tabard.ops.policies.trying import BESIDE, COLUMNS, PASSES, TABLE, stored, tried, written
    from tabard.ops.stores import open_reader

    if (file is None) == (since is None):
        raise UsageError(
            "records to try it on have to be named once",
            expected="--file FILE or --since TIME",
            found="neither" if file is None else "both",
        )
    if until is not None and since is None:
        raise UsageError("--until narrows --since", expected="--since with it", found="--file")
    meant = _meant(home, id_, zone, below, draft)
    counts: Counter[str] = Counter()

    def rows(records: Iterable[Said]) -> Iterable[Row]:
        wanted = tried(meant, records, counts)
        return (row for row in wanted if every or row["outcome"] not in {PASSES, BESIDE})

    columns = TABLE if output == "table" else COLUMNS
    if file is not None:
        emit(rows(written(file, meant.below)), columns, output)
    else:
        assert since is not None
        with open_reader(home) as reader:
            emit(rows(stored(reader, meant.below, since, until)), columns, output)
    click.echo(f"tabard: {_summary(meant, counts)}", err=True)
    return exits.DONE


def _meant(home: Home, id_: str, zone: str | None, below: str | None, draft: Path | None) -> Policy:
    """The policy to try: the one that is set, or what a file would make of it."""
    from tabard.ops.keys import trusted
    from tabard.ops.policies.known import find
    from tabard.ops.policies.written import read_policy

    if draft is None:
        if below is not None:
            raise UsageError(
                "a policy that is set has its link", expected="--below with --draft only", found="--below"
            )
        found = find(trusted(home), id_, zone)
        if found.ended:
            raise RefusedError("the policy was removed, and withholds nothing", found=found.name,
                               expected="one that holds, or --draft FILE")  # fmt: skip
        return found
    if zone is None:
        zone = _only_zone(home, id_)
    return read_policy(draft, id_, zone, _link(zone, below))


def _link(zone: str, below: str | None) -> str:
    """The zone below of a link; raises UsageError where it is none of that zone's."""
    if below is not None and below != zone and below.rpartition("/")[0] != zone:
        raise UsageError(
            "--below names a zone to which that one has no link",
            expected=f"a zone right below {zone}, or none for what leaves {zone} itself",
            found=below,
        )
    return below or zone


def _only_zone(home: Home, id_: str) -> str:
    """The zone that is meant where none is named: that of the policy in whose place it would come, else the only one here."""
    from tabard.ops.keys import trusted, zone_of
    from tabard.ops.policies.known import find

    trust: Trust = trusted(home)
    try:
        return find(trust, id_, None).zone
    except TabardError:
        return zone_of(trust, None)


def _summary(meant: Policy, counts: Counter[str]) -> str:
    from tabard.ops.policies.trying import BESIDE, CHANGED, WITHHELD

    total = sum(counts.values())
    beside = f"; {counts[BESIDE]} are not of {meant.below} and never pass this link" if counts[BESIDE] else ""
    return (
        f"of {total} record{'' if total == 1 else 's'} {counts[WITHHELD]} would be withheld"
        f" and {counts[CHANGED]} redacted{beside}"
    )
