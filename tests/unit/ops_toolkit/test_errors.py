"""The errors of the toolkit, raised where applications raise them: in the workers of a pool, too."""

from __future__ import annotations

import multiprocessing
import pickle  # noqa: TID251 -- as a pool of workers does
from collections.abc import Callable

import pytest

from tabard.errors import SettingsError, TabardError
from tabard.fsm import Machine, State
from tabard.mail import address
from tabard.shell import CommandError, shell
from tabard.templates import Templates
from tests.unit.fsm.machines import says


def _circle() -> Machine:
    end = State("end", says("x"), final=True)
    state = State("a", says("again"), initial=True)
    state["again"] = state
    state["out"] = end
    return Machine("m", [state, end])


def _lost() -> None:
    end = State("end", says("x"), final=True)
    state = State("a", says("odd"), initial=True)
    state["out"] = end
    Machine("m", [state, end]).run()


def _setting() -> None:
    raise SettingsError("wrong", file="tabard.toml", key="a.b", line=3)


@pytest.mark.parametrize(
    ("fails", "fact"),
    [
        (lambda: shell("exit 3", script=True, check=True), "result"),
        (lambda: Templates([]).log("none"), "template"),
        (lambda: Machine("m", []), "findings"),
        (lambda: _circle().run(limit=3), "trace"),
        (_lost, "trace"),
        (lambda: address("none"), "found"),
        (_setting, "line"),
    ],
)
def test_an_error_survives_the_way_to_another_process(fails: Callable[[], object], fact: str) -> None:
    """With its sentence and its facts."""
    with pytest.raises(TabardError) as caught:
        fails()
    error = caught.value
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        other = pickle.loads(pickle.dumps(error, protocol))
        assert (type(other), str(other)) == (type(error), str(error))
        assert vars(other) == vars(error)
        assert vars(other)[fact] is not None


def _work(number: int) -> int:
    return shell(["sh", "-c", f"exit {number}"], check=True).code


def test_a_pool_of_workers_hands_it_on() -> None:
    """Whose caller would wait for ever for an error that cannot be made again."""
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(CommandError) as caught:
        pool.apply_async(_work, (7,)).get(60)
    assert caught.value.result.code == 7
