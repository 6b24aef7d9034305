"""Who belongs to a command: its process group and session, and the children of these in sessions of their own.

Asked before anybody is ended: of a process whose parent has ended nobody can tell any more whose it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from typing import Final, NamedTuple

_PROC: Final = "/proc"
_ENDED: Final = frozenset({"Z", "X", "x"})


class Member(NamedTuple):
    """One process: its number, and when it began (in the kernel's ticks), since numbers are used again."""

    pid: int
    began: int


class _Seen(NamedTuple):
    member: Member
    parent: int
    group: int
    session: int
    ended: bool


def members(leader: int | None, known: Collection[Member] = ()) -> set[Member]:
    """Who is alive of the group and session of ``leader``, of those ``known`` before, and of all their descendants.

    None for a leader whose number may be another's by now. Empty where the kernel has no ``/proc``.
    """
    seen = _all()
    children: dict[int, list[_Seen]] = {}
    for one in seen:
        children.setdefault(one.parent, []).append(one)
    old = set(known)
    ahead = [one for one in seen if leader in {one.member.pid, one.group, one.session} or one.member in old]
    found: set[Member] = set()
    alive: set[Member] = set()
    while ahead:
        one = ahead.pop()
        if one.member in found:
            continue
        found.add(one.member)
        if not one.ended:
            alive.add(one.member)
        ahead += children.get(one.member.pid, [])
    return alive


def tell(family: Collection[Member], number: int, *, told: int) -> None:
    """Send each of them a signal but for those in the group ``told``, and nobody who has got its number since."""
    for member in family:
        with contextlib.suppress(OSError):  # gone, or has become another user
            _tell(member, number, told)


def _tell(member: Member, number: int, told: int) -> None:
    descriptor = -1
    with contextlib.suppress(AttributeError, OSError):  # a kernel, or a Python, that has no such thing
        descriptor = os.pidfd_open(member.pid)
    try:
        seen = _look(member.pid)  # now that the number cannot become another's
        if seen is None or seen.member != member or seen.group == told:
            return
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, number)
        else:
            os.kill(member.pid, number)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _all() -> list[_Seen]:
    try:
        numbers = [int(name) for name in os.listdir(_PROC) if name.isdecimal()]
    except OSError:
        return []
    return [seen for seen in map(_look, numbers) if seen is not None]


def _look(pid: int) -> _Seen | None:
    """What the kernel says of a process; None when it is gone."""
    try:
        with open(f"{_PROC}/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold any character; behind it come numbers only.
    state, parent, group, session, *rest = text.rpartition(b")")[2].decode("ascii").split()
    return _Seen(Member(pid, int(rest[15])), int(parent), int(group), int(session), state in _ENDED)
