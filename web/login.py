"""Logging in: by a password, or by a one-time link that sets it."""

from __future__ import annotations

from math import ceil
from typing import cast
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for

from tabard.consumers.people.accounts import People
from tabard.consumers.people.model import Person
from tabard.consumers.people.noting import CHANGE, LOGIN, Event
from tabard.consumers.people.secret import LONGEST, Busy, check_new, same
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.web.access import access, address, refused
from tabard.web.site import has_form, page_args, site
from tabard.web.site import page as render_page

blueprint = Blueprint("login", __name__)

WRONG = "Name or password is wrong."
BUSY = "Too many people are logging in just now. Try again in a few seconds."


@blueprint.get("/login")
def page() -> tuple[str, int]:
    """The form."""
    return _form(where_to(request.args.get("next", "")))


@blueprint.post("/login")
def enter() -> Response | tuple[str, int]:
    """Log in. Whoever has no account is answered as who has a wrong password, after as much work."""
    given, form = access(), request.form
    # Cut, so that no name takes more room in the throttle than a name can have.
    name, password = form.get("name", "").strip().lower()[:80], form.get("password", "")
    goal = where_to(form.get("next", ""))
    where = address()
    known = given.people.came_from(name, where)
    wait = given.throttle.wait(name, where, given.monotonic(), known=known)
    if wait > 0:
        refused(name, "too many tries to log in")
        text, status = _form(goal, name, f"Too many tries. Wait {ceil(wait)} seconds, and try again.", 429)
        answer = make_response(text, status)
        answer.headers["Retry-After"] = str(ceil(wait))
        return answer
    person = given.people.named(name)
    try:
        fits = given.passwords.fits(None if person is None else person.password, password)
    except Busy:
        return _form(goal, name, BUSY, 503)
    if person is None or not fits:
        refused(name, "a wrong name or password")
        return _form(goal, name, WRONG, 401)
    given.throttle.good(name, where, given.monotonic())
    return let_in(person, goal, "with a password")


@blueprint.get("/link/<secret>")
def link(secret: str) -> tuple[str, int]:
    """Whose password the link sets. To look at it does not use it up: mail programs and the like open links, too."""
    name = _whose(access().people, secret)
    return _link_form(name) if name is not None else _dead()


@blueprint.post("/link/<secret>")
def use(secret: str) -> Response | tuple[str, int]:
    """Set the password, and log in."""
    given, form = access(), request.form
    name = _whose(given.people, secret)
    if name is None:
        refused("", "a one-time link that does not hold")
        return _dead()
    first = name == ""
    if first:
        name = form.get("name", "").strip().lower()
    try:
        password = chosen(name)
        hashed, now = given.passwords.hash(password), site().clock.wall()
        if first and given.first is not None:
            person = given.people.make_first_admin(secret, given.first.ends, name, hashed, now)
            given.settled()
        else:
            person = given.people.use_link(secret, hashed, now)
    except UsageError as error:
        return _link_form("" if first else name, str(error), 400, name)
    except RefusedError:
        refused("", "a one-time link that does not hold")
        return _dead()
    except Busy:
        return _link_form("" if first else name, BUSY, 503, name)
    what = "is the first admin" if first else "set the password by a one-time link"
    given.note(Event(CHANGE, person.name, address(), what, person.name))
    return let_in(person, url_for("logs.home"), "by a one-time link")


def let_in(person: Person, goal: str, how: str) -> Response:
    """Begin a session, and go where somebody wanted to."""
    given = access()
    agent, old = request.headers.get("User-Agent", ""), request.cookies.get(given.doors.cookie, "")
    now = site().clock.wall()
    try:
        secret = given.people.begin(person, address(), agent, now, given.doors.times, old)
    except RefusedError as error:
        refused(person.name, "logged in while the account was changed")
        abort(409, description=f"{error}. Log in again.")
    given.note(Event(LOGIN, person.name, address(), how))
    answer = cast("Response", redirect(goal, 303))
    seconds = given.doors.times.longest // 1_000_000_000
    answer.set_cookie(
        given.doors.cookie,
        secret,
        max_age=seconds,
        secure=given.doors.secure,
        httponly=True,
        samesite="Strict",
        path="/",
    )
    return answer


def chosen(name: str) -> str:
    """The new password of a form that has it twice. Raises UsageError."""
    password = check_new(request.form.get("password", "")[: LONGEST + 1], name)
    if not same(request.form.get("again", ""), password):
        raise UsageError("the two passwords differ", hint="Type the same one twice")
    return password


def where_to(goal: str) -> str:
    """A page of herald; the log where something else was given: nobody is sent elsewhere from here."""
    try:
        parts = urlsplit(goal)
    except ValueError:
        return "/"
    own = goal.startswith("/") and not goal.startswith(("//", "/\\")) and not (parts.scheme or parts.netloc)
    return goal if own and goal.isprintable() and "\\" not in goal else "/"


def _whose(people: People, secret: str) -> str | None:
    """Whose password a link sets: "" for the first admin, None when it does not hold."""
    given, now = access(), site().clock.wall()
    if given.first is not None and same(secret, given.first.secret):
        holds = now < given.first.ends and not people.has_admin() and not people.was_used(secret)
        return "" if holds else None
    person = people.link(secret, now)
    return None if person is None else person.name


def _form(goal: str, name: str = "", wrong: str = "", status: int = 200) -> tuple[str, int]:
    has_form()
    _, zone = page_args("next")
    try:
        lonely = not access().people.has_admin()
    except TabardError:
        lonely = False  # the store that is not there yet is said when somebody tries
    return render_page(
        "login.html", zone, status=status, goal=goal, name=name[:80], wrong=wrong, lonely=lonely
    )


def _link_form(name: str, wrong: str = "", status: int = 200, typed: str = "admin") -> tuple[str, int]:
    has_form()
    _, zone = page_args()
    return render_page("link.html", zone, status=status, name=name, wrong=wrong, typed=typed[:80])


def _dead() -> tuple[str, int]:
    _, zone = page_args()
    lines = [
        "Such a link works once, for a day, and until a newer one is made. That of herald's first start works until there is an admin.",
        "Who looks after the people here can make a new one; on the host itself:",
    ]
    return render_page(
        "message.html",
        zone,
        status=404,
        title="This link does not hold",
        lines=lines,
        command="tabard people link NAME",
        again=None,
    )
