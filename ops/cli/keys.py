"""``tabard keys``: the keys that this home knows. Without a word after it, it lists them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.durations import Duration
from tabard.ops.cli.group import Group
from tabard.ops.cli.keyvalues import KeyPrefix, life_option, nanoseconds, out_option
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Text, Zone
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.brokers.trust.files import Trust

keys: Final = Group(
    name="keys",
    table={
        "list": Entry(
            "tabard.ops.cli.keys:keys_list", "List the keys that this home knows, and which of them hold."
        ),
        "rotate": Entry("tabard.ops.cli.keys:keys_rotate", "Make a new key in place of one."),
        "renew": Entry(
            "tabard.ops.cli.keys:keys_renew", "Make new certificates for keys whose own end soon."
        ),
        "revoke": Entry("tabard.ops.cli.keys:keys_revoke", "Say that a key is not to be believed any more."),
        "roster": Entry(
            "tabard.ops.cli.keys:keys_roster", "List the rosters of this home, or write them to a file."
        ),
    },
    default="list",
    help="Look at keys and certificates, replace them, and take them back.",
    examples=[
        ("tabard keys list", "Every member of every zone that this home knows of"),
        ("tabard keys rotate node web1 --zone hq/dmz --out web1.tabard", "A new key for a host elsewhere"),
        ("tabard keys revoke 5bf10ce5 --reason 'disk stolen'", "From the next roster on nobody believes it"),
    ],
)
_ROLES: Final = ("zone", "node", "broker", "recorder", "dispatcher", "operator")


@command(
    "list",
    examples=[
        ("tabard keys list", "The newest certificate of each name"),
        (
            "tabard keys list --all -o json",
            "Also those that were replaced or revoked, with the reason, for a program",
        ),
    ],
)
@click.option("--all", "every", is_flag=True, help="Also certificates that have a newer one in their place.")
@output_option
def keys_list(home: Home, every: bool, output: str) -> int:
    """List keys by zone: whose each is, until when, whether it holds, and whether its secret is in this home.

    Below the table, on standard error: what ends within 30 days, and that there are revoked keys which others have taken the place of.
    No secret is shown. Exit code 3: something in this home does not hold, which standard error says.
    """
    from tabard.ops.keys import LIST, listed, trusted

    trust = trusted(home)
    rows = listed(trust, time.time_ns(), every=every)
    told = {"since", "serial"} if any(row["reason"] for row in rows) else {"since", "serial", "reason"}
    columns = LIST if output != "table" else tuple(name for name in LIST if name not in told)
    emit(rows, columns, output)
    for fault in trust.faults:
        click.echo(f"tabard: {fault}", err=True)
    if output == "table":
        _tell(trust, rows)
    return exits.PARTLY if trust.faults else exits.DONE


def _tell(trust: Trust, rows: list[Row]) -> None:
    """What people should know beside the table: what ends soon, and that there is more that was revoked."""
    from tabard.ops.keys import ending, listed

    now = time.time_ns()
    for words in ending(trust, now):
        click.echo(f"tabard: {words}", err=True)
    revoked = {row["key"] for row in listed(trust, now, every=True) if row["state"] == "revoked"}
    if hidden := revoked - {row["key"] for row in rows}:
        click.echo(f"tabard: {len(hidden)} more keys were revoked: tabard keys list --all", err=True)


@command(
    "rotate",
    audited="keys.rotate",
    examples=[
        ("tabard keys rotate node web1", "Its key is in this home: the new one is stored beside it"),
        (
            "tabard keys rotate node web1 --zone hq/dmz --out web1.tabard",
            "It is not: carry the file over and join it there",
        ),
        ("tabard keys rotate zone hq/dmz", "The authority of a zone; renew its members' certificates then"),
        (
            "tabard keys rotate zone hq",
            "The root itself: its members are renewed with it; carry the roster to all",
        ),
    ],
)
@click.argument("role", type=click.Choice(_ROLES))
@click.argument("name", type=Text(1, 1_024))
@click.option(
    "--zone",
    type=Zone(),
    metavar="PATH",
    help="Its zone.  [default: the one whose authority is here, if there is one only]",
)
@out_option(
    required=False, text="File for the new key when the old one is not in this home; it must not exist."
)
@life_option("365d, of a zone 3650d")
@output_option
def keys_rotate(
    home: Home, role: str, name: str, zone: str | None, out: Path | None, life: float | None, output: str
) -> int:
    """Make a new key and certificate in place of those that a member has. Run where the zone's authority is.

    The old key stays valid until its certificate ends or you revoke it, so that what it signed can still be verified.
    """
    from tabard.brokers.trust import members
    from tabard.errors import UsageError
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing, handed_over, zone_of

    with changing(home) as trust:
        here = trust.key(role, name) is not None
        place = name if role == "zone" else zone_of(trust, zone)
        now = time.time_ns()
        root = ("zone", trust.directory.root.zone)
        if not here and (role, name) != root:  # who is no member needs no file either
            members.member(trust, role, name, place, now)
        if here != (out is None):
            raise UsageError(
                "the new key is stored where the old one is",
                expected="no --out: the key is in this home" if here else "--out FILE, to be carried over",
                found="--out" if here else "no --out, and no such key in this home",
            )
        with handed_over(out, trust) as give:
            made = members.rotate(trust, role, name, place, now, nanoseconds(life))
            give(made)
    record(home, f"key of {role} {name} rotated by {who()}")
    emit(changes("rotated", made.certificates, trust), CHANGES, output)
    return exits.DONE


@command(
    "renew",
    audited="keys.renew",
    examples=[
        ("tabard keys renew", "What ends within 60 days; from cron once a week it never ends"),
        ("tabard keys renew --within 400d", "All certificates of hosts, now"),
    ],
)
@click.option(
    "--within",
    type=Duration(),
    default="60d",
    show_default=True,
    metavar="DURATION",
    help="What ends within this time.",
)
@life_option("365d, of a zone 3650d")
@output_option
def keys_renew(home: Home, within: float, life: float | None, output: str) -> int:
    """Make new certificates for the same keys, of all members of zones whose authority is in this home.

    They are in the roster, which travels by itself to every host that is connected. What was revoked, removed or
    has ended is not renewed.
    """
    from tabard.brokers.trust import members
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing

    with changing(home) as trust:
        done = members.renew(trust, time.time_ns(), within=int(within * 1e9), life=nanoseconds(life))
    if done:
        record(home, f"{len(done)} certificates renewed by {who()}")
    emit(changes("renewed", done, trust), CHANGES, output)
    return exits.DONE


@command(
    "revoke",
    audited="keys.revoke",
    examples=[("tabard keys revoke 5bf10ce5 --reason 'disk stolen'", "The first digits of an id are enough")],
)
@click.argument("key", type=KeyPrefix())
@click.option(
    "--reason",
    type=Text(1, 200),
    required=True,
    metavar="TEXT",
    help="Why; it is in the roster, for all to read.",
)
@output_option
def keys_revoke(home: Home, key: str, reason: str, output: str) -> int:
    """Put a key into the revocations of its zone's roster, or of a zone above it whose authority is in this home.

    That roster travels by itself, and live connections of the key are cut wherever it arrives. A home that is not connected believes the
    key until it is, or until its certificate ends.
    """
    from tabard.brokers.trust import members
    from tabard.ops.auditing import record, who
    from tabard.ops.keys import CHANGES, changes, changing

    with changing(home) as trust:
        certificate = members.revoke(trust, key, reason, time.time_ns())
    record(home, f"key {key} of {certificate} revoked by {who()}: {reason}")
    emit(changes("revoked", [certificate], trust), CHANGES, output)
    return exits.DONE


@command(
    "roster",
    examples=[
        ("tabard keys roster", "Which rosters are here, of when, and which neighbours lack one"),
        ("tabard keys roster --out roster.tabard", "For a home that no role connects to the others"),
    ],
)
@out_option(required=False, text="File to carry over to another home; it must not exist.")
@output_option
def keys_roster(home: Home, out: Path | None, output: str) -> int:
    """List the rosters that this home knows, or write them to a file, without any key.

    Rosters travel by themselves between homes whose roles are connected; behind are neighbours of the running roles that have not
    taken one yet. The file is for other homes: it is no secret, and forged by nobody.
    """
    from tabard.brokers.trust.members import Made
    from tabard.ops import rosters, seen
    from tabard.ops.keys import handed_over, trusted

    trust = trusted(home)
    with handed_over(out, trust) as give:
        give(Made(()))
    behind = rosters.lagging(seen.roles(home))
    emit(rosters.listed(trust, "written" if out else "known", behind), rosters.LIST, output)
    return exits.DONE
