"""The log page, its live tail, and the page of one record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final

from flask import Blueprint, Response, abort, jsonify, render_template, url_for

from tabard.consumers.store.arriving import Beside
from tabard.consumers.store.hits import INDEX
from tabard.consumers.store.results import GapRow, LogRow
from tabard.consumers.store.words import advice
from tabard.records import severity_name
from tabard.web.args import is_number
from tabard.web.facets import count_facets
from tabard.web.histogram import draw_histogram
from tabard.web.params import (
    EVERYTHING,
    ID_FIELDS,
    LEVELS,
    ORDERS,
    PAGE_SIZES,
    LogParams,
    format_key,
    read_log_params,
)
from tabard.web.place import holds, place_of
from tabard.web.recorder import silence
from tabard.web.site import page as render_page
from tabard.web.site import page_args, query_items, site

blueprint = Blueprint("logs", __name__)

MESSAGE_SHOWN: Final = 2000
"""Characters of a message in the table; the record's own page has all."""
STACK_SHOWN: Final = 8000
RANGES: Final = {"15 min": "15m", "1 h": "1h", "24 h": "24h", "7 d": "7d", "all": EVERYTHING}
CONTEXT: Final = 20
"""Records shown before and after one on its own page."""
_OWN: Final = {"after", "place", "count", "beside"}
COLUMN_GROUPS: Final = {
    "system": ("system", "subsystem", "subsubsystem"),
    "product": ("product", "user1", "user2"),
    "where": ("module", "function", "line", "package", "version", "logger"),
}
"""Table columns that are left out while no row on the page fills them."""


def asked(items: Iterable[tuple[str, str]]) -> LogParams:
    """The log page that a request with these parameters asks for."""
    here = site()
    return read_log_params(items, now=here.clock.wall(), page_size=here.page_size, local_zone=here.timezone)


@blueprint.get("/", endpoint="home")
@blueprint.get("/logs")
def page() -> tuple[str, int]:
    """The log table."""
    params = asked(query_items())
    reader = site().reader
    last = reader.last_id() if params.live else None  # before the page is read: no record falls between
    place = "" if last is None else place_of(reader, last)
    beside = reader.beside_end() if params.live else ""
    found = reader.logs(params.query)
    return render_page(
        "logs.html",
        params.zone,
        params.problems,
        params=params,
        found=found,
        last=last,
        place=place,
        advice=advice(found.index, params.query.text)
        if found.partial and found.index not in {"", INDEX}
        else "",
        empty_columns=empty_columns(found.rows),
        faulty={problem.parameter for problem in params.problems},
        page_size=site().page_size,
        export=_exports(params),
        histogram=draw_histogram(reader, params, now=site().clock.wall(), link=filter_link(params)),
        facets=count_facets(reader, params.query) if params.facets else None,
        beside=beside,
        silence=silence(),
        ids=ID_FIELDS,
        levels=LEVELS,
        orders=ORDERS,
        page_sizes=PAGE_SIZES,
        ranges=RANGES,
        **row_helpers(params),
    )


@blueprint.get("/logs/tail")
def tail() -> Response:
    """What was stored after the record ``after``, and beside the records after the place ``beside``.

    As far as it fits the filters. JSON with rows as HTML. With ``count=1`` they are only counted. ``last`` and ``beside``
    are what to go on from; of gaps and the like no more come at once than `arriving.PAGE` of a kind. ``recorder`` is what the page says of a silent recorder, empty
    while it writes. ``whole`` says that more came than a page holds: the rows are then the newest page, and replace what
    is shown. ``place`` says which store it is, and which record of it the last; handed back as ``place`` it shows whether
    that still holds. ``reset`` says that it does not, or that the store ends before ``after``: another state of it
    stands there, the page must begin anew.
    """
    own = {name: value for name, value in query_items() if name in _OWN}
    after, beside = own.get("after", ""), _read_beside(own.get("beside"))
    params = asked([item for item in query_items() if item[0] not in own])
    if not is_number(after) or beside is None or params.problems:
        expected = "after=ID of the last record seen, beside=PLACE as an answer has it, the parameters of the log page"
        answer = jsonify(expected=expected, problems=[str(problem) for problem in params.problems])
        answer.status_code = 400
        return answer
    reader = site().reader
    newest = reader.last_id()  # before anything is read: what arrives meanwhile comes with the next answer
    if newest < int(after):
        return jsonify(reset=True)
    records, last = reader.tail(params.query, int(after))
    end = reader.beside_end()
    others, beside = reader.beside(params.query, beside)
    rows: Sequence[LogRow | GapRow] = [*records, *others]
    count = len(rows)
    whole = len(records) >= params.query.limit
    if whole:
        rows, last, beside = reader.logs(params.query).rows, newest, end
    # After all that was read: nothing of another store is shown as if it were of this one.
    if own.get("place") and not holds(reader, own["place"]):
        return jsonify(reset=True)
    html = ""
    if rows and "count" not in own:
        html = render_template(
            "_rows.html", rows=rows, zone=params.zone, params=params, **row_helpers(params)
        )
    return jsonify(
        last=last,
        place=place_of(reader, last),
        beside=str(beside),
        count=count,
        whole=whole,
        html=html,
        recorder=render_template("_recorder.html", silence=silence(), zone=params.zone).strip(),
    )


@blueprint.get("/logs/<int:row_id>")
def record(row_id: int) -> tuple[str, int]:
    """One record with every field, among those its source said before and after it."""
    args, zone = page_args()
    row = _record(row_id)
    around = site().reader.context(row_id, CONTEXT)
    params = _bare_params(zone.name)
    return render_page(
        "record.html",
        zone,
        args.problems,
        row=row,
        around=around,
        params=params,
        empty_columns=empty_columns(around),
        attributes=attributes_of(row),
        attested=site().reader.attested([row]).get(row_id, ()),
        ids=ID_FIELDS,
        open_stack=True,
        **{**row_helpers(params), "this": row_id},
    )


@blueprint.get("/logs/<int:row_id>/fields")
def fields(row_id: int) -> str:
    """Every field of one record, as the part of a page that is put below its row."""
    _, zone = page_args()
    row = _record(row_id)
    params = _bare_params(zone.name)
    return render_template(
        "_fields.html",
        row=row,
        zone=zone,
        params=params,
        attributes=attributes_of(row),
        attested=site().reader.attested([row]).get(row_id, ()),
        ids=ID_FIELDS,
        open_stack=False,
        **row_helpers(params),
    )


def filter_link(params: LogParams) -> Callable[..., str]:
    """A function that gives the address of the log page with some parameters changed; None leaves one out."""
    base = url_for("logs.page")

    def link(**changes: str | None) -> str:
        search = params.search(**changes)
        return f"{base}?{search}" if search else base

    return link


def row_helpers(params: LogParams) -> dict[str, Any]:
    """What the templates of log rows call."""
    link = filter_link(params)

    @cache  # the same few values stand in most rows of a page
    def only(field: str, value: str) -> str:
        return link(**{field: value})

    return {
        "link": link,
        "only": only,
        "key": format_key,
        "tz": params.raw.get("tz"),
        "this": None,
        "severity_name": severity_name,
        "severity_class": severity_class,
        "message_shown": MESSAGE_SHOWN,
        "stack_shown": STACK_SHOWN,
    }


def severity_class(severity: int) -> str:
    """The CSS class of a severity: ``sev-error``, ``sev-none`` when the record does not say."""
    return f"sev-{severity_name(severity).lower() or 'none'}"


def empty_columns(rows: Sequence[LogRow | GapRow]) -> list[str]:
    """The column groups that no row fills."""
    records = [row._asdict() for row in rows if isinstance(row, LogRow)]
    return [
        group
        for group, names in COLUMN_GROUPS.items()
        if not any(record[name] for record in records for name in names)
    ]


def attributes_of(row: LogRow) -> dict[str, str]:
    """The record's extra attributes as names and texts; what is no JSON object stands under ``attributes``."""
    if not row.attributes:
        return {}
    try:
        decoded = json.loads(row.attributes)
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        return {"attributes": row.attributes}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in decoded.items()
    }


def _record(row_id: int) -> LogRow:
    row = site().reader.log(row_id) if row_id < 2**63 else None
    if row is None:
        abort(404, description=f"No record has the id {row_id}. Retention may have removed it.")
    return row


def _bare_params(tz: str) -> LogParams:
    """A log page without filters, in the time zone ``tz``: what the links on a record's page lead to."""
    return asked([] if tz == "local" else [("tz", tz)])


def _read_beside(text: str | None) -> Beside | None:
    """The place in a request, the very beginning where none is given; None where it is none."""
    try:
        return Beside() if text is None else Beside.read(text)
    except ValueError:
        return None


def _exports(params: LogParams) -> Callable[[str], str]:
    """A function that gives the address of this very page in another format."""
    place = {name: params.raw.get(name) for name in ("before", "after")}
    search = params.search(**place)

    def export(form: str) -> str:
        base = url_for("api.logs") if form == "json" else url_for("api.export", form=form)
        return f"{base}?{search}" if search else base

    return export
