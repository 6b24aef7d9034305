"""What is wrong with the roles of a home, in words: read off their locks and status files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tabard import __version__
from tabard.ops import seen
from tabard.ops.seen import Seen

PATIENCE: Final = 20_000_000_000
"""Nanoseconds that an agent has to hear of its sinks before it counts as a fault that it has not."""


class Fault(NamedTuple):
    """One thing that is wrong."""

    where: str
    """A role, ``settings`` or ``store``."""
    what: str


def of_roles(roles: Sequence[Seen], now: int) -> list[Fault]:
    """Everything that the roles' state and their own words show at wall clock ``now``."""
    faults = [fault for role in roles for fault in _of(role, now)]
    faults += _not_started(roles, {fault.where for fault in faults})
    return faults


def _of(role: Seen, now: int) -> Iterator[Fault]:
    if role.state == seen.STOPPED:
        if role.name != "up":  # it is one way to start the others, not one that must run
            yield Fault(role.name, "does not run")
        return
    if role.state == seen.SILENT:
        yield Fault(role.name, f"has said nothing for over {seen.SILENT_AFTER:.0f} s: is it frozen?")
    if role.version not in {None, __version__}:
        yield Fault(role.name, f"runs version {role.version}, and this is {__version__}: start it anew")
    if role.said.get("fault"):
        yield Fault(role.name, str(role.said["fault"]))
    if role.name == "agent":
        yield from _of_agent(role, now)


def _of_agent(role: Seen, now: int) -> Iterator[Fault]:
    if role.said.get("blocked"):
        yield Fault(role.name, f"takes no records in: {role.said['blocked']}")
    for _kind, where, detail, _since in role.said.get("faults", ()):
        yield Fault(role.name, f"{where}: {detail}")
    if role.since is None or now - role.since < PATIENCE:
        return
    for name, sink in role.said.get("sinks", {}).items():
        if not sink["attached"]:
            yield Fault(
                role.name,
                f"has not heard of sink {name}: does its recorder run, is there a way to its broker?",
            )


def _not_started(roles: Iterable[Seen], known: set[str]) -> Iterator[Fault]:
    """Children of ``tabard up`` that it cannot keep running and that left no lock to be seen by."""
    running = {role.name for role in roles if role.state != seen.STOPPED}
    for role in roles:
        for name, child in role.said.get("children", {}).items():
            if child["restarts"] and name not in running and name not in known:
                yield Fault(name, f"ended {child['restarts']} times and is started again: see log/up.log")
