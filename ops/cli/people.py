"""``tabard people``: who may see and do what in herald."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from tabard import exits
from tabard.errors import RefusedError, UsageError
from tabard.home import Home
from tabard.ops.auditing import record, who
from tabard.ops.cli.base import Entry, command
from tabard.ops.cli.group import Group
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import Zone
from tabard.ops.output import Row, emit
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.people.accounts import People
    from tabard.consumers.people.model import Person

KEYS: Final = ("name", "role", "zone", "password", "made", "made_by", "changed")
ADDED_KEYS: Final = ("name", "role", "zone", "link", "ends")
LINK_KEYS: Final = ("name", "link", "ends")
ROLES: Final = ("viewer", "operator", "admin")

people: Final = Group(
    name="people",
    table={
        "list": Entry("tabard.ops.cli.people:people_list", "List who has an account in herald."),
        "add": Entry("tabard.ops.cli.people:people_add", "Add an account, and make the link that sets its password."),
        "set": Entry("tabard.ops.cli.people:people_set", "Change somebody's role or zone."),
        "remove": Entry("tabard.ops.cli.people:people_remove", "Remove an account; its sessions and tokens end at once."),
        "link": Entry("tabard.ops.cli.people:people_link", "Make a one-time link that sets somebody's password."),
        "first": Entry("tabard.ops.cli.people:people_first", "Show the link that makes the first admin."),
        "token": Entry("tabard.ops.cli.people_token:token", "Give programs tokens, and take them back."),
    },
    default="list",
    help="Say who may see and do what in herald.",
    examples=[
        ("tabard people add ann --role admin", "Prints a link; ann opens it once and sets a password"),
        ("tabard people add bob --zone hq/dmz", "Sees that zone and those below it, and nothing else"),
        ("tabard people list", "Who has an account"),
    ],
)  # fmt: skip

_role = click.Choice(ROLES)


@command(
    "list", examples=[("tabard people list", "Everybody"), ("tabard people list -o json", "For a program")]
)
@output_option
def people_list(home: Home, output: str) -> int:
    """List who has an account in herald, with role, zone and whether the password is set. An empty zone is all of them."""
    emit(_objects(opened(home).all()), KEYS, output)
    return exits.DONE


@command(
    "add",
    audited="people.add",
    examples=[
        ("tabard people add ann --role admin", "May do everything"),
        ("tabard people add bob --role operator --zone hq/dmz", "May act in that zone and those below it"),
    ],
)
@click.argument("name")
@click.option("--role", type=_role, default="viewer", show_default=True, help="What the person may do.")
@click.option(
    "--zone", type=Zone(), metavar="PATH", help="Where: this zone and those below it. All, unless given."
)
@output_option
def people_add(home: Home, name: str, role: str, zone: str | None, output: str) -> int:
    """Add an account, and print the one-time link with which the person sets a password. It holds for a day."""
    from tabard.consumers.people.rights import rights_of

    rights, now = rights_of(role, zone or ""), time.time_ns()
    secret = opened(home).add(name, rights, who(), now)
    told(home, f"added {name}, {rights}", name)
    emit([{"name": name, "role": role, "zone": zone or "", **_link(home, secret, now)}], ADDED_KEYS, output)
    return exits.DONE


@command(
    "set",
    audited="people.set",
    examples=[
        ("tabard people set bob --role viewer", "Other rights; where bob is logged in, that ends"),
        ("tabard people set bob --all-zones", "No limit to one zone any more"),
    ],
)
@click.argument("name")
@click.option("--role", type=_role, help="What the person may do; as it is, unless given.")
@click.option("--zone", type=Zone(), metavar="PATH", help="Where; as it is, unless given.")
@click.option("--all-zones", is_flag=True, help="Everywhere.")
@output_option
def people_set(
    home: Home, name: str, role: str | None, zone: str | None, all_zones: bool, output: str
) -> int:
    """Change somebody's role or zone. Their sessions end; tokens never allow more than their person has."""
    from tabard.consumers.people.rights import rights_of

    if zone is not None and all_zones:
        raise UsageError("--zone and --all-zones contradict each other", hint="Leave one out")
    if role is None and zone is None and not all_zones:
        raise UsageError("nothing to set", expected="--role, --zone or --all-zones")
    accounts = opened(home)
    before = found(accounts, name)
    rights = rights_of(role or before.role, "" if all_zones else zone or before.zone)
    accounts.set_rights(name, rights, time.time_ns())
    told(home, f"{name} was {before.rights}, is {rights}", name)
    emit(_objects([found(accounts, name)]), KEYS, output)
    return exits.DONE


@command(
    "remove",
    audited="people.remove",
    examples=[("tabard people remove bob", "The sessions and tokens of bob end with the account")],
)
@click.argument("name")
@output_option
def people_remove(home: Home, name: str, output: str) -> int:
    """Remove an account. Where its person is logged in, the next request is refused, and so are the tokens."""
    gone = opened(home).remove(name)
    told(home, f"removed {name}", name)
    emit(_objects([gone]), KEYS, output)
    return exits.DONE


@command(
    "link",
    audited="people.link",
    examples=[("tabard people link ann", "ann forgot the password: a new link, for a day")],
)
@click.argument("name")
@output_option
def people_link(home: Home, name: str, output: str) -> int:
    """Make a one-time link that sets somebody's password. Links made before hold no more; the password holds until it is used."""
    now = time.time_ns()
    secret = opened(home).new_link(name, now)
    told(home, f"made a one-time link for {name}", name)
    emit([{"name": name, **_link(home, secret, now)}], LINK_KEYS, output)
    return exits.DONE


@command("first", examples=[("tabard people first", "On the host of herald, before there is an admin")])
def people_first(home: Home) -> int:
    """Show the link that makes the first admin. Herald makes one at each start, as long as there is no admin of all zones."""
    from tabard.consumers.people.link_file import first_link

    link = first_link(home)
    if not link:
        raise RefusedError(
            "there is no such link",
            expected="a herald of this home that started when there was no admin",
            hint="tabard people add NAME --role admin makes one without it",
        )
    click.echo(link)
    return exits.DONE


def opened(home: Home) -> People:
    """The accounts of the store of a home. Raises StoreError at the first question."""
    from tabard.consumers.people.accounts import People
    from tabard.consumers.store.place import Place
    from tabard.ops.stores import open_reader

    settings = load(home)
    return People(Place.of(settings, home), open_reader(home, settings))


def found(accounts: People, name: str) -> Person:
    """The account of a name. Raises UsageError."""
    person = accounts.named(name)
    if person is None:
        raise UsageError("no such account", expected="one that `tabard people list` shows", found=repr(name))
    return person


def told(home: Home, what: str, about: str) -> None:
    """Say a change in the log, as herald does for its own."""
    from tabard.consumers.people.noting import CHANGE, Event

    user, _, host = who().partition("@")
    event = Event(CHANGE, user, host, what, about)
    record(home, event.message, service="tabard-herald", attributes=event.encoded)


def _link(home: Home, secret: str, now: int) -> dict[str, Any]:
    from tabard.consumers.people.accounts import LINK_SECONDS
    from tabard.consumers.people.model import SECOND
    from tabard.ops.up.plan import page_url
    from tabard.web.zones import iso

    settings = load(home)
    base = settings.str("herald.url") or page_url(settings)
    return {"link": f"{base}/link/{secret}", "ends": iso(now + LINK_SECONDS * SECOND)}


def _objects(persons: Iterable[Person]) -> Iterator[Row]:
    from tabard.web.zones import iso

    for each in persons:
        row: dict[str, Any] = {**each._asdict(), "password": each.password is not None}
        yield row | {"made": iso(each.made), "changed": iso(each.changed)}
