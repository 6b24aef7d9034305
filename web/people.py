"""The page of who looks after people: accounts, their roles and zones. An admin of a zone sees and changes those of that zone."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, abort, redirect, request, url_for

from tabard.consumers.people.model import Person
from tabard.consumers.people.noting import CHANGE, Event
from tabard.consumers.people.rights import ADMIN, ROLES, Rights, inside, rights_of
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.web.access import access, address, refused, require
from tabard.web.site import has_form, page_args, site
from tabard.web.site import page as render_page
from tabard.web.visitor import Visitor, visitor

blueprint = Blueprint("people", __name__, url_prefix="/people")

Answer = Response | tuple[str, int]


@blueprint.get("")
def page() -> tuple[str, int]:
    """Everybody whom the admin may see."""
    return _page()


@blueprint.post("/add")
def add() -> Answer:
    """A new account, and the link that sets its password."""
    you, given, form = _admin(), access(), request.form
    name = form.get("name", "").strip().lower()
    try:
        rights = _granted(you)
        secret = given.people.add(name, rights, you.name, site().clock.wall(), you.person)
    except TabardError as error:
        return _page(wrong=str(error), status=400, typed=name)
    given.note(Event(CHANGE, you.name, address(), f"added {name}, {rights}", name))
    return _page(link=_link(secret), whose=name)


@blueprint.post("/<name>/set")
def set_rights(name: str) -> Answer:
    """Another role or zone."""
    you, given = _admin(), access()
    person = _other(you, name)
    try:
        rights = _granted(you)
        given.people.set_rights(name, rights, site().clock.wall(), person, you.person)
    except TabardError as error:
        return _page(wrong=str(error), status=400)
    given.note(Event(CHANGE, you.name, address(), f"{name} was {person.rights}, is {rights}", name))
    return _back()


@blueprint.post("/<name>/link")
def new_link(name: str) -> Answer:
    """A new one-time link for somebody's password."""
    you, given = _admin(), access()
    person = _other(you, name)
    try:
        secret = given.people.new_link(person.name, site().clock.wall(), person, you.person)
    except (UsageError, RefusedError) as error:
        return _page(wrong=str(error), status=400)
    given.note(Event(CHANGE, you.name, address(), f"made a one-time link for {name}", name))
    return _page(link=_link(secret), whose=name)


@blueprint.post("/<name>/remove")
def remove(name: str) -> Answer:
    """Remove an account; its sessions and tokens end at once."""
    you, given = _admin(), access()
    person = _other(you, name)
    try:
        given.people.remove(person.name, person, you.person)
    except (UsageError, RefusedError) as error:
        return _page(wrong=str(error), status=400)
    given.note(Event(CHANGE, you.name, address(), f"removed {name}", name))
    return _back()


def _admin() -> Visitor:
    return require(ADMIN, visitor().zone)


def _granted(you: Visitor) -> Rights:
    """The role and zone of the form. Raises UsageError when they are more than the admin has."""
    rights = rights_of(request.form.get("role", ""), request.form.get("zone", "").strip())
    if not inside(rights.zone, you.zone):
        refused(you.name, f"wanted to make somebody {rights}")
        raise UsageError(
            "a zone that is not yours", expected=f"{you.zone} or below it", found=rights.zone or "all zones"
        )
    return rights


def _other(you: Visitor, name: str) -> Person:
    """Somebody else of the admin's zone. Who is of another one is answered as who is not there."""
    person = access().people.named(name)
    if person is None or not inside(person.zone, you.zone):
        if person is not None:
            refused(you.name, f"wanted to change {name}, who is {person.rights}")
        abort(404, description="No account of that name is yours to look after.")
    if person.name == you.name:
        abort(
            400,
            description="Nobody changes the own rights: another admin does, or `tabard people` on the host.",
        )
    return person


def _link(secret: str) -> str:
    given = access()
    base = given.doors.url.rstrip("/") or request.host_url.rstrip("/")
    return base + url_for("login.link", secret=secret)


def _back() -> Response:
    return cast("Response", redirect(url_for("people.page"), 303))


def _page(
    wrong: str = "", status: int = 200, link: str = "", whose: str = "", typed: str = ""
) -> tuple[str, int]:
    has_form()
    you, given = _admin(), access()
    args, zone = page_args()
    return render_page(
        "people.html",
        zone,
        args.problems,
        status=status,
        you=you,
        people=[each for each in given.people.all() if inside(each.zone, you.zone)],
        roles=ROLES,
        wrong=wrong,
        link=link,
        whose=whose,
        typed=typed[:80],
    )
