"""Named places where a test can make a process die, freeze or meet a failing disk.

A module declares its fail-points where it is imported and calls ``hit`` at them. Nothing happens unless
the environment arms them::

    TABARD_FAILPOINTS="journal.after_write=kill@3,store.commit=error"

kills the process at the third ``journal.after_write`` and fails the first ``store.commit`` with EIO.
``TABARD_FAILPOINT_LOG=FILE`` appends ``name pid`` at each first hit, armed or not, from which the chaos
tests prove that every declared point was reached. Unarmed, a hit costs one truth test.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tabard.errors import UsageError

ACTIONS: Final = ("kill", "stop", "error", "exit")
"""SIGKILL to itself; SIGSTOP to itself; OSError(EIO) at the place; SystemExit(1), an orderly end."""


@dataclass(frozen=True, slots=True)
class _Armed:
    """What happens at a fail-point, and at which hit of it."""

    action: str
    at: int


_declared: dict[str, str] = {}
_armed: dict[str, _Armed] = {}
_counts: dict[str, int] = {}
_log_file: list[str] = []
_active: list[bool] = []
_guard = threading.Lock()


def declare(name: str, meaning: str) -> str:
    """Register a fail-point and return its name. ``meaning`` completes "the process is at the place ..."."""
    _declared[name] = meaning
    return name


def declared() -> Mapping[str, str]:
    """Every fail-point of the modules imported so far, with its meaning."""
    return dict(_declared)


def hit(name: str) -> None:
    """Pass the fail-point ``name``. Raises OSError(EIO) or SystemExit when armed to do so."""
    if _active:
        _hit(name)


def arm(spec: str, log_file: str = "") -> None:
    """Arm fail-points by a specification as in the module's docstring, replacing what was armed.

    An empty specification and an empty log file disarm everything. Raises UsageError on a malformed one.
    """
    armed = dict(_parsed(part) for part in spec.split(",") if part.strip())
    with _guard:
        _armed.clear()
        _armed.update(armed)
        _counts.clear()
        _log_file[:] = [log_file] if log_file else []
        _active[:] = [True] if armed or log_file else []


def _parsed(part: str) -> tuple[str, _Armed]:
    name, _, action = part.strip().partition("=")
    action, _, at = action.partition("@")
    if not name or action not in ACTIONS or (at and not (at.isascii() and at.isdigit() and int(at) > 0)):
        raise UsageError(
            "not a fail-point",
            expected=f"NAME=ACTION[@N] with an action of {', '.join(ACTIONS)} and N from 1",
            found=repr(part),
            where="TABARD_FAILPOINTS",
        )
    return name, _Armed(action, int(at or 1))


def _hit(name: str) -> None:
    with _guard:
        count = _counts[name] = _counts.get(name, 0) + 1
        armed = _armed.get(name)
        if count == 1 and _log_file:
            _append(_log_file[0], f"{name} {os.getpid()}\n")
    if armed is None or armed.at != count:
        return
    if armed.action == "kill":
        _end_here(signal.SIGKILL)
    elif armed.action == "stop":
        _end_here(signal.SIGSTOP)
    elif armed.action == "error":
        raise OSError(errno.EIO, f"fail-point {name}")
    else:
        raise SystemExit(1)


def _end_here(number: signal.Signals) -> None:
    """To this very thread: a signal to the process may reach another one first, while this one goes on for a moment."""
    signal.pthread_kill(threading.get_ident(), number)


def _append(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


arm(os.environ.get("TABARD_FAILPOINTS", ""), os.environ.get("TABARD_FAILPOINT_LOG", ""))
