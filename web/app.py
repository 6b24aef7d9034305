"""Herald as a Flask application: made from what it needs, holding nothing about who reads."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from flask import Flask, Response, jsonify, make_response, request
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException

from tabard.clock import Clock
from tabard.consumers.store.ports import StoreReader
from tabard.errors import StoreError
from tabard.web import api, audit, commands, login, logs, nodes, people, status, versions, you, zonemap
from tabard.web.access import Access, guard
from tabard.web.faults import describe
from tabard.web.home import Look
from tabard.web.ordering import Ordering
from tabard.web.security import protect
from tabard.web.site import EXTENSION, Site, page, page_args
from tabard.web.words import FILTERS
from tabard.web.zones import display_zone

_LOG = logging.getLogger(__name__)


def create_app(
    reader: StoreReader,
    *,
    timezone: str,
    page_size: int,
    clock: Clock,
    hosts: Collection[str] = (),
    look: Look | None = None,
    access: Access | None = None,
    ordering: Ordering | None = None,
) -> Flask:
    """The viewer of the store behind ``reader``.

    ``timezone`` is what ``local`` means on a page (``local`` is this host's zone), ``page_size`` how many
    rows a log page has unless its URL says, ``hosts`` the names it goes by besides those of loopback, ``look``
    tells how the roles of this home are. ``access`` says who gets in, and keeps the accounts; without it everybody who reaches
    the application may read, and nobody can log in. ``ordering`` is the way to a dispatcher; with both there are pages of commands.
    Raises TabardError when there is no such time zone.
    """
    display_zone("local", timezone)
    app = Flask("tabard.web")
    app.extensions[EXTENSION] = Site(reader, clock, timezone, page_size, look)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(FILTERS)
    protect(app, hosts)
    rooms = [logs, nodes, zonemap, versions, audit, status, api]
    if access is not None:
        guard(app, access)
        rooms += [login, you, people]
    if access is not None and ordering is not None:
        app.extensions[commands.EXTENSION] = ordering
        rooms.append(commands)
    for room in rooms:
        app.register_blueprint(room.blueprint)
    app.register_error_handler(HTTPException, _wrong_request)
    app.register_error_handler(StoreError, _no_store)
    app.register_error_handler(Exception, _fault)
    return app


def retune(app: Flask, *, timezone: str, page_size: int) -> None:
    """Give an application other values; what is answered from now on goes by them.

    Raises TabardError when there is no such time zone.
    """
    display_zone("local", timezone)
    app.extensions[EXTENSION] = replace(app.extensions[EXTENSION], timezone=timezone, page_size=page_size)


def _wrong_request(error: HTTPException) -> Response:
    if isinstance(error.response, Response):
        return error.response
    lines = [error.description or ""]
    return _message(error.code or 500, error.name, lines)


def _no_store(error: StoreError) -> Response:
    fault = describe(error)
    return _message(503, fault.title, fault.lines, command=fault.command, again=fault.again)


def _fault(error: Exception) -> Response:
    # Not the path where it holds a secret.
    place = (
        request.path if request.blueprint != "login" or request.url_rule is None else request.url_rule.rule
    )
    _LOG.error("a page failed: %s", place, exc_info=error)
    lines = [
        "This is a fault of herald. What happened stands in its own log, with the time and this address."
    ]
    return _message(500, "This page could not be made", lines)


def _message(code: int, title: str, lines: list[str], **more: Any) -> Response:
    if request.path.startswith(("/api/", "/logs/tail")):
        answer = jsonify(error=title, details=lines)
        answer.status_code = code
        return answer
    _, zone = page_args()
    values: dict[str, Any] = {"title": title, "lines": lines, "command": None, "again": None, **more}
    return make_response(page("message.html", zone, status=code, **values))
