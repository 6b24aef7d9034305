"""Entries of the audit as people are shown them: who, on whom, and how it ended. For herald and the command line alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tabard import audit
from tabard.brokers.wire.answers import ACCEPTED, KINDS, REFUSED
from tabard.consumers.store.accounts import ControlQuery

BESIDE: Final = ("sink.", KINDS[ACCEPTED], KINDS[REFUSED])
"""Kinds beside those of `audit.PREFIX` that say who did what."""
_NAMES: Final = ("who", "by", "issuer")
"""Under which names a record says who did it."""
_SAID: Final = frozenset({*_NAMES, "uid", "what", "outcome", "detail"})


class Said(NamedTuple):
    """What a record says."""

    who: str | None
    what: dict[str, Any]
    outcome: str | None
    detail: str | None


def asked_for(kinds: Sequence[str], *, every: bool = False, **asked: Any) -> ControlQuery:
    """What the store is asked for. ``kinds`` are those of people: with what they begin in the store, or without."""
    if kinds:
        begin = tuple(
            start for kind in kinds for start in (audit.PREFIX + kind.removeprefix(audit.PREFIX), kind)
        )
    else:
        begin = () if every else (audit.PREFIX, *BESIDE)
    return ControlQuery(begin, **asked)


def said(data: Mapping[str, Any]) -> Said:
    """Who, on whom, and how it ended, of what a record holds."""
    what = data.get("what")
    if not isinstance(what, Mapping):
        rest = {name: value for name, value in data.items() if name not in _SAID}
        what = {**({} if what is None else {"what": what}), **rest}
    return Said(
        next((data[name] for name in _NAMES if isinstance(data.get(name), str)), None),
        {str(name): plain(value) for name, value in what.items()},
        _text(data.get("outcome")),
        _text(data.get("detail")),
    )


def as_line(what: Mapping[str, Any]) -> str:
    """On whom and how, in one line."""
    return "  ".join(f"{name}={_short(value)}" for name, value in what.items())


def plain(value: Any) -> Any:
    """What JSON can say."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
