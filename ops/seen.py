"""Which roles a home has, whether they run, and what they last said of themselves."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tabard import __version__
from tabard.errors import HomeError
from tabard.home import Home
from tabard.locks import held
from tabard.settings import Settings

SILENT_AFTER: Final = 15.0
"""Seconds after which a role that has not renewed its status file (every 2 s) is held to be frozen."""
RUNNING: Final = "running"
SILENT: Final = "silent"
STOPPED: Final = "stopped"
_ORDER: Final = ("up", "tunnel", "agent", "broker", "recorder", "dispatcher", "herald")


@dataclass(frozen=True)
class Seen:
    """One role of a home."""

    name: str
    state: str
    """``running``; ``silent``: it runs and says nothing any more; ``stopped``: it ran here once."""
    pid: int | None
    since: int | None
    """When it started, nanoseconds since 1970 UTC."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Its status file; empty when it does not run, or is of another version, which may say it differently."""
    version: str | None = None
    """That of the running role, when it says one."""

    @property
    def role(self) -> str:
        """The role without the name of its instance."""
        return self.name.partition(".")[0]


def roles(home: Home, settings: Settings | None = None) -> list[Seen]:
    """Every role that runs or ever ran in the home, by the locks in ``run/``; none when there is no home.

    With ``settings`` a broker or tunnel that does not run, and that neither they nor a running ``up`` know, is none of them: a
    shorter chain was started since. Raises HomeError when the home is another user's.
    """
    try:
        names = [entry.name for entry in os.scandir(home.run) if entry.name.endswith(".lock")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HomeError(
            "cannot look into the home",
            expected="a directory this user can read",
            found=error.strerror,
            where=str(home.run),
            hint="Run this as the user whose home it is, or choose another --home",
        ) from error
    found = [_seen(home, name.removesuffix(".lock")) for name in names]
    if settings is not None:
        known = described(settings, home) | set(said(found, "up").get("children", ()))
        found = [role for role in found if not _is_left_over(role, known)]
    return sorted(found, key=lambda seen: (_place(seen.role), seen.name))


def described(settings: Settings, home: Home) -> frozenset[str]:
    """The brokers and tunnels of the settings, by the names of their locks."""
    from tabard.brokers.topology import brokers

    names = [f"broker.{plan.name}" for plan in brokers(settings, home)]
    return frozenset([*names, *(f"tunnel.{each.name}" for each in settings.tunnels)])


def clear(home: Home, settings: Settings) -> None:
    """Remove what brokers and tunnels left behind that these settings do not describe and that do not run."""
    known = described(settings, home)
    for role in roles(home):
        if _is_left_over(role, known):
            for path in (home.lock(role.name), home.run / f"{role.name}.json"):
                path.unlink(missing_ok=True)


def said(roles: Iterable[Seen], name: str) -> Mapping[str, Any]:
    """What the role of that name says of itself; empty when it does not run."""
    return next((role.said for role in roles if role.name == name), {})


def _seen(home: Home, name: str) -> Seen:
    pid = held(home.lock(name))
    if pid is None:
        return Seen(name, STOPPED, None, None)
    said, age = _said(home, name, pid)
    state = SILENT if age > SILENT_AFTER else RUNNING
    version = said.get("version")
    known = said if version == __version__ else {}
    return Seen(name, state, pid or said.get("pid"), _locked_at(home, name), known, version)


def _said(home: Home, name: str, pid: int) -> tuple[Mapping[str, Any], float]:
    """What the status file says and how many seconds ago.

    When there is none of this process: nothing, for as long as it has its lock. It writes one as soon as it is
    ready, if it can. A process that took its lock on a full disk could not write its id there: then the file tells it.
    """
    path = home.run / f"{name}.json"
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and (content.get("pid") == pid or (not pid and _lives(content))):
            return content, time.time() - path.stat().st_mtime
    locked = _locked_at(home, name)
    return {}, 0.0 if locked is None else time.time() - locked / 1e9


def _lives(said: Mapping[str, Any]) -> bool:
    """Whether there is a process of the id that a status file says."""
    pid = said.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _locked_at(home: Home, name: str) -> int | None:
    """When the role took its lock: it writes its process id into the file then, and at no other time."""
    try:
        return os.stat(home.lock(name)).st_mtime_ns
    except OSError:
        return None


def _is_left_over(role: Seen, known: Collection[str]) -> bool:
    return role.role in {"broker", "tunnel"} and role.state == STOPPED and role.name not in known


def _place(role: str) -> int:
    return _ORDER.index(role) if role in _ORDER else len(_ORDER)
