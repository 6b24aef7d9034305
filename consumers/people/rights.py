"""What a person may do, and where: a role, in a zone and all below it. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.errors import UsageError
from tabard.names import check_zone, zone_within

VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
ADMIN: Final = "admin"
ROLES: Final = {
    VIEWER: "sees pages and exports",
    OPERATOR: "sees, and acts on hosts where herald offers it",
    ADMIN: "sees, acts, and looks after people",
}
"""Each may do what those before it may."""
_RANK: Final = {role: number for number, role in enumerate(ROLES)}
EVERYWHERE: Final = ""
"""In place of a zone: no limit."""


def inside(zone: str, outer: str) -> bool:
    """Whether a zone lies in another, or is it; everything lies in `EVERYWHERE`, and `EVERYWHERE` in nothing else."""
    return outer == EVERYWHERE or zone_within(zone, outer)


class Rights(NamedTuple):
    """One role in one zone and those below it."""

    role: str
    zone: str

    def allow(self, role: str, zone: str = EVERYWHERE) -> bool:
        """Whether these are enough for what takes a role in a zone. An unknown role is never allowed anything."""
        held, wanted = _RANK.get(self.role), _RANK.get(role)
        return held is not None and wanted is not None and held >= wanted and inside(zone, self.zone)

    def meet(self, other: Rights) -> Rights | None:
        """What both have; None when that is nothing."""
        if self.role not in _RANK or other.role not in _RANK:
            return None
        role = min(self.role, other.role, key=_RANK.__getitem__)
        if inside(self.zone, other.zone):
            return Rights(role, self.zone)
        return Rights(role, other.zone) if inside(other.zone, self.zone) else None

    def __str__(self) -> str:
        return f"{self.role} of {self.zone or 'all zones'}"


def rights_of(role: str, zone: str) -> Rights:
    """Rights as somebody wrote them. Raises UsageError for a role or a zone that cannot be."""
    if role not in ROLES:
        raise UsageError("not a role", expected=f"one of {', '.join(ROLES)}", found=repr(role[:60]))
    return Rights(role, check_zone(zone) if zone != EVERYWHERE else EVERYWHERE)
