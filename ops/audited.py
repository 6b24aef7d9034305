"""Entries of the audit as rows of a list, for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tabard import audit
from tabard.audit import Entry
from tabard.consumers.store.accounts import ControlQuery, ControlRow
from tabard.home import Home
from tabard.ops.output import Row
from tabard.web.zones import iso

BESIDE: Final = ("sink.", "command.accepted", "command.refused")
"""Kinds beside those of `audit.PREFIX` that say who did what."""
_NAMES: Final = ("who", "by", "issuer")
"""Under which names a record says who did it."""
_SAID: Final = frozenset({*_NAMES, "uid", "what", "outcome", "detail"})


def asked_for(
    kinds: Sequence[str],
    node: str | None,
    zone: str | None,
    since: int | None,
    until: int | None,
    limit: int,
    *,
    every: bool = False,
) -> ControlQuery:
    """What the store is asked for. ``kinds`` are those of people: with what they begin in the store, or without."""
    if kinds:
        begin = tuple(
            start for kind in kinds for start in (audit.PREFIX + kind.removeprefix(audit.PREFIX), kind)
        )
    else:
        begin = () if every else (audit.PREFIX, *BESIDE)
    return ControlQuery(begin, node, zone, since, until, limit=limit)


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
            **said(row.data),
        }
        for row in found
    ]


def rows_waiting(home: Home, kinds: Sequence[str], since: int | None, until: int | None) -> list[Row]:
    """Entries of this home that no agent has taken up."""
    return [
        {
            "id": None,
            "time": iso(entry.time),
            "arrived": None,
            "node": None,
            "zone": None,
            "kind": entry.kind,
            **said(entry.data),
        }
        for entry in audit.waiting(home)
        if _is_asked(entry, kinds, since, until)
    ]


def said(data: Mapping[str, Any]) -> dict[str, Any]:
    """Who, on whom, and how it ended, of what a record holds."""
    what = data.get("what")
    if not isinstance(what, Mapping):
        rest = {name: value for name, value in data.items() if name not in _SAID}
        what = {**({} if what is None else {"what": what}), **rest}
    return {
        "who": next((data[name] for name in _NAMES if isinstance(data.get(name), str)), None),
        "what": {str(name): _plain(value) for name, value in what.items()},
        "outcome": data.get("outcome"),
        "detail": data.get("detail"),
        "data": {str(name): _plain(value) for name, value in data.items()},
    }


def as_text(row: Row) -> Row:
    """A row for a table: what was done as one line."""
    what = row["what"]
    assert isinstance(what, Mapping)
    return {**row, "what": "  ".join(f"{name}={_line(value)}" for name, value in what.items())}


def _line(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _plain(value: Any) -> Any:
    """What JSON can say."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _is_asked(entry: Entry, kinds: Sequence[str], since: int | None, until: int | None) -> bool:
    named = not kinds or any(entry.kind.startswith(kind.removeprefix(audit.PREFIX)) for kind in kinds)
    return named and (since is None or entry.time >= since) and (until is None or entry.time < until)
