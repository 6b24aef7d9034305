"""Who gets in: every request is asked here who sends it, before any page is. And the means by which a page asks for more.

Two rules hold for all pages, those that are to come included: who may not read gets none, and no POST is taken that another site
could have made a browser send. A page that acts calls `require` with the role and the zone that it takes.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import quote

from flask import Flask, Response, abort, current_app, g, jsonify, redirect, request, url_for
from werkzeug.exceptions import Forbidden, Unauthorized

from tabard.consumers.people.accounts import People
from tabard.consumers.people.first import First
from tabard.consumers.people.noting import LOGIN, REFUSED, Event, Note
from tabard.consumers.people.rights import EVERYWHERE, Rights
from tabard.consumers.people.secret import Passwords, derived, same
from tabard.consumers.people.throttle import Limit, Throttle
from tabard.errors import StoreError
from tabard.web.doors import Doors
from tabard.web.site import site
from tabard.web.visitor import PASSWORD, PROXY, READER, STRANGER, TOKEN, Visitor, visitor

EXTENSION: Final = "herald.access"
OPEN: Final = frozenset({"static", "login.page", "login.enter", "login.link", "login.use"})
"""Endpoints for who is not let in yet."""
BEARER: Final = "Bearer "
MOST_BYTES: Final = 65_536
"""Of what a form sends."""
NOTED: Final = Limit(5, 60.0)
"""Refusals from one address that are said at once, and seconds until one more is."""


@dataclass
class Access:
    """What an application that has doors needs for them."""

    doors: Doors
    people: People
    note: Note
    passwords: Passwords = field(default_factory=Passwords)
    throttle: Throttle = field(default_factory=Throttle)
    first: First | None = None
    """The link that makes the first admin."""
    settled: Callable[[], None] = lambda: None
    """Called when there is one."""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """Of this start of herald: forms of who comes by a proxy are marked with what is made of it."""
    monotonic: Callable[[], float] = time.monotonic
    said: Throttle = field(default_factory=Throttle)
    came: dict[tuple[str, str], int] = field(default_factory=dict)
    """When somebody who comes by a proxy was seen last, by name and address."""


def access() -> Access:
    """What the application that answers has for its doors."""
    return cast("Access", current_app.extensions[EXTENSION])


def guard(app: Flask, given: Access) -> None:
    """Let nobody in who may not read, and take no form that another site sends."""
    app.extensions[EXTENSION] = given
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BYTES

    @app.before_request
    def ask() -> Response | None:
        if request.endpoint == "static":
            return None
        g.visitor = STRANGER  # whatever fails from here on
        g.visitor = _who(given)
        if request.method == "POST":
            refuse_foreign(given)
        found = visitor()
        acts = request.method == "POST" and found.person is None
        if request.endpoint not in OPEN and (acts or found.rights is None):
            return to_login()
        return None


def address() -> str:
    """Where the request comes from."""
    forwarded = [each.strip() for each in ",".join(request.headers.getlist("X-Forwarded-For")).split(",")]
    return access().doors.came_from(request.remote_addr or "", forwarded)


def require(role: str, zone: str = EVERYWHERE, *, by_token: bool = False) -> Visitor:
    """Who asks, if that is somebody with a role in a zone; else the request ends here, and the refusal is noted.

    Programs with a token pass only with `by_token`.
    """
    found = visitor()
    if found.person is None:
        raise Unauthorized("This takes a login.", response=to_login())
    if not found.may(role, zone) or (found.how == TOKEN and not by_token):
        refused(found.name, f"{request.method} {_place()} takes {Rights(role, zone)}")
        by = (
            "a person who is logged in, not a token"
            if found.how == TOKEN and not by_token
            else Rights(role, zone)
        )
        raise Forbidden(f"This takes {by}; you are {found.rights}.")
    return found


def refused(who: str, what: str) -> None:
    """Note a refusal. Of many from one address only some: a flood of them must not become one of records."""
    given, where = access(), address()
    if given.said.take([(("said", where), NOTED)], given.monotonic()) == 0:
        given.note(Event(REFUSED, who[:80], where, what[:300]))


def to_login() -> Response:
    """The way to the login page, and back; for a program the status and a sentence."""
    if request.path.startswith(("/api/", "/logs/tail", "/logs.")) or "Authorization" in request.headers:
        answer = jsonify(
            error="Unauthorized", details=["This takes a login, or a token: Authorization: Bearer TOKEN."]
        )
        answer.status_code = 401
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    back = request.full_path.rstrip("?") if request.method in {"GET", "HEAD"} else "/"
    return cast("Response", redirect(f"{url_for('login.page')}?next={quote(back, safe='')}", 303))


def refuse_foreign(given: Access) -> None:
    """End a POST here that does not come from one of herald's own pages.

    A browser says where a form comes from (``Origin``, ``Sec-Fetch-Site``), and a form of somebody who is logged in brings along what
    only a page of that session could tell it. A token is in no browser, so another site cannot send it.
    """
    found = visitor()
    if found.how == TOKEN:
        return
    origin, site_of = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    own = origin is not None and given.doors.is_own_origin(origin, request.host)
    if not own or site_of not in {None, "same-origin"}:
        refused(found.name, f"a form of another site for {_place()}")
        abort(
            403, description="This form was not sent by a page of herald. Open the page here, and try again."
        )
    if request.endpoint not in OPEN and not (found.csrf and same(request.form.get("csrf", ""), found.csrf)):
        if found.person is None:
            return  # nobody: sent to the login
        refused(found.name, f"a form without its mark for {_place()}")
        abort(403, description="This form is out of date. Open the page again, and try again.")


def _place() -> str:
    """Which page is meant, without what its path holds: that may be a secret."""
    return request.url_rule.rule if request.url_rule else "a page that there is not"


def _who(given: Access) -> Visitor:
    now = site().clock.wall()
    peer = request.remote_addr or ""
    said = request.headers.get("Authorization")
    if said is not None:
        return _by_token(given, said, now)
    if given.doors.header and given.doors.header in request.headers:
        if given.doors.trusts(peer):
            return _by_proxy(given, now)
        refused(
            request.headers[given.doors.header],
            "named by a header that comes from no proxy of herald.proxies",
        )
    anybody = given.doors.lets_read(peer, request.headers.get("Host", ""), request.headers.keys())
    try:
        found = _by_cookie(given, now)
    except StoreError:
        if not anybody:
            raise
        found = None  # a store that cannot be read is for the pages to say
    if found is not None:
        return found
    return READER if anybody else STRANGER


def _by_token(given: Access, said: str, now: int) -> Visitor:
    found = given.people.token(said.removeprefix(BEARER).strip(), now) if said.startswith(BEARER) else None
    rights = None if found is None else found[1].rights.meet(found[0].rights)
    if found is None or rights is None:
        refused("", "a token that does not hold")
        return STRANGER
    return Visitor(TOKEN, rights, found[1])


def _by_proxy(given: Access, now: int) -> Visitor:
    name = request.headers[given.doors.header].strip()
    person = given.people.named(name)
    if person is None:
        refused(name, "logged in at the proxy, and there is no such account")
        return STRANGER
    where = address()
    last = given.came.get((name, where))
    if last is None or now - last > given.doors.times.idle:
        given.note(Event(LOGIN, name, where, "by the proxy"))
    if len(given.came) > 10_000:
        given.came.clear()
    given.came[name, where] = now
    return Visitor(PROXY, person.rights, person, csrf=derived(given.key, f"form {name} {person.changed}"))


def _by_cookie(given: Access, now: int) -> Visitor | None:
    secret = request.cookies.get(given.doors.cookie)
    found = given.people.session(secret, now, given.doors.times) if secret else None
    if not secret or found is None:
        return None
    session, person = found
    with contextlib.suppress(StoreError):  # it cannot be written just now: the session seems older than it is
        given.people.touch(session, now)
    return Visitor(PASSWORD, person.rights, person, session, derived(secret, "form"))
