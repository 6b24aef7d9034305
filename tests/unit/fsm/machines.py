"""Machines for the tests."""

from __future__ import annotations

from random import Random
from typing import Any

from tabard.fsm import Machine, State

Context = dict[str, list[str]]


def says(*inputs: str) -> Any:
    """A handler that returns these inputs, one each time, the last one for ever; it notes where it was."""
    left = list(inputs)

    def handler(state: State, context: Context) -> str:
        context.setdefault("visited", []).append(state.name)
        return left.pop(0) if len(left) > 1 else left[0]

    return handler


def seed(start: str = "INIT_OK", work: str = "STATE1_OK", mail: Any = ("ops@example.org",)) -> Machine:
    """The machine of the original's documentation."""
    final = State("FINAL", says("FIN_STATE_OK"), final=True)
    error = State("ERROR", says("ERROR_STATE_OK"), error=True, mail=mail, default=final)
    first = State("START", says(start), initial=True, default=error)
    state1 = State("STATE1", says(work), default=error)
    first["INIT_OK"] = state1
    state1["STATE1_OK"] = final
    error["ERROR_STATE_OK"] = final
    return Machine("TheMachine", [first, state1, error, final])


def random_machine(number: int, size: int = 12) -> Machine:
    """Some machine, always the same for a number: circles, loops, many lines between two states, long words."""
    random = Random(number)
    words = [
        "ok",
        "no",
        "again and again",
        "a_very_long_input_that_nobody_would_want_to_read",
        "ü",
        "日本語の入力",
    ]
    names = [
        f"{random.choice(['S', 'a longer name of ', 'name_without_a_space_'])}{index}"
        for index in range(size)
    ]
    states: list[State] = []
    for index, name in enumerate(reversed(names)):
        later = random.choice(states) if states and random.random() < 0.4 else None
        failing = random.choice(states) if states and random.random() < 0.3 else None
        final = index == 0
        states.append(
            State(
                name,
                says("ok"),
                initial=index == size - 1,
                final=final,
                error=random.random() < 0.2,
                default=None if final else later,
                on_error=None if final else failing,
            )
        )
    states.reverse()
    for index, state in enumerate(states[:-1]):
        state["next"] = states[index + 1]
        for more in range(random.randint(0, 4)):
            state[f"{random.choice(words)} {more}"] = random.choice(states)
    return Machine(f"random {number}", states)
