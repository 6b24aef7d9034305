"""Who did what: the entries of the audit, the newest first."""

from __future__ import annotations

from typing import Final

from flask import Blueprint

from tabard import audit as entries
from tabard.consumers.audit.listing import as_line, asked_for, said
from tabard.errors import UsageError
from tabard.names import check_zone
from tabard.web.site import page as render_page
from tabard.web.site import page_args, site

blueprint = Blueprint("audit", __name__)

SHOWN: Final = 100
OUTCOMES: Final = {
    entries.DONE: "done",
    entries.PARTLY: "done in part, or with a warning",
    entries.FAILED: "it could not be done",
    entries.REFUSED: "it was refused",
    entries.UNKNOWN: "whoever did it died meanwhile: it may have been done, or not",
}
_LARGEST: Final = 2**63 - 1


@blueprint.get("/audit")
def page() -> tuple[str, int]:
    """The newest entries, or those before one; all, or those that the parameters ask for."""
    args, zone = page_args("node", "zone", "kind", "before")
    node, kind = args.raw.get("node"), args.raw.get("kind")
    path = args.read("zone", _zone, None)
    before = args.read("before", _place, None)
    found = site().reader.control(
        asked_for([kind] if kind else [], node=node, zone=path, before=before, limit=SHOWN + 1)
    )
    rows = [(row, row.kind.removeprefix(entries.PREFIX), said(row.data)) for row in found[:SHOWN]]
    return render_page(
        "audit.html",
        zone,
        args.problems,
        asked={"node": node, "zone": path, "kind": kind},
        rows=[(row, kind, what, as_line(what.what)) for row, kind, what in rows],
        older=rows[-1][0].id if len(found) > SHOWN else None,
        before=before,
        outcomes=OUTCOMES,
    )


def _zone(text: str) -> str:
    check_zone(text)
    return text


def _place(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _LARGEST):
        raise UsageError("not the number of an entry", expected="the number of an entry", found=text)
    return int(text)
