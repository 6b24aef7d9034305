"""What is wrong with a journal's disk, said in words and remembered until it is right again."""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from tabard.clock import Clock
from tabard.errors import JournalError

MAX_FAULTS: Final = 64
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskRefused(JournalError):
    """Raised when the disk takes no more now. Nothing was accepted; the same call may succeed later."""

    retry = True
    full = False
    """Whether it is for want of space."""


class Fault(NamedTuple):
    """One thing to report about the journal."""

    kind: str
    """``full``, ``read-only``, ``failing``, ``quarantined``, ``damaged``, ``replaced``, ``forgotten``, ``foreign``."""
    where: str
    """The path it is about."""
    detail: str
    since: int
    """Wall clock when it was first seen, nanoseconds."""


class Faults:
    """The faults of one journal, each once, a bounded number of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], Fault] = {}

    def note(self, kind: str, where: str, detail: str) -> None:
        """Remember a fault; one that is known already keeps the time it was first seen."""
        known = self._known.get((kind, where))
        since = known.since if known else self._clock.wall()
        self._known[kind, where] = Fault(kind, where, detail, since)
        if len(self._known) > MAX_FAULTS:
            del self._known[next(iter(self._known))]

    def clear(self, *kinds: str) -> None:
        """Forget the faults of these `kinds`: they are over."""
        for key in [key for key in self._known if key[0] in kinds]:
            del self._known[key]

    def refused(self, what: str, where: str, error: OSError, *, hint: str = "") -> DiskRefused:
        """Remember the `error` that the disk answered with, and the exception to raise for it.

        `hint` is what to do about it, where that is known better than from the error alone.
        """
        kind, usual = _judged(error)
        hint = hint or usual
        detail = error.strerror or str(error)
        self.note(kind, where, f"{what}: {detail}")
        expected = "a file that can be opened" if hint != usual else "a disk that can be written"
        refused = DiskRefused(what, expected=expected, found=detail, where=where, hint=hint)
        refused.full = kind == "full"
        return refused

    def list(self) -> tuple[Fault, ...]:
        """The faults known, oldest first."""
        return tuple(self._known.values())


def _judged(error: OSError) -> tuple[str, str]:
    if error.errno in _FULL:
        return "full", "Free space on this file system, or lower the journal's quota."
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return "read-only", "Mount it writable and give the agent's user the right to write there."
    return "failing", "Look at the kernel's log: the disk or its driver reports an error."
