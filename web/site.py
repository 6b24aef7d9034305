"""What every page of herald shares: the reader, the clock, the time zone asked for, links to itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from urllib.parse import urlencode

from flask import current_app, g, render_template, request

from tabard.clock import Clock
from tabard.consumers.store.ports import StoreReader
from tabard.web.args import Args, Problem
from tabard.web.home import Look, narrowed
from tabard.web.scoped import readable
from tabard.web.visitor import visitor
from tabard.web.zones import DisplayZone, display_zone

EXTENSION: Final = "herald"


@dataclass(frozen=True)
class Site:
    """What `create_app` was given."""

    reader: StoreReader
    clock: Clock
    timezone: str
    """What ``local`` means: ``local`` (this host's zone), ``utc`` or an IANA name."""
    page_size: int
    look: Look | None = None
    """How the home of this herald is; None where there is none to look into."""
    zone: str = ""
    """All that may be seen; "" for everything."""


def site() -> Site:
    """The site that answers the current request, as far as who asks may see it: a page has no other way to the store."""
    whole = cast("Site", current_app.extensions[EXTENSION])
    zone = visitor().zone
    if not zone:
        return whole
    seen: Site | None = g.get("site")
    if seen is None or seen.zone != zone:
        look = None if whole.look is None else narrowed(whole.look)
        seen = g.site = replace(whole, reader=readable(whole.reader, zone), look=look, zone=zone)
    return seen


def has_form() -> None:
    """Say that the page which is made has a form, so that the browser says where that comes from when it is sent."""
    g.has_form = True


def query_items() -> list[tuple[str, str]]:
    """The parameters of the current request, as often as they were given."""
    return list(request.args.items(multi=True))


def page_args(*names: str) -> tuple[Args, DisplayZone]:
    """The parameters of a page that has those ``names`` besides ``tz``, and the time zone it asks for."""
    local = site().timezone
    args = Args(query_items(), (*names, "tz"))
    zone = args.read("tz", lambda text: display_zone(text, local), display_zone("local", local))
    return args, zone


def here(**changes: str | None) -> str:
    """The address of the current page with ``changes`` to its parameters; None leaves one out."""
    kept: dict[str, str | None] = {name: value for name, value in query_items() if value.strip()}
    kept.update(changes)
    search = urlencode({name: value for name, value in kept.items() if value is not None})
    return f"{request.path}?{search}" if search else request.path


def page(
    template: str, zone: DisplayZone, problems: Sequence[Problem] = (), status: int = 200, **values: Any
) -> tuple[str, int]:
    """A whole page in the frame that all pages have. With problems, 200 becomes 400 (wrong parameters)."""
    choices = [("local", "Local"), ("utc", "UTC")]
    if zone.name not in {name for name, _ in choices}:
        choices.append((zone.name, zone.name.rpartition("/")[2].replace("_", " ")))
    frame: dict[str, Any] = {
        "zone": zone,
        "zone_choices": choices,
        "tz": None if zone.name == "local" else zone.name,
        "now": site().clock.wall(),
        "problems": problems,
        "here": here,
        "visitor": visitor(),
        "doors": "herald.access" in current_app.extensions,
        "commanding": "commands" in current_app.blueprints,
    }
    html = render_template(template, **{**frame, **values})
    return html, 400 if problems and status == 200 else status
