"""One's own page: password, sessions, tokens, and the way out."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, redirect, request, url_for

from tabard.consumers.people.model import Person
from tabard.consumers.people.noting import CHANGE, LOGOUT, Event
from tabard.consumers.people.rights import ROLES, VIEWER, rights_of
from tabard.consumers.people.secret import Busy
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.web.access import access, address, refused, require
from tabard.web.args import is_number
from tabard.web.login import BUSY, WRONG, chosen, let_in
from tabard.web.site import has_form, page_args, site
from tabard.web.site import page as render_page
from tabard.web.visitor import PASSWORD, Visitor, visitor

blueprint = Blueprint("you", __name__, url_prefix="/you")

Answer = Response | tuple[str, int]


@blueprint.get("")
def page() -> tuple[str, int]:
    """Who I am here, and where I am logged in."""
    return _page()


@blueprint.post("/logout")
def logout() -> Response:
    """End this session."""
    you, given = _you(), access()
    given.people.end(request.cookies.get(given.doors.cookie, ""), site().clock.wall())
    given.note(Event(LOGOUT, you.name, address(), "logged out"))
    answer = _back("login.page")
    answer.delete_cookie(given.doors.cookie, secure=given.doors.secure, httponly=True, samesite="Strict")
    return answer


@blueprint.post("/password")
def password() -> Answer:
    """Another password. All sessions end, and this one goes on under a new id."""
    you, given = _you(), access()
    person = _person(you)
    wait = given.throttle.wait(you.name, address(), given.monotonic(), known=True)
    if wait > 0:
        return _page(wrong=f"Too many tries. Wait {wait:.0f} seconds, and try again.", status=429)
    try:
        if not given.passwords.fits(person.password, request.form.get("now", "")):
            refused(you.name, "a wrong password where it was to be changed")
            return _page(wrong=WRONG, status=400)
        hashed, now = given.passwords.hash(chosen(you.name)), site().clock.wall()
        given.people.set_password(person, hashed, now)
    except (UsageError, RefusedError) as error:
        return _page(wrong=str(error), status=400)
    except Busy:
        return _page(wrong=BUSY, status=503)
    given.note(Event(CHANGE, you.name, address(), "changed the password", you.name))
    return let_in(person._replace(changed=now), url_for("you.page"), "with a new password")


@blueprint.post("/end")
def end() -> Response:
    """End one of my sessions."""
    you, given = _you(), access()
    number = request.form.get("session", "")
    if is_number(number):
        given.people.end_one(_person(you), int(number), site().clock.wall())
        given.note(Event(CHANGE, you.name, address(), "ended a session", you.name))
    return _back("you.page")


@blueprint.post("/tokens")
def add_token() -> Answer:
    """A new token; its secret is on this answer and nowhere else."""
    you, given, form = _you(), access(), request.form
    name, days = form.get("name", "").strip(), form.get("days", "")
    try:
        rights = rights_of(form.get("role", ""), form.get("zone", "").strip())
        wanted = int(days) if is_number(days) else 0
        secret = given.people.add_token(you.name, name, rights, wanted, site().clock.wall(), you.person)
    except TabardError as error:
        return _page(wrong=str(error), status=400)
    given.note(
        Event(CHANGE, you.name, address(), f"made the token {name}, {rights}, for {wanted} days", you.name)
    )
    return _page(secret=secret, made=name)


@blueprint.post("/tokens/revoke")
def revoke_token() -> Answer:
    """End a token."""
    you, given, name = _you(), access(), request.form.get("name", "")
    try:
        given.people.revoke_token(you.name, name)
    except UsageError as error:
        return _page(wrong=str(error), status=400)
    given.note(Event(CHANGE, you.name, address(), f"revoked the token {name}", you.name))
    return _back("you.page")


def _you() -> Visitor:
    return require(VIEWER, visitor().zone)


def _person(you: Visitor) -> Person:
    if you.person is None:
        raise AssertionError("require lets nobody pass who is nobody")
    return you.person


def _back(endpoint: str) -> Response:
    return cast("Response", redirect(url_for(endpoint), 303))


def _page(wrong: str = "", status: int = 200, secret: str = "", made: str = "") -> tuple[str, int]:
    has_form()
    you, given, now = _you(), access(), site().clock.wall()
    args, zone = page_args()
    person = _person(you)
    roles = list(ROLES)
    return render_page(
        "you.html",
        zone,
        args.problems,
        status=status,
        you=you,
        wrong=wrong,
        secret=secret,
        made=made,
        local=you.how == PASSWORD,
        sessions=given.people.sessions(person, now, given.doors.times),
        tokens=[token for token, whose in given.people.tokens() if whose == you.name],
        roles=roles[: roles.index(person.role) + 1],
    )
