"""What a check finds, and a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from tabard.ops.doctor.place import Place

FAULT: Final = "fault"
"""Something does not work, or will not without somebody."""
WARNING: Final = "warning"
"""Something works and deserves a look."""


class Finding(NamedTuple):
    """One thing that is wrong."""

    check: str
    """The id of the check."""
    severity: str
    where: str
    """A role, ``home``, ``settings``, ``store``, a node or a link."""
    what: str
    do: str


class Check(NamedTuple):
    """One thing that is looked at."""

    id: str
    """Stable: scripts and pages name it."""
    about: str
    """What it looks at, in one sentence."""
    look: Callable[[Place], Iterable[Finding]]
