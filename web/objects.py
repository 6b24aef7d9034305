"""A stored record or gap as one JSON object: the same from herald and from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabard.consumers.store.attestation import Attestation
from tabard.consumers.store.results import GapRow, LogRow
from tabard.web.zones import iso


def as_object(row: LogRow | GapRow, attested: Sequence[Attestation] = ()) -> dict[str, Any]:
    """A row under its field names, a record's ``kind`` first. Times are ISO-8601, UTC.

    `attested` is who says of a record that a policy changed its batch.
    """
    shown = fields_of(row)
    if isinstance(row, LogRow):
        by = [each._asdict() for each in attested] or None
        shown = {"kind": "record", **shown, "attributes": _decoded(row.attributes), "attested_by": by}
    return {**shown, "time": iso(row.time), "arrived": iso(row.arrived)}


def fields_of(row: LogRow | GapRow) -> dict[str, Any]:
    """The fields of a row as they are stored; those of a gap have its own ``kind``."""
    return row._asdict() if isinstance(row, LogRow) else asdict(row)


def _decoded(attributes: str | None) -> Any:
    """The attributes as an object; as text when they are none (such as cut short)."""
    if attributes is None:
        return None
    try:
        return json.loads(attributes, parse_constant=str)
    except (ValueError, RecursionError):
        return attributes
