"""What can be wrong with a machine, before it runs and while it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabard.errors import TabardError

if TYPE_CHECKING:
    from tabard.fsm.trace import Trace


class DefinitionError(TabardError):
    """Raised when a machine is built that cannot work. ``findings`` are all reasons, a sentence each."""

    def __init__(self, machine: str, findings: Sequence[str]) -> None:
        super().__init__("; ".join(findings), where=f"machine {machine}")
        self.findings = tuple(findings)


class MachineError(TabardError):
    """Raised when a run cannot go on. ``trace`` is how far it came."""

    def __init__(self, what: str, trace: Trace, **facts: str) -> None:
        where = f"machine {trace.machine}, run {trace.run}, state {trace.at}, step {len(trace.steps)}"
        super().__init__(what, where=where, **facts)
        self.trace = trace


class TransitionError(MachineError):
    """Raised when an input leads nowhere and the state has no default."""


class StepLimitError(MachineError):
    """Raised when a run takes more steps than it may."""


class HandlerError(MachineError):
    """Raised when a handler raises and its state does not say where to go then; ``__cause__`` is what it raised."""
