"""The jobs that a home knows of, as rows of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabard import locks
from tabard.clock import boot_id
from tabard.errors import HomeError, TabardError
from tabard.home import Home
from tabard.ops.cronexec.due import Zone, local
from tabard.ops.cronexec.expression import parse
from tabard.ops.cronexec.missed import Every, Plan, next_due, overdue
from tabard.ops.cronexec.state import Damaged, JobFile, Known, began, jobs
from tabard.units import parse_duration
from tabard.web.zones import SECOND, iso

COLUMNS: Final = (
    "name", "state", "start", "end", "code", "duration", "next", "overdue", "runs", "missed", "refused", "schedule",
    "command",
)  # fmt: skip
ALLOWED: Final = 120.0
"""Seconds after which a run that was due and has not begun is overdue."""
_EVERY: Final = "every "


def rows(home: Home, now: int, zone: Zone = local) -> list[Mapping[str, object]]:
    """A row for each job, by name. ``now`` is nanoseconds since 1970."""
    return [_row(file, now, zone) for file in jobs(home)]


def _row(file: JobFile, now: int, zone: Zone) -> Mapping[str, object]:
    try:
        found = file.read()
    except HomeError:
        found = Damaged(str(file.path))
    known = Known() if found is None or isinstance(found, Damaged) else found
    plan = plan_of(known.plan)
    running = _running(file, known)
    state = "damaged" if isinstance(found, Damaged) else "running" if running else known.outcome or "cut off"
    following = next_due(plan, known.due, now // SECOND, zone)
    late = not running and overdue(plan, known.due, now // SECOND, ALLOWED, zone)
    return {
        "name": file.name,
        "state": state,
        "start": iso(known.start) if known.start is not None else None,
        "end": iso(known.end) if known.end is not None else None,
        "code": known.code,
        "duration": known.duration,
        "next": iso(following * SECOND) if following is not None else None,
        "overdue": late,
        "runs": known.runs,
        "missed": known.missed,
        "refused": known.refused,
        "schedule": known.plan or None,
        "command": known.command or None,
    }


def plan_of(text: str) -> Plan | None:
    """The plan that was noted; None when there is none, or it was noted by another version."""
    try:
        if text.startswith(_EVERY):
            return Every(parse_duration(text.removeprefix(_EVERY)), text)
        return parse(text) if text else None
    except TabardError:
        return None


def busy(file: JobFile) -> bool:
    """Whether a run of the job goes on."""
    found = file.read()
    return _running(file, found if isinstance(found, Known) else Known())


def _running(file: JobFile, known: Known) -> bool:
    try:
        if locks.held(file.lock) is not None:
            return True
    except HomeError:
        return False
    if known.start is None or known.end is not None or known.pid is None or known.boot != _boot():
        return False
    return known.pid_began is not None and began(known.pid) == known.pid_began


def _boot() -> str:
    try:
        return boot_id()
    except OSError:
        return ""
