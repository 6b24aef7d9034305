"""A machine is checked when it is built."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.errors import UsageError
from tabard.fsm import DefinitionError, Edge, Machine, State
from tests.unit.fsm.machines import says, seed


def _state(name: str, **facts: bool | State | list[str]) -> State:
    return State(name, says("ok"), **facts)  # type: ignore[arg-type]


def _wrong(*states: State) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        Machine("m", states)
    return caught.value.findings


def test_the_original_example_is_a_machine() -> None:
    """The machine of the original's documentation, with every way it has."""
    assert seed().edges == (
        Edge("START", "STATE1", "input", "INIT_OK"),
        Edge("START", "ERROR", "default"),
        Edge("STATE1", "FINAL", "input", "STATE1_OK"),
        Edge("STATE1", "ERROR", "default"),
        Edge("ERROR", "FINAL", "input", "ERROR_STATE_OK"),
        Edge("ERROR", "FINAL", "default"),
    )


def test_exactly_one_state_is_initial() -> None:
    """None and two are both wrong."""
    end = _state("end", final=True)
    assert _wrong(_state("a", default=end), end) == ("expected one initial state, found none",)
    two = [_state("a", initial=True, default=end), _state("b", initial=True, default=end)]
    assert _wrong(*two, end) == ("expected one initial state, found a, b",)


def test_one_state_at_least_is_final() -> None:
    """A machine that cannot end is none."""
    a = _state("a", initial=True)
    a["x"] = a
    assert _wrong(a) == ("no state is final",)
    assert "no state is final" in _wrong()


@pytest.mark.parametrize("way", ["input", "default", "on_error"])
def test_every_way_leads_to_a_state_of_the_machine(way: str) -> None:
    """A state that was forgotten in the list is named, with the way that leads there."""
    end, lost = _state("end", final=True), _state("lost", final=True)
    a = State(
        "a",
        says("ok"),
        initial=True,
        default=lost if way == "default" else end,
        on_error=lost if way == "on_error" else None,
    )
    if way == "input":
        a["x"] = lost
    (finding,) = _wrong(a, end)
    assert finding == f"a: {way}{chr(32) + repr('x') if way == 'input' else ''} leads to lost, which is no state of this machine"  # fmt: skip


def test_a_state_of_the_same_name_is_another_state() -> None:
    """Identity counts: a second object of that name is not the one in the list."""
    a = _state("a", initial=True, default=_state("end", final=True))
    assert "which is no state of this machine" in _wrong(a, _state("end", final=True))[0]


def test_names_are_unique() -> None:
    """Records and pictures name states, so two cannot share a name."""
    end = _state("end", final=True)
    assert "two states are called end" in _wrong(_state("a", initial=True, default=end), end, _state("end", final=True))  # fmt: skip


def test_a_state_nobody_reaches_is_told() -> None:
    """It was meant to be used, and is not."""
    end = _state("end", final=True)
    a, b = _state("a", initial=True, default=end), _state("b", default=end)
    assert _wrong(a, b, end) == ("b: no way leads there from the initial state",)


def test_a_state_without_a_way_to_the_end_is_told() -> None:
    """Whoever enters it would go round for ever."""
    end = _state("end", final=True)
    a, b, c = _state("a", initial=True, default=end), _state("b"), _state("c")
    a["x"], b["y"], c["z"] = b, c, b
    assert _wrong(a, b, c, end) == (
        "b: no way leads from there to a final state",
        "c: no way leads from there to a final state",
    )


def test_contradictions_are_told() -> None:
    """A final state that leads on, one that leads nowhere and is not final, mail from a state that is no error."""
    end = _state("end", final=True)
    end["x"] = end
    a, b = _state("a", initial=True, default=end, mail=["x@example.org"]), _state("b")
    a["b"] = b
    assert _wrong(a, b, end) == (
        "a: only error states send mail",
        "b: no input leads on, and it is not final",
        "end: a final state leads nowhere, and this one says that it does",
    )


def test_the_error_names_the_machine_and_all_findings() -> None:
    """Everything at once, in one sentence."""
    with pytest.raises(
        DefinitionError, match=r"^machine m: expected one initial .*; no state is final; a: no"
    ):
        Machine("m", [_state("a")])


def test_an_input_leads_to_one_place() -> None:
    """Saying it twice is a mistake, not a change."""
    a, b, c = _state("a"), _state("b"), _state("c")
    a["x"] = b
    with pytest.raises(UsageError, match="a: the input 'x' leads to b already"):
        a["x"] = c


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 101, None, "\x1b[31m"])
def test_names_are_one_printable_line(name: str) -> None:
    """States and machines have names that fit into a record and a picture."""
    with pytest.raises(UsageError):
        _state(name)
    with pytest.raises(UsageError):
        Machine(name, seed().states)


def test_inputs_are_text_and_addresses_a_list() -> None:
    """What would go wrong at night is refused at once."""
    with pytest.raises(UsageError, match="not an input"):
        _state("a")[""] = _state("b")
    with pytest.raises(UsageError, match="not a list of addresses"):
        State("a", says("ok"), error=True, mail="ops@example.org")
    with pytest.raises(UsageError, match=r"a: not a mail address.*found 'not one'"):
        State("a", says("ok"), error=True, mail=["ops@example.org", "not one"])


def test_what_is_no_state_or_no_handler_is_refused_where_it_is_said() -> None:
    """And not with an error of Python's when the machine is built, or in the night it runs."""
    handlers: list[Any] = [None, "name", 5]
    for given in handlers:
        with pytest.raises(UsageError, match="a: not a handler"):
            State("a", given)
    states: list[Any] = ["b", says("ok")]
    for given in states:
        with pytest.raises(UsageError, match="a, input 'ok': not a state"):
            _state("a")["ok"] = given
        with pytest.raises(UsageError, match="a, default: not a state"):
            State("a", says("ok"), default=given)
        with pytest.raises(UsageError, match="a, on_error: not a state"):
            State("a", says("ok"), on_error=given)
        with pytest.raises(UsageError, match="machine m: not a state"):
            Machine("m", [given])


def test_a_machine_is_not_changed_by_its_states() -> None:
    """What was checked is what runs."""
    end = _state("end", final=True)
    a = _state("a", initial=True, default=end)
    machine = Machine("m", [a, end])
    a["ok"] = _state("unchecked", final=True)
    assert machine.run().states == ["a", "end"]
