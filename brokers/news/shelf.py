"""The rosters of a home as the exchange sees them, and how one that came is taken in: verified, kept, written.

Several roles share the files. Each takes what it hears into its own memory at once, so that a revocation counts also where the
disk refuses it; the file is written under the lock of the home's trust, unless another one has written as new a one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from tabard.brokers.news.ports import OLDER, REFUSED, TAKEN, Taken
from tabard.brokers.trust import reasons
from tabard.brokers.trust.authors import check_author
from tabard.brokers.trust.files import Trust
from tabard.brokers.wire.rosters import MARK_BYTES, Version
from tabard.digests import digest
from tabard.errors import AlreadyRunning, HomeError, TrustError

_DAMAGED: Final = frozenset({reasons.MALFORMED, reasons.FORGED, reasons.FOREIGN})

_log = logging.getLogger(__name__)


def mark_of(roster: bytes) -> bytes:
    """What tells a roster from another one of the same number."""
    return digest(roster)[:MARK_BYTES]


class TrustShelf:
    """The rosters in a home's trust.

    Args:
        trust: of the home, shared with whatever else this process asks whom to believe.
        wall: nanoseconds since 1970.
        changed: called after one was taken in.
    """

    def __init__(
        self, trust: Trust, wall: Callable[[], int], changed: Callable[[], None] = lambda: None
    ) -> None:
        self.trust = trust
        self._wall = wall
        self._changed = changed
        self._known: dict[str, tuple[bytes, bytes]] = {}
        """By zone the roster and its mark, the one that came last at the end."""
        self._rows: tuple[Version, ...] = ()
        self._at = (-1, 0)
        self._unwritten: set[str] = set()
        self.fault: str | None = None
        """Why what was taken in is not on disk."""

    def look(self) -> None:
        """Read what changed on disk, and write what could not be written before."""
        try:
            self.trust.reload()
        except TrustError as error:  # what was known before still holds; whoever uses the keys says so, too
            self.fault = str(error)
            return
        for zone in sorted(self._unwritten):
            self._write(zone)
        if not self._unwritten:
            self.fault = None

    def versions(self) -> tuple[Version, ...]:
        """Those that are known; a number of 0 where the authority that signed has no say any more."""
        directory = self.trust.directory
        at = (directory.generation, self._wall() // 1_000_000_000)
        if at != self._at:
            self._at = at
            self._rows = tuple(self._read())
        return self._rows

    def _read(self) -> list[Version]:
        directory, now = self.trust.directory, self._wall()
        rosters = directory.rosters()
        for zone, roster in rosters.items():
            known = self._known.get(zone)
            if known is None or known[0] is not roster:
                self._known.pop(zone, None)
                self._known[zone] = (roster, mark_of(roster))
        self._known = {zone: each for zone, each in self._known.items() if zone in rosters}
        return [
            Version(zone, directory.standing(zone, now), mark)
            for zone, (_roster, mark) in reversed(self._known.items())
        ]

    def roster(self, zone: str) -> bytes | None:
        """The newest one of a zone."""
        self.versions()
        known = self._known.get(zone)
        return known[0] if known else None

    def knows(self, zone: str) -> bool:
        """Whether a certificate of its authority is known; of the root's zone it always is."""
        return bool(self.trust.directory.zone_keys(zone))

    def take(self, zone: str, mark: bytes, roster: bytes) -> Taken:
        """Verify, keep and write it. Its signature is looked at before anything in it is decoded."""
        directory, now = self.trust.directory, self._wall()
        if mark_of(roster) != mark:
            return Taken(REFUSED, "another one than was said", damaged=True)
        try:
            check_author(directory, zone, roster, now)
            if not directory.take_roster(roster, now):
                return Taken(OLDER)
        except TrustError as error:
            _log.warning("a roster of %s is not taken in: %s", zone, error)
            return Taken(REFUSED, error.reason, error.reason == reasons.CONTRADICTS, error.reason in _DAMAGED)
        self.trust.touch()
        for each in [each for each, known in directory.rosters().items() if known is roster]:
            self._write(each)
        self._changed()
        return Taken(TAKEN)

    def _write(self, zone: str) -> None:
        """Write the newest one that is known, unless it is there."""
        try:
            self.trust.write_roster(zone)
        except AlreadyRunning:  # a command, or another role of this home: again at the next look
            self._unwritten.add(zone)
        except (OSError, HomeError, TrustError) as error:
            self._unwritten.add(zone)
            if self.fault is None:
                _log.error(
                    "the roster of %s holds for this process only, since it cannot be written: %s",
                    zone,
                    error,
                )
            self.fault = f"the roster of {zone} cannot be written: {error}"
        else:
            self._unwritten.discard(zone)

    def status(self) -> list[dict[str, Any]]:
        """Of each roster its ``zone``, ``version`` (0: its authority has no say any more), when it was ``made`` in ns, and whether it is ``written``."""
        directory = self.trust.directory
        return [
            {
                "zone": row.zone,
                "version": row.number,
                "made": roster.time if (roster := directory.roster(row.zone)) else None,
                "written": row.zone not in self._unwritten,
            }
            for row in sorted(self.versions())
        ]
