"""The store in numbers, and the roles of this home: what is kept, since when, what is wrong."""

from __future__ import annotations

from flask import Blueprint

from tabard.brokers.delivery.leases import RECORDER
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
    """Roles, who shares the store, sizes, rows, faults, and the gaps of all nodes; what of it there is without the store."""
    args, zone = page_args()
    reader = site().reader
    stats, gaps, sharing, owned, fault = None, None, None, None, None
    try:
        if not site().zone:
            sharing, owned = reader.sharing(RECORDER), reader.sink().owned
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
        sharing=sharing,
        owned=owned,
        fault=fault,
        home=_home(),
        only=site().zone,
    )


def _home() -> HomeState | None:
    look = site().look
    if look is None:
        return None
    try:
        return look()
    except TabardError as error:
        return HomeState([], [("home", str(error))])
