"""Entries of the audit as rows of a list, for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabard import audit
from tabard.audit import Entry
from tabard.consumers.audit.listing import as_line, plain, said
from tabard.consumers.store.accounts import ControlRow
from tabard.home import Home
from tabard.ops.output import Row
from tabard.web.zones import iso


def rows_of(found: Iterable[ControlRow]) -> list[Row]:
    """Records of the control stream, as the output has them."""
    return [
        {
            "id": row.id,
            "time": iso(row.time),
            "arrived": iso(row.arrived),
            "node": row.node.node,
            "zone": row.node.zone,
            "kind": row.kind.removeprefix(audit.PREFIX),
            **_said(row.data),
        }
        for row in found
    ]


def rows_waiting(home: Home, kinds: Sequence[str], since: int | None, until: int | None) -> list[Row]:
    """Entries of this home that no agent has taken up."""
    nowhere = dict.fromkeys(("id", "arrived", "node", "zone"))
    return [
        {**nowhere, "time": iso(entry.time), "kind": entry.kind, **_said(entry.data)}
        for entry in audit.waiting(home)
        if _is_asked(entry, kinds, since, until)
    ]


def as_text(row: Row) -> Row:
    """A row for a table: what was done as one line."""
    what = row["what"]
    assert isinstance(what, Mapping)
    return {**row, "what": as_line(what)}


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**said(data)._asdict(), "data": plain(data)}


def _is_asked(entry: Entry, kinds: Sequence[str], since: int | None, until: int | None) -> bool:
    named = not kinds or any(entry.kind.startswith(kind.removeprefix(audit.PREFIX)) for kind in kinds)
    return named and (since is None or entry.time >= since) and (until is None or entry.time < until)
