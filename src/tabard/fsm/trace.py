"""What a run did, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One state visited, and what came of it."""

    number: int
    """From 1."""
    state: str
    input: str | None
    """What the handler returned; None when it raised."""
    by: str
    """What decided: ``input``, ``default``, ``error``, ``final``, or ``nothing`` when the run could not go on."""
    to: str | None
    """The state entered next; None at the end."""
    began: int
    """Nanoseconds since 1970 UTC."""
    seconds: float
    error: str | None = None
    """What the handler raised, in one line."""


@dataclass(slots=True)
class Trace:
    """A run of a machine, up to now or to its end."""

    machine: str
    run: str
    """A word that tells this run from all others."""
    at: str
    """The state it is in, or ended in."""
    failed: bool = False
    """Whether it has come through an error state, or could not go on."""
    done: bool = False
    """Whether it reached a final state."""
    steps: list[Step] = field(default_factory=list)

    @property
    def inputs(self) -> list[str | None]:
        """What the handlers returned, in order."""
        return [step.input for step in self.steps]

    @property
    def states(self) -> list[str]:
        """The states visited, in order."""
        return [step.state for step in self.steps]

    @property
    def seconds(self) -> float:
        """Time spent in handlers."""
        return sum(step.seconds for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "machine": self.machine,
            "run": self.run,
            "at": self.at,
            "done": self.done,
            "failed": self.failed,
            "seconds": self.seconds,
            "steps": [step._asdict() for step in self.steps],
        }
