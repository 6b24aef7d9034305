"""Which entries are read once more before they are taken, since journalctl may have met them half-written.

journald links an entry into its file first and the values in it after that, one by one. A reader that meets a value
that is new with this entry between two stores of that holds it for damaged and leaves it out without a word (systemd
issue 40263): the entry comes without its MESSAGE, and a moment later it has it. Before systemd 250 it leaves out all
that is behind it, the blank line at the end as well, so that the next entry seems to be a part of this one. What can
go wrong, and what is done:

* an entry at the tail comes without MESSAGE, or two as one: nothing of it is taken, and journalctl is started anew behind the entry
  before it, after a moment; the place has not moved, so nothing is lost and nothing comes twice;
* its writer stands still in between (a busy machine): it is asked for once more, after a longer moment;
* it really has no MESSAGE, or its writer was killed in between: it comes without again, and is taken as it is;
* so do many: who writes such entries, and with which fields, is remembered, and further ones of the same kind are
  taken at once, for a time that doubles with each that is confirmed;
* so do many of ever new kinds: readings are taken out of a stock that fills slowly, and with none left every entry is
  taken at once. One that was worth it is put back;
* another entry comes first (of another file, by its time), or the one that was asked for is gone: nothing is waited for.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from tabard.agents.intake.bridge.journald_export import Entry

MOMENTS: Final = (0.05, 0.5)
"""Seconds before the first further reading of an entry, and before the second."""
STOCK: Final = 16
"""Readings that can be made at once, and..."""
FILL_SECONDS: Final = 10.0
"""...how long it takes until there is one more."""
KNOWN_FIRST: Final = 10.0
KNOWN_MOST: Final = 3_600.0
"""Seconds for which entries of a confirmed kind are taken at once: doubled each time, up to the most."""
MOST_KINDS: Final = 256

_Kind = tuple[str, int]
"""Who wrote it, and a number for the names of its fields."""


class _Asked(NamedTuple):
    """An entry that is being read once more."""

    cursor: bytes
    times: int
    """How often it was asked for."""


class _Confirmed(NamedTuple):
    """A kind of which an entry really had no MESSAGE."""

    until: float
    """Monotonic seconds up to which others are taken at once."""
    pause: float


class Unfinished:
    """Decides by each new entry, in their order, and ``now`` (monotonic seconds).

    ``counters`` has under ``read again`` how many further readings were asked for, and under ``completed`` how many
    entries had their MESSAGE then.
    """

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._asked: _Asked | None = None
        self._kinds: dict[_Kind, _Confirmed] = {}
        self._stock = float(STOCK)
        self._filled_at: float | None = None

    def again(self, entry: Entry, now: float) -> float | None:
        """Seconds after which to read again from before this entry; None when it is to be taken."""
        before = self._asked
        lacks = ("MESSAGE" not in entry.fields and not entry.left_out) or _is_two(entry)
        if before is None and not lacks:
            return None
        cursor = entry.fields.get("__CURSOR", b"")
        if before is not None and before.cursor == cursor:
            return self._came_again(before, entry, now, lacks=lacks)
        if not lacks or not cursor or self._is_known(entry, now):
            return None
        return self._ask(_Asked(cursor, 0), now)

    def _came_again(self, before: _Asked, entry: Entry, now: float, *, lacks: bool) -> float | None:
        if lacks and before.times < len(MOMENTS) and (wait := self._ask(before, now)) is not None:
            return wait
        self._asked = None
        if lacks:
            self._confirm(entry, now)
        else:
            self._counters["completed"] += 1
            self._stock = min(self._stock + before.times, STOCK)
        return None

    def _ask(self, what: _Asked, now: float) -> float | None:
        if self._filled_at is not None:
            self._stock = min(self._stock + max(now - self._filled_at, 0.0) / FILL_SECONDS, STOCK)
        self._filled_at = now
        if self._stock < 1:
            return None
        self._stock -= 1
        self._counters["read again"] += 1
        self._asked = what._replace(times=what.times + 1)
        return MOMENTS[what.times]

    def _is_known(self, entry: Entry, now: float) -> bool:
        confirmed = self._kinds.get(_kind(entry))
        return confirmed is not None and now < confirmed.until

    def _confirm(self, entry: Entry, now: float) -> None:
        kind = _kind(entry)
        before = self._kinds.pop(kind, None)
        pause = KNOWN_FIRST if before is None else min(before.pause * 2, KNOWN_MOST)
        self._kinds[kind] = _Confirmed(now + pause, pause)
        if len(self._kinds) > MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]


def _is_two(entry: Entry) -> bool:
    return bool(entry.again) and any(name == "__CURSOR" for name, _ in entry.again)


def _kind(entry: Entry) -> _Kind:
    who = entry.text("SYSLOG_IDENTIFIER") or entry.text("_SYSTEMD_UNIT") or entry.text("_COMM")
    return who[:256], hash(frozenset(entry.fields))
