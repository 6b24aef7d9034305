"""Where reading of a journal stands: what journalctl is asked for, and whether what it says follows on that.

``--after-cursor`` passes over one entry too many when the cursor's own is not there any more, so the entry at the
cursor is asked for again: when it comes first, everything after it is new and nothing was missed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, NamedTuple

_MOST_SEQUENCES: Final = 64
_MOST_AT_ONCE: Final = 1_000_000
"""Entries that may be missing though no time has passed; beyond them at most one a microsecond."""
_MOST_PASSED: Final = 366 * 86_400 * 1_000_000
"""Microseconds of a damaged journal that are passed over: one at first, twice as many at each further try."""


class Step(Enum):
    """What an entry is."""

    KNOWN = "known"
    """The one that was taken last."""
    NEW = "new"
    LOST = "lost"
    """The one that was taken last is not there: journalctl has to be asked anew."""


class Cursor(NamedTuple):
    """The parts of a cursor that say which entry it is. Those it lacks are ""."""

    sequence: str
    number: str
    boot: str
    monotonic: str
    time: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read one; never raises."""
        parts = dict(part.partition("=")[::2] for part in text.split(";"))
        return cls(*(parts.get(key, "") for key in ("s", "i", "b", "m", "t", "x")))

    def same(self, other: Cursor) -> bool:
        """Whether both are of one entry."""
        if self.sequence and self.sequence == other.sequence:
            return self.number == other.number
        return self[2:] == other[2:] and bool(self.digest)

    @property
    def at(self) -> int | None:
        """Microseconds since 1970 UTC."""
        return _hexadecimal(self.time)

    @property
    def ordinal(self) -> int | None:
        """The how manieth of its sequence it is."""
        return _hexadecimal(self.number)


class Loss(NamedTuple):
    """Entries that are not in the journal any more, or damaged, and that may not have been read."""

    number: int | None
    """How many; None when nobody can tell."""
    after: int | None
    before: int | None
    """Between which two (microseconds since 1970 UTC); ``before`` is None at the end of what can be read."""
    damaged: bool = False
    """Whether they are there, and journalctl cannot read them."""

    def and_then(self, other: Loss) -> Loss:
        """Both together."""
        known = self.number is not None and other.number is not None
        number = (self.number or 0) + (other.number or 0) if known else None
        return Loss(number, self.after, other.before, self.damaged or other.damaged)

    @property
    def message(self) -> str:
        """In words."""
        many = "entries" if self.number is None else f"{self.number} entries"
        return (
            f"{many} of the systemd journal may be missing before this: it was read up to {when(self.after)},"
            f" and what followed {'is damaged' if self.damaged else 'is not there any more'};"
            f" {'nothing' if self.before is None else 'it'} goes on{'' if self.before is None else f' at {when(self.before)}'}"
        )

    @property
    def attributes(self) -> dict[str, Any]:
        """For programs."""
        return {"intake": "journal lost", "missing": self.number}


class Place:
    """Takes each entry's cursor in its order. ``since``: microseconds since 1970 UTC to begin at without a cursor."""

    def __init__(self, cursor: str = "", since: int | None = None) -> None:
        self.cursor = cursor
        """That of the entry that was taken last; "" before the first."""
        self.loss: Loss | None = None
        """What the entry that was taken last revealed to be missing before it."""
        self._since = since
        self._proving = False
        self._lost = False
        self._passed = 0
        """Microseconds behind the last entry that are not asked for, since journalctl fails there."""
        self._numbers: dict[str, int] = {}
        if cursor:
            self._remember(Cursor.parse(cursor))

    def arguments(self) -> list[str]:
        """What to ask journalctl for. It starts anew."""
        self._proving = bool(self.cursor) and not self._lost
        if self._proving:
            return [f"--cursor={self.cursor}"]
        since = Cursor.parse(self.cursor).at if self._lost else self._since
        if self._passed:
            since = (since or 0) + self._passed
        return [] if since is None else [f"--since=@{since // 1_000_000}.{since % 1_000_000:06}"]

    @property
    def lost(self) -> bool:
        """Whether the entry that was taken last is sought by its time."""
        return self._lost

    def give_up(self) -> None:
        """The cursor is of no use to journalctl: go on by time."""
        self._lost = bool(self.cursor)

    @property
    def passing(self) -> bool:
        """Whether something damaged is being passed over."""
        return self._passed > 0

    def pass_over(self) -> bool:
        """Go on further behind what journalctl cannot read than at the last try; False when there is no sense in it."""
        since = Cursor.parse(self.cursor).at if self.cursor else self._since
        if since is None or self._passed >= _MOST_PASSED:
            return False
        self._lost = bool(self.cursor)
        self._passed = self._passed * 2 or 1
        return True

    def end(self) -> None:
        """Nothing came behind what is damaged: `loss` says so."""
        self.loss = Loss(
            None, Cursor.parse(self.cursor).at if self.cursor else self._since, None, damaged=True
        )
        self._passed = 0

    def is_new(self, text: str) -> bool:
        """Whether `take` would take this entry as one that follows. Nothing changes."""
        if self._proving:
            return False
        return not (self._lost and Cursor.parse(text).same(Cursor.parse(self.cursor)))

    def take(self, text: str, *, whole: Callable[[], bool] = lambda: True) -> Step:
        """The next entry that journalctl says. ``whole``: whether entries can be missing only because they are gone.

        Where they cannot, a jump in the numbers is not held to be a loss: this user may not read everything.
        """
        self.loss = None
        found = Cursor.parse(text)
        if self._proving or self._lost:
            last = Cursor.parse(self.cursor)
            known = found.same(last)
            if known:
                self._proving = self._lost = False
                return Step.KNOWN
            if self._proving:
                self._lost = True
                return Step.LOST
            self._lost = False
            number = self._missing(found) if found.sequence == last.sequence and not self.passing else None
            self.loss = Loss(number, last.at, found.at, self.passing)
        elif self.passing:  # there was none before it
            self.loss = Loss(None, self._since, found.at, damaged=True)
        elif (missing := self._missing(found)) and whole():
            last = Cursor.parse(self.cursor)
            self.loss = Loss(missing if _plausible(missing, last, found) else None, last.at, found.at)
        self.cursor = text
        self._passed = 0
        self._remember(found)
        return Step.NEW

    def _missing(self, found: Cursor) -> int | None:
        before, number = self._numbers.get(found.sequence), found.ordinal
        return None if before is None or number is None else max(number - before - 1, 0)

    def _remember(self, found: Cursor) -> None:
        number = found.ordinal
        if number is None:
            return
        number = max(number, self._numbers.pop(found.sequence, 0))
        self._numbers[found.sequence] = number
        if len(self._numbers) > _MOST_SEQUENCES:
            del self._numbers[next(iter(self._numbers))]


def _plausible(number: int, last: Cursor, found: Cursor) -> bool:
    """Whether so many entries can have been made in between; a damaged one may have any number."""
    return last.at is None or found.at is None or number <= max(found.at - last.at, 0) + _MOST_AT_ONCE


def when(microseconds: int | None) -> str:
    """A time to be read by people."""
    if microseconds is None:
        return "an unknown time"
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16) if 0 < len(text) <= 16 else None
    except ValueError:
        return None
