"""A machine: states that were checked together, ready to be run or drawn."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from tabard.errors import UsageError
from tabard.fsm.checks import findings
from tabard.fsm.errors import DefinitionError
from tabard.fsm.notice import Notify
from tabard.fsm.running import LIMIT, Run
from tabard.fsm.state import NAME_LIMIT, State
from tabard.fsm.trace import Trace


class Edge(NamedTuple):
    """One way from a state to another."""

    source: str
    target: str
    kind: str
    """``input``, ``default`` or ``error``."""
    input: str = ""


class Machine:
    """A named set of states. What is changed in the states later has no effect on it.

    Raises DefinitionError, with everything that is wrong, unless exactly one state is initial, one at least is
    final, each way leads to a state of the machine, each state can be reached, and from each a final one.
    """

    def __init__(self, name: str, states: Iterable[State]) -> None:
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= NAME_LIMIT:
            expected = f"one line of 1 to {NAME_LIMIT} characters"
            raise UsageError("not the name of a machine", expected=expected, found=repr(name)[:NAME_LIMIT])
        self.name: Final = name
        self.states: Final = tuple(states)
        for state in self.states:
            if not isinstance(state, State):
                raise UsageError("not a state", expected="a State", found=repr(state)[:NAME_LIMIT], where=f"machine {name}")  # fmt: skip
        wrong = findings(self.states)
        if wrong:
            raise DefinitionError(name, wrong)
        self.initial: Final = next(state for state in self.states if state.initial)
        self.inputs: Final = {state.name: dict(state.inputs) for state in self.states}
        """Where each input leads, by the name of the state."""

    def __repr__(self) -> str:
        return f"Machine({self.name!r}, {len(self.states)} states)"

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every way there is, in the order of the definition."""
        edges: list[Edge] = []
        for state in self.states:
            edges += (
                Edge(state.name, target.name, "input", given)
                for given, target in self.inputs[state.name].items()
            )
            if state.default is not None:
                edges.append(Edge(state.name, state.default.name, "default"))
            if state.on_error is not None:
                edges.append(Edge(state.name, state.on_error.name, "error"))
        return tuple(edges)

    def run(
        self,
        context: Any = None,
        *,
        limit: int = LIMIT,
        notify: Notify | None = None,
        log: logging.Logger | None = None,
    ) -> Trace:
        """Go from the initial state to a final one, and return the trace.

        ``context`` (a new dict unless given) is handed to every handler. Each step is a record of ``log`` (the
        logger ``tabard.fsm``). ``notify`` is called when an error state with ``mail`` is entered; see ``by_mail``.
        May run in several threads at once, each with its own context.

        Raises TransitionError on an input that leads nowhere, StepLimitError after ``limit`` steps, HandlerError
        when a handler raises and its state has no ``on_error``. Each of them carries the trace.
        """
        if not isinstance(limit, int) or limit < 1:
            raise UsageError("not a limit of steps", expected="1 or more", found=repr(limit))
        run = Run(self.name, self.states, self.inputs, limit, notify, log or logging.getLogger("tabard.fsm"))
        return run.go(self.initial, {} if context is None else context)
