"""Whether a set of states can work together: found when a machine is built, not in the night it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tabard.fsm.state import State


def findings(states: Sequence[State]) -> list[str]:
    """Everything that is wrong with these states as one machine, a sentence each; empty when nothing is."""
    found = [*_names(states), *_ends(states), *_strangers(states), *_odd(states)]
    if found:
        return found  # what cannot be reached means nothing in a machine that has holes
    return [*_unreachable(states), *_endless(states)]


def targets(state: State) -> Iterator[tuple[str, State]]:
    """Each way out of a state, as people are told of it, and where it leads."""
    for given, target in state.inputs.items():
        yield f"input {given!r}", target
    if state.default is not None:
        yield "default", state.default
    if state.on_error is not None:
        yield "on_error", state.on_error


def _names(states: Sequence[State]) -> Iterator[str]:
    seen: set[str] = set()
    for state in states:
        if state.name in seen:
            yield f"two states are called {state.name}"
        seen.add(state.name)


def _ends(states: Sequence[State]) -> Iterator[str]:
    initial = [state.name for state in states if state.initial]
    if len(initial) != 1:
        yield f"expected one initial state, found {', '.join(initial) or 'none'}"
    if not any(state.final for state in states):
        yield "no state is final"


def _strangers(states: Sequence[State]) -> Iterator[str]:
    known = set(map(id, states))
    for state in states:
        for way, target in targets(state):
            if id(target) not in known:
                yield f"{state.name}: {way} leads to {target.name}, which is no state of this machine"


def _odd(states: Sequence[State]) -> Iterator[str]:
    for state in states:
        if state.final and (state.inputs or state.default):
            yield f"{state.name}: a final state leads nowhere, and this one says that it does"
        if not state.final and not state.inputs and state.default is None:
            yield f"{state.name}: no input leads on, and it is not final"
        if state.mail and not state.error:
            yield f"{state.name}: only error states send mail"


def _unreachable(states: Sequence[State]) -> Iterator[str]:
    onward = {state.name: [target.name for _, target in targets(state)] for state in states}
    reached = _reach((state.name for state in states if state.initial), onward)
    for state in states:
        if state.name not in reached:
            yield f"{state.name}: no way leads there from the initial state"


def _endless(states: Sequence[State]) -> Iterator[str]:
    back: dict[str, list[str]] = {state.name: [] for state in states}
    for state in states:
        for _, target in targets(state):
            back[target.name].append(state.name)
    ending = _reach((state.name for state in states if state.final), back)
    for state in states:
        if state.name not in ending:
            yield f"{state.name}: no way leads from there to a final state"


def _reach(start: Iterable[str], onward: Mapping[str, Sequence[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = list(start)
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += onward[name]
    return reached
