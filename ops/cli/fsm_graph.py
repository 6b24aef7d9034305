"""``tabard fsm graph``: the picture of a state machine."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module, util
from types import ModuleType
from typing import Final

import click

from tabard.errors import TabardError, UsageError
from tabard.fsm import Machine, dot, svg
from tabard.home import Home
from tabard.ops.cli.base import command


def _data(machine: Machine) -> str:
    """States and ways as one JSON object."""
    states = [
        {
            "name": state.name,
            "initial": state.initial,
            "final": state.final,
            "error": state.error,
            "mail": list(state.mail) if isinstance(state.mail, tuple) else state.mail,
            "help": state.help,
        }
        for state in machine.states
    ]
    edges = [edge._asdict() for edge in machine.edges]
    return json.dumps({"name": machine.name, "states": states, "edges": edges}, ensure_ascii=False) + "\n"


FORMS: Final[dict[str, Callable[[Machine], str]]] = {"svg": svg, "dot": dot, "json": _data}


@command(
    "graph",
    examples=[
        ("tabard fsm graph shop.orders:machine > orders.svg", "A picture for any page, light or dark"),
        (
            "tabard fsm graph ./orders.py:machine --to orders.svg",
            "From a file; nothing is written if it is wrong",
        ),
        ("tabard fsm graph shop.orders -o dot", "For graphviz; the module has one machine only"),
    ],
)
@click.argument("machine", metavar="MODULE[:NAME]")
@click.option("-o", "--output", type=click.Choice(tuple(FORMS)), help="Form of the graph.  [default: what FILE ends with, else svg]")  # fmt: skip
@click.option("--to", type=click.Path(dir_okay=False), metavar="FILE", help="Write it here.  [default: standard output]")  # fmt: skip
def fsm_graph(home: Home, machine: str, output: str | None, to: str | None) -> None:
    """Draw a state machine from the code that runs.

    MODULE is imported, from the working directory too, or is a file such as ./orders.py; that runs its top level,
    as any import does. NAME is a Machine in it, or a function without arguments that returns one; it may be left out
    where there is only one Machine. The same machine gives the same bytes. A FILE that ends with .svg, .dot or .json
    is written in that form, and in no other.
    """
    del home  # machines belong to code, not to a home
    form = _form(output, to)
    text = FORMS[form](_machine(machine))
    if to is None:
        click.echo(text, nl=False)
        return
    with open(to, "w", encoding="utf-8") as file:
        file.write(text)


def _form(output: str | None, to: str | None) -> str:
    """The form asked for by name or by the ending of the file. Raises UsageError when these contradict each other."""
    ending = os.path.splitext(to)[1].lower().removeprefix(".") if to is not None else ""
    if ending not in FORMS:
        return output or "svg"
    if output not in (None, ending):
        raise UsageError(
            "the name of the file says another form than --output",
            expected=f"-o {ending}, or a file that ends with .{output}",
            found=f"-o {output}",
            where=f"--to {to}",
        )
    return ending


def _machine(target: str) -> Machine:
    place, _, name = target.partition(":")
    module = _module(place)
    if not name:
        machines = {key: value for key, value in vars(module).items() if isinstance(value, Machine)}
        if len(machines) != 1:
            raise UsageError(
                "which machine is meant",
                expected=f"{place}:NAME",
                found=f"{len(machines)} machines" + (f": {', '.join(machines)}" if machines else ""),
                where=place,
            )
        return next(iter(machines.values()))
    found = vars(module).get(name)
    if callable(found) and not isinstance(found, type):
        found = _run(found, f"{place}:{name}", "cannot be called")
    if not isinstance(found, Machine):
        kind = "nothing of that name" if name not in vars(module) else type(found).__name__
        raise UsageError("no state machine", expected="a Machine, or a function that returns one", found=kind, where=target)  # fmt: skip
    return found


def _module(place: str) -> ModuleType:
    if place.endswith(".py") or os.sep in place:
        spec = util.spec_from_file_location("machine_to_draw", place)
        if spec is None or spec.loader is None or not os.path.isfile(place):
            raise UsageError("no such module", expected="a Python file", found=repr(place))
        loader = spec.loader
        module = util.module_from_spec(spec)
        sys.path.insert(0, os.path.dirname(os.path.abspath(place)))
        _run(lambda: loader.exec_module(module), place, "cannot be imported")
        return module
    sys.path.insert(0, os.getcwd())
    found = _run(lambda: import_module(place), place, "cannot be imported")
    if not isinstance(found, ModuleType):
        raise UsageError("no such module", found=repr(place))
    return found


def _run(do: Callable[[], object], place: str, what: str) -> object:
    """Run somebody else's code; what it raises is told with the line that raised it, and what it prints is no picture."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return do()
    except TabardError:
        raise
    except (Exception, SystemExit) as error:  # a script without a guard ends itself: that is no picture
        raise TabardError(
            f"{place} {what}", found=f"{type(error).__name__}: {error}", where=_where(error)
        ) from error


def _where(error: BaseException) -> str | None:
    """The line of their code that raised it; None when it did not come so far."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "importlib" not in frame.filename and frame.filename != __file__:
            return f"{frame.filename}, line {frame.lineno}"
    return None
