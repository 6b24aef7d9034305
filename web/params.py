"""What a URL of the log page says, read into a query.

The URL is the whole state of a page, so a page can be shared; nothing about a reader is kept here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from tabard.consumers.store.results import Key, LogQuery
from tabard.consumers.store.words import MOST_WORDS, split
from tabard.errors import TabardError
from tabard.records import SEVERITIES
from tabard.web.args import Args, Problem, is_number, one_of, shorten, whole_number
from tabard.web.zones import DisplayZone, display_zone, parse_instant

ID_FIELDS: Final = {
    "node": "Node",
    "zone": "Zone",
    "service": "Service",
    "level": "Level",
    "system": "System",
    "subsystem": "Sub-system",
    "subsubsystem": "Sub-sub-system",
    "product": "Product",
    "user1": "User 1",
    "user2": "User 2",
    "package": "Package",
    "version": "Version",
    "logger": "Logger",
    "module": "Module",
    "function": "Function",
}
"""What can be filtered by equality, and how a person calls it."""
LEVELS: Final = ("trace", "debug", "info", "notice", "warning", "error", "critical")
"""The choices for the minimum level, lowest first."""
ORDERS: Final = {"new": "newest first", "old": "oldest first"}
PAGE_SIZES: Final = (50, 100, 200, 500, 1000)
MAX_ROWS: Final = 1000
"""Rows of one page."""
PARAMETERS: Final = (
    "q", "w", "since", "until", "min", *ID_FIELDS, "order", "n", "before", "after", "tz", "facets",
)  # fmt: skip
EVERYTHING: Final = "all"
"""As ``since``: from the oldest record on, the histogram too."""
KEY_FORM: Final = "the TIME.ID of a link on this page"


@dataclass(frozen=True)
class LogParams:
    """The parameters of a log page: as they were written (`raw`) and as they are meant."""

    raw: dict[str, str]
    """Every parameter in the URL that this page has, faulty ones too: a form shows what was typed."""
    query: LogQuery
    zone: DisplayZone
    facets: bool
    """Whether the most frequent values of the main ids are to be shown."""
    problems: tuple[Problem, ...]

    @property
    def filters(self) -> dict[str, str]:
        """The ids that are filtered by, with the value each must have."""
        return {name: self.raw[name] for name in ID_FIELDS if name in self.raw}

    @property
    def narrowed(self) -> bool:
        """Whether anything keeps records off this page."""
        return (
            bool(self.filters)
            or any(name in self.raw for name in ("q", "w", "until", "min"))
            or not self.everything
        )

    @property
    def everything(self) -> bool:
        """Whether no beginning is asked for; the table then goes back to the oldest record."""
        return self.raw.get("since", EVERYTHING).strip() == EVERYTHING

    @property
    def live(self) -> bool:
        """Whether the newest records belong on top of this page, so that it can follow along."""
        query = self.query
        return query.order == "new" and query.until is None and query.before is None and query.after is None

    def search(self, **changes: str | None) -> str:
        """The query string of this page with `changes`; None leaves a parameter out.

        The place within the log (`before`, `after`) means nothing under other filters: it is dropped,
        unless it is among the changes.
        """
        kept: dict[str, str | None] = {**self.raw, "before": None, "after": None, **changes}
        return urlencode({name: value for name, value in kept.items() if value is not None})


def read_log_params(
    items: Iterable[tuple[str, str]], *, now: int, page_size: int, local_zone: str = "local"
) -> LogParams:
    """Read the parameters of a log page. Never raises: what is at fault is in ``problems``."""
    args = Args(items, PARAMETERS)
    zone = args.read("tz", lambda text: display_zone(text, local_zone), display_zone("local", local_zone))

    def beginning(text: str) -> int | None:
        return None if text == EVERYTHING else instant(text)

    def instant(text: str) -> int | None:
        return parse_instant(text, now=now, zone=zone)

    since = args.read("since", beginning, None)
    until = args.read("until", instant, None)
    if since is not None and until is not None and since >= until:
        args.reject("until", "a time after since", repr(args.raw["until"]))
        until = None
    before = args.read("before", parse_key, None)
    after = args.read("after", parse_key, None)
    if before is not None and after is not None:
        args.reject("after", "before or after, not both", repr(args.raw["after"]))
        after = None
    ids: dict[str, Any] = {name: args.raw.get(name) for name in ID_FIELDS}
    query = LogQuery(
        **ids,
        text=args.raw.get("q"),
        words=args.read("w", parse_words, ()),
        min_severity=args.read("min", parse_severity, 0),
        since=since,
        until=until,
        order=args.read("order", lambda text: one_of(text, {name: name for name in ORDERS}), "new"),
        limit=args.read("n", lambda text: whole_number(text, 1, MAX_ROWS), page_size),
        before=before,
        after=after,
    )
    facets = args.read("facets", lambda text: one_of(text, {"1": True, "0": False}), default=False)
    return LogParams(args.raw, query, zone, facets, tuple(args.problems))


def parse_words(text: str) -> tuple[str, ...]:
    """Words parted by white space. Raises TabardError for too many."""
    words = split(text)
    if len(words) > MOST_WORDS:
        raise TabardError("too many words", expected=f"at most {MOST_WORDS} words", found=str(len(words)))
    return words


def parse_key(text: str) -> Key | None:
    """A place between rows, ``TIME.ID`` (of a gap as in its key). Raises TabardError."""
    time, _, number = text.partition(".")
    if not (is_number(time) and is_number(number.removeprefix("-"))):
        raise TabardError("not a place", expected=KEY_FORM, found=repr(shorten(text)))
    return int(time), int(number)


def format_key(key: Key) -> str:
    """The inverse of `parse_key`."""
    return f"{key[0]}.{key[1]}"


def parse_severity(text: str) -> int:
    """The lowest severity number of a level: of its name, or itself. Raises TabardError."""
    if is_number(text) and int(text) <= 24:
        return int(text)
    severity = SEVERITIES.get(text.upper())
    if severity is None:
        wanted = f"one of {', '.join(LEVELS)}, or a number from 0 to 24"
        raise TabardError("not a level", expected=wanted, found=repr(shorten(text)))
    return severity
