"""The store in numbers, and the roles of this home: what is kept, since when, what is wrong."""

from __future__ import annotations

from flask import Blueprint

from tabard.errors import StoreError, TabardError
from tabard.web.faults import describe
from tabard.web.home import HomeState
from tabard.web.missing import missing
from tabard.web.site import page as render_page
from tabard.web.site import page_args, site

blueprint = Blueprint("status", __name__)
GAPS_SHOWN = 50


@blueprint.get("/status")
def page() -> tuple[str, int]:
    """Roles, sizes, rows, faults, and the gaps of all nodes; what of it there is while the store cannot be read."""
    args, zone = page_args()
    reader = site().reader
    stats, gaps, fault = None, None, None
    try:
        stats, gaps = reader.stats(), missing(reader, GAPS_SHOWN)
    except StoreError as error:
        fault = describe(error)
    return render_page(
        "status.html",
        zone,
        args.problems,
        status=200 if fault is None else 503,
        stats=stats,
        gaps=gaps,
        fault=fault,
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
