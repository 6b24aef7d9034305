"""The sample of kind ``links``: what the brokers and tunnels of this home say of themselves, for whoever is far above.

It is read off their status files, as `tabard zones` reads them here, and bounded in size. A home that runs no broker, tunnel or recorder
has none. What it cannot read, it leaves out: a sample must not fail for what somebody else writes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any, Final

from tabard import locks
from tabard.agents.samplers.ports import Sample
from tabard.brokers.describing import Described, described
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings import Settings

SILENT_AFTER: Final = 15.0
"""Seconds after which a role that has not renewed its status file is held to be frozen."""
MOST_BROKERS: Final = 8
MOST_LINKS: Final = 32
"""Links of one broker, those that are not heard and those that lost something first."""
MOST_RISEN: Final = 32
MOST_TUNNELS: Final = 32
MOST_WHY: Final = 200
"""Characters that say why a tunnel is down."""
_ABOVE: Final = ("end", "broker", "zone", "used", "well", "heard")
_HOP: Final = ("peer", "zone", "side", "heard", "since", "is_heard", "well", "ways", "up", "down")


class LinksSampler:
    """Of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def sample(self, settings: Settings) -> Sample | None:
        """The data of a sample; None where there is nothing to tell."""
        try:
            brokers = [self._broker(each, bool(settings.brokers)) for each in described(settings, self._home)]
        except TabardError:
            return None  # the settings cannot be used: `tabard check` and every start say so
        told = [each for each in brokers if each is not None][:MOST_BROKERS]
        tunnels = [self._tunnel(each.name) for each in settings.tunnels[:MOST_TUNNELS]]
        recorders = self._recorders()
        if not told and not tunnels and not recorders:
            return None
        return {
            "every": settings.seconds("agent.sample_links"),
            "brokers": told,
            "tunnels": tunnels,
            "recorders": recorders,
        }

    def _recorders(self) -> list[dict[str, Any]]:
        """What the recorder of this home numbered with its brokers, if it runs."""
        state, _since, said = self._look("recorder")
        if state != "running" or not said.get("hops"):
            return []
        hops = [{key: row.get(key) for key in _HOP} for row in said["hops"][:MOST_LINKS]]
        return [{"sink": said.get("sink"), "hops": hops}]

    def _broker(self, broker: Described, wanted: bool) -> dict[str, Any] | None:
        """One of them; None of one that nobody described and that does not run."""
        state, since, said = self._look(f"broker.{broker.name}")
        if state == "stopped" and not wanted:
            return None
        risen = said.get("risen") or {}
        hops = sorted((said.get("hops") or ()), key=_concern)[:MOST_LINKS]
        return {
            "name": broker.name,
            "zone": broker.zone,
            "state": state,
            "since": since,
            "parents": [list(parent) for parent in broker.parents],
            "dialled_by": broker.dialled_by,
            "children": [list(child) for child in broker.children[:MOST_LINKS]],
            "above": [{key: row.get(key) for key in _ABOVE} for row in (said.get("above") or ())][:2],
            "hops": [{key: row.get(key) for key in _HOP} for row in hops],
            "nodes": said.get("nodes"),
            "risen": dict(sorted(risen.items())[:MOST_RISEN]),
        }

    def _tunnel(self, name: str) -> dict[str, Any]:
        state, since, said = self._look(f"tunnel.{name}")
        if state == "running":
            state, since = said.get("state", state), said.get("since", since)
        why = said.get("why")
        return {"name": name, "state": state, "since": since, "why": str(why)[:MOST_WHY] if why else None}

    def _look(self, role: str) -> tuple[str, int | None, Mapping[str, Any]]:
        """``running``, ``silent`` or ``stopped``; since when; and what it says of itself."""
        lock, file = self._home.lock(role), self._home.run / f"{role}.json"
        try:
            if locks.held(lock) is None:
                return "stopped", None, {}
            since = os.stat(lock).st_mtime_ns
            age = time.time() - os.stat(file).st_mtime
            said = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, TabardError):
            return "stopped", None, {}
        return "silent" if age > SILENT_AFTER else "running", since, said if isinstance(said, dict) else {}


def _concern(hop: Mapping[str, Any]) -> tuple[bool, int]:
    """What people look for first."""
    lacks = sum(
        lane.get("sent", 0) - lane.get("received", 0)
        for lane in (hop.get("up"), hop.get("down"))
        if isinstance(lane, dict)
    )
    return (bool(hop.get("is_heard")), -lacks)
