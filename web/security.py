"""What keeps a page from being used by other sites: methods, host names, headers.

Any web site can make a browser send requests to ``127.0.0.1``, and by rebinding its own name in DNS
even read the answers. So the name asked for must be one that this herald goes by.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

from flask import Flask, Response, g, request

METHODS: Final = ("GET", "HEAD")
FORMS: Final = "same-origin"
"""Referrer policy of a page with a form: with ``no-referrer`` a browser does not say where the form comes from, either."""
HEADERS: Final = {
    # No inline script or style anywhere: whatever a record smuggles into a page cannot run.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def protect(app: Flask, hosts: Collection[str]) -> None:
    """Refuse foreign host names, and other methods than GET and HEAD but where a page acts; set the security headers.

    ``hosts`` are the names or addresses, without port, that herald goes by besides those of loopback.
    """
    known = frozenset(name.lower().strip("[]") for name in hosts)

    @app.before_request
    def refuse() -> Response | None:
        if request.method not in METHODS and not _acts():
            answer = _plain(405, f"This page is read-only: expected GET or HEAD, found {request.method}.")
            answer.headers["Allow"] = ", ".join(METHODS)
            return answer
        name = host_name(request.headers.get("Host", ""))
        if name not in known and not is_loopback(name):
            return _plain(
                421,
                f"Herald does not go by the name {name!r}: expected localhost or an address of loopback."
                " Open it by such a name, or set herald.host to the name it shall have.",
            )
        return None

    @app.after_request
    def harden(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers[name] = value
        if g.get("has_form"):
            response.headers["Referrer-Policy"] = FORMS
        response.headers.pop("Server", None)
        if request.endpoint != "static":
            # Records are nobody's business but the reader's: no cache on disk keeps them.
            response.headers["Cache-Control"] = "no-store"
        return response


def _acts() -> bool:
    """Whether it is a POST for a page that takes one: no other method changes anything."""
    rule = request.url_rule
    return request.method == "POST" and rule is not None and "POST" in (rule.methods or ())


def host_name(header: str) -> str:
    """The name in a ``Host`` header, lower case, without port, brackets and the root's dot."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].removesuffix(".")


def is_loopback(name: str) -> bool:
    """Whether ``name`` can only mean this machine: ``localhost``, below it, or an address of loopback."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _plain(status: int, text: str) -> Response:
    return Response(text + "\n", status=status, content_type="text/plain; charset=utf-8")
