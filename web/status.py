"""The store in numbers: what is kept, since when, and what was refused."""

from __future__ import annotations

from flask import Blueprint

from tabard.web.site import page as render_page
from tabard.web.site import page_args, site

blueprint = Blueprint("status", __name__)
GAPS_SHOWN = 50


@blueprint.get("/status")
def page() -> tuple[str, int]:
    """Sizes, rows, faults, and the gaps of all nodes."""
    args, zone = page_args()
    reader = site().reader
    return render_page(
        "status.html", zone, args.problems, stats=reader.stats(), gaps=reader.gaps(limit=GAPS_SHOWN)
    )
