"""The log page for programs: JSON, NDJSON and CSV. docs/how-to/herald.md describes the shape.

An export is whole: however long the search takes, it is sent on while it goes. A file that could not be finished
ends with a line that says so, since a short one would look like an answer.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from flask import Blueprint, Response, abort, jsonify, url_for

from tabard.consumers.store.attestation import Attestation
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import WITHHELD, GapRow, Key, LogPage, LogRow
from tabard.errors import StoreError
from tabard.records import LOG_FIELDS
from tabard.web.logs import asked
from tabard.web.objects import as_object, fields_of
from tabard.web.params import LogParams, format_key
from tabard.web.site import query_items, site
from tabard.web.zones import iso

_LOG = logging.getLogger(__name__)
blueprint = Blueprint("api", __name__)

COLUMNS: Final = ("time", "arrived", "node", "zone", "origin", *LOG_FIELDS[1:], "id", "seq", "epoch_id")
"""Of the CSV, in this order."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run as a formula."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The last line of an export that broke off."""

    reached: int | None
    """Event time up to which was searched; None when that is not known."""
    reason: str

    def as_object(self) -> dict[str, Any]:
        """As NDJSON has it."""
        reached = None if self.reached is None else iso(self.reached)
        return {"kind": "partial", "reached": reached, "reason": self.reason}


Line = LogRow | GapRow | Unfinished


@blueprint.get("/api/logs")
def logs() -> Response:
    """A page of the log as one JSON object."""
    params = asked(query_items())
    if params.problems:
        return _refusal(params)
    found = site().reader.logs(params.query)
    return jsonify(
        rows=[as_object(row, who) for row, who in _attested(site().reader, found.rows)],
        older=_page_link(params, before=found.older),
        newer=_page_link(params, after=found.newer),
        partial=found.partial,
        reached=None if found.reached is None else iso(found.reached),
        index=found.index or None,
    )


@blueprint.get("/logs.<form>")
def export(form: str) -> Response:
    """A page of the log as a file: one JSON object a line, or CSV with a line of column names.

    It has all rows that the page would have with time without end.
    """
    if form not in {"ndjson", "csv"}:
        abort(404, description=f"There is no export called {form!r}: expected ndjson or csv.")
    params = asked(query_items())
    if params.problems:
        return _refusal(params)
    parts = site().reader.search(params.query)
    rows: Iterable[Sequence[Line]]
    if params.query.falls == (params.query.order == "new"):
        # The first part is read before anything is sent: a store that cannot be read is an answer of its own.
        rows = _as_found(chain([next(parts)], parts))
    else:
        rows = [part.rows for part in reversed(list(parts))]
    body: Iterable[str]
    if form == "csv":
        body = _csv_lines(chain.from_iterable(rows))
        content_type = "text/csv; charset=utf-8; header=present"
    else:
        body, content_type = _json_lines(site().reader, rows), "application/x-ndjson; charset=utf-8"
    answer = Response(body, content_type=content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="tabard-logs.{form}"'
    return answer


def _as_found(parts: Iterable[LogPage]) -> Iterator[Sequence[Line]]:
    """The rows of each part while the search goes on; what breaks off ends with an `Unfinished`."""
    reached = None
    try:
        for part in parts:
            yield part.rows
            reached = part.reached
    except StoreError as error:
        _LOG.error("an export broke off: %s", error)
        yield [Unfinished(reached, str(error))]


def _attested(
    reader: StoreReader, rows: Sequence[LogRow | GapRow]
) -> list[tuple[LogRow | GapRow, Sequence[Attestation]]]:
    """Each row with who attests it."""
    found = reader.attested([row for row in rows if isinstance(row, LogRow)])
    return [(row, found.get(row.id, ()) if isinstance(row, LogRow) else ()) for row in rows]


def _json_lines(reader: StoreReader, parts: Iterable[Sequence[Line]]) -> Iterator[str]:
    """One object a line."""
    for part in parts:
        rows = [row for row in part if not isinstance(row, Unfinished)]
        ends = [row.as_object() for row in part if isinstance(row, Unfinished)]
        try:
            found = [as_object(row, who) for row, who in _attested(reader, rows)]
        except StoreError as error:
            _LOG.error("an export broke off: %s", error)
            yield json.dumps(Unfinished(None, str(error)).as_object(), ensure_ascii=False) + "\n"
            return
        for shown in (*found, *ends):
            yield json.dumps(shown, ensure_ascii=False) + "\n"


def _csv_lines(rows: Iterable[Line]) -> Iterator[str]:
    """CSV as spreadsheets read it; a cell that would run as a formula there begins with ``'`` instead.

    A gap is a line too: its message says what is missing. So is the end of a file that broke off.
    """
    yield _csv_line(COLUMNS)
    for row in rows:
        values: dict[str, Any]
        if isinstance(row, Unfinished):
            values = {"level": "PARTIAL", "message": f"this file is not whole: {row.reason}"}
            values["time"] = row.as_object()["reached"]
        else:
            values = fields_of(row)
            if isinstance(row, GapRow):
                amount = f"{'at least ' if row.at_least else ''}{row.count}"
                if row.at_least and not row.count:
                    amount = "an unknown number of"
                why = f"policy {row.reason} of zone {row.detail}" if row.kind == WITHHELD else row.reason
                values["message"] = f"{row.kind}: {amount} {row.stream} records, {why}"
                values["level"] = row.kind.upper()
            values["time"], values["arrived"] = iso(row.time), iso(row.arrived)
        yield _csv_line([_cell(values.get(name)) for name in COLUMNS])


def _csv_line(cells: Iterable[Any]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerow(cells)
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
