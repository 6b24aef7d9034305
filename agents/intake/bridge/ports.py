"""What an intake of the bridge is to the agent, and what the agent hands to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.agents.intake.ports import Loop
from tabard.agents.samplers.users import Users
from tabard.clock import Clock


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an intake works with: all of it is the agent's, and lives as long as the intake does."""

    loop: Loop
    batcher: Batcher
    clock: Clock
    marks: Mapping[str, Any] = field(default_factory=dict)
    """The journal's at the start: where each source that has positions goes on."""
    defaults: Defaults = NO_DEFAULTS
    users: Users = field(default_factory=Users)
    max_clients: int = 256
    """Most connections of one intake."""


class Report(NamedTuple):
    """How an intake is doing, for the status file. Everything in it is plain data."""

    name: str
    """The setting that asked for it, without its section: ``syslog_udp``."""
    address: str
    """Where records come from: ``tcp 127.0.0.1:9020``, a path, the name of a journal."""
    records: int
    """Records handed to the batcher since the start."""
    counters: Mapping[str, int]
    """What else was counted, bad input above all; zeros may be left out."""
    clients: tuple[Mapping[str, Any], ...] = ()
    """Who is connected: origin, source, service, protocol, records."""
    faults: tuple[str, ...] = ()
    """What is wrong at the moment, or was lately and concerns the operator, in words."""
    position: str = ""
    """How far its source was read: a cursor, a file; "" for a source without positions."""
    behind: float | None = None
    """How many seconds old the last record was when it was read; None where that says nothing."""


class Intake(Protocol):
    """One way in. Runs in the agent's loop: nothing it does may block."""

    def open(self) -> None:
        """Listen, or begin to read. Raises IntakeError when that cannot be."""

    def close(self) -> None:
        """Take what is there already and can be had without waiting, then let go of everything.

        The agent journals after this what was handed to the batcher.
        """

    def report(self) -> Report:
        """How it is doing."""
