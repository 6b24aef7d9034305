"""``tabard people token``: secrets with which programs read herald."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.cli.people import ROLES, found, opened, told
from tabard.ops.cli.values import Zone
from tabard.ops.output import emit

KEYS: Final = ("person", "name", "role", "zone", "made", "ends", "over")
ADDED_KEYS: Final = ("person", "name", "role", "zone", "token", "ends")

token: Final = Group(
    name="token",
    table={
        "list": Entry("tabard.ops.cli.people_token:token_list", "List the tokens."),
        "add": Entry("tabard.ops.cli.people_token:token_add", "Make a token, and print it once."),
        "revoke": Entry("tabard.ops.cli.people_token:token_revoke", "End a token at once."),
    },
    default="list",
    help="Give programs tokens, and take them back.",
    examples=[
        ("tabard people token add ann nightly-export --days 30", "It reads what ann may, for a month"),
        ("tabard people token revoke ann nightly-export", "The next request with it is refused"),
    ],
)


@command("list", examples=[("tabard people token list", "Whose they are, what they may, when they end")])
@output_option
def token_list(home: Home, output: str) -> int:
    """List the tokens. What they are is not kept, so nobody can show it."""
    from tabard.web.zones import iso

    now = time.time_ns()
    rows: list[dict[str, Any]] = [
        {
            **each._asdict(),
            "person": whose,
            "made": iso(each.made),
            "ends": iso(each.ends),
            "over": each.ends <= now,
        }
        for each, whose in opened(home).tokens()
    ]
    emit(rows, KEYS, output)
    return exits.DONE


@command(
    "add",
    audited="people.token.add",
    examples=[
        ("tabard people token add ann nightly-export --days 30", "Reads what ann may see, for a month"),
        ("tabard people token add ann dmz-watch --zone hq/dmz", "Reads that zone and those below it"),
    ],
)
@click.argument("person")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What it may do.")
@click.option("--zone", type=Zone(), metavar="PATH", help="Where; as its person, unless given.")
@click.option(
    "--days", type=click.IntRange(1, 3660), default=90, show_default=True, help="How long it holds."
)
@output_option
def token_add(home: Home, person: str, name: str, role: str, zone: str | None, days: int, output: str) -> int:
    """Make a token for a program and print it: this once, since only a digest is kept.

    It is sent with each request, as `Authorization: Bearer TOKEN`. It never allows more than its person has at the moment.
    """
    from tabard.consumers.people.model import DAY
    from tabard.consumers.people.rights import rights_of
    from tabard.web.zones import iso

    accounts, now = opened(home), time.time_ns()
    rights = rights_of(role, zone if zone is not None else found(accounts, person).zone)
    secret = accounts.add_token(person, name, rights, days, now)
    told(home, f"made the token {name} of {person}, {rights}, for {days} days", person)
    row = {"person": person, "name": name, "role": rights.role, "zone": rights.zone, "token": secret}
    emit([{**row, "ends": iso(now + days * DAY)}], ADDED_KEYS, output)
    return exits.DONE


@command(
    "revoke",
    audited="people.token.revoke",
    examples=[("tabard people token revoke ann nightly-export", "The next request with it is refused")],
)
@click.argument("person")
@click.argument("name")
def token_revoke(home: Home, person: str, name: str) -> int:
    """End a token at once."""
    opened(home).revoke_token(person, name)
    told(home, f"revoked the token {name} of {person}", person)
    return exits.DONE
