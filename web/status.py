"""The store in numbers, and the roles of this home: what is kept, since when, what is wrong."""

from __future__ import annotations

from flask import Blueprint

from tabard.errors import TabardError
from tabard.web.home import HomeState
from tabard.web.missing import missing
from tabard.web.site import page as render_page
from tabard.web.site import page_args, site

blueprint = Blueprint("status", __name__)
GAPS_SHOWN = 50


@blueprint.get("/status")
def page() -> tuple[str, int]:
    """Roles, sizes, rows, faults, and the gaps of all nodes."""
    args, zone = page_args()
    reader = site().reader
    return render_page(
        "status.html",
        zone,
        args.problems,
        stats=reader.stats(),
        gaps=missing(reader, GAPS_SHOWN),
        home=_home(),
    )


def _home() -> HomeState | None:
    look = site().look
    if look is None:
        return None
    try:
        return look()
    except TabardError as error:
        return HomeState([], [("home", str(error))])
