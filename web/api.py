"""The log page for programs: JSON, NDJSON and CSV. docs/how-to/herald.md describes the shape."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, Final

from flask import Blueprint, Response, abort, jsonify, url_for

from tabard.consumers.store.results import GapRow, Key, LogRow
from tabard.records import LOG_FIELDS
from tabard.web.logs import asked
from tabard.web.objects import as_object, fields_of
from tabard.web.params import LogParams, format_key
from tabard.web.site import query_items, site
from tabard.web.zones import iso

blueprint = Blueprint("api", __name__)

COLUMNS: Final = ("time", "arrived", "node", "zone", "origin", *LOG_FIELDS[1:], "id", "seq", "epoch_id")
"""Of the CSV, in this order."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run as a formula."""


@blueprint.get("/api/logs")
def logs() -> Response:
    """A page of the log as one JSON object."""
    params = asked(query_items())
    if params.problems:
        return _refusal(params)
    found = site().reader.logs(params.query)
    return jsonify(
        rows=[as_object(row) for row in found.rows],
        older=_page_link(params, before=found.older),
        newer=_page_link(params, after=found.newer),
        partial=found.partial,
        reached=None if found.reached is None else iso(found.reached),
    )


@blueprint.get("/logs.<form>")
def export(form: str) -> Response:
    """A page of the log as a file: one JSON object a line, or CSV with a line of column names."""
    if form not in {"ndjson", "csv"}:
        abort(404, description=f"There is no export called {form!r}: expected ndjson or csv.")
    params = asked(query_items())
    if params.problems:
        return _refusal(params)
    rows = site().reader.logs(params.query).rows
    if form == "csv":
        body, content_type = to_csv(rows), "text/csv; charset=utf-8; header=present"
    else:
        body = "".join(json.dumps(as_object(row), ensure_ascii=False) + "\n" for row in rows)
        content_type = "application/x-ndjson; charset=utf-8"
    answer = Response(body, content_type=content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="tabard-logs.{form}"'
    return answer


def to_csv(rows: Iterable[LogRow | GapRow]) -> str:
    """CSV as spreadsheets read it; a cell that would run as a formula there begins with ``'`` instead.

    A gap is a line too: its message says what is missing.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = fields_of(row)
        if isinstance(row, GapRow):
            amount = f"{'at least ' if row.at_least else ''}{row.count}"
            values["message"] = f"{row.kind}: {amount} {row.stream} records, {row.reason}"
            values["level"] = row.kind.upper()
        values["time"], values["arrived"] = iso(row.time), iso(row.arrived)
        writer.writerow([_cell(values.get(name)) for name in COLUMNS])
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def _page_link(params: LogParams, **place: Key | None) -> str | None:
    changes = {name: None if key is None else format_key(key) for name, key in place.items()}
    if not any(changes.values()):
        return None
    return f"{url_for('api.logs')}?{params.search(**changes)}"


def _refusal(params: LogParams) -> Response:
    answer = jsonify(
        problems=[
            {"parameter": problem.parameter, "expected": problem.expected, "found": problem.found}
            for problem in params.problems
        ]
    )
    answer.status_code = 400
    return answer
