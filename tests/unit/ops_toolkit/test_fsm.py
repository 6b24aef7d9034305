"""``tabard fsm graph``: machines drawn from the code that runs."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree as ET

import pytest

from tabard.fsm import dot, svg
from tests.unit.fsm.machines import seed
from tests.unit.ops_reading.test_json import described

MODULE = """
    import helper_beside_it
    from tests.unit.fsm.machines import seed

    machine = seed()

    def made():
        return seed()

    def breaks():
        raise OSError("no network")

    def ends():
        raise SystemExit

    number = 5
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "helper_beside_it.py").write_text("")
    (tmp_path / "talks.py").write_text(
        "from tests.unit.fsm.machines import seed\nprint('loading')\nmachine = seed()\n"
        "def make():\n    print('making')\n    return machine\n"
    )
    (tmp_path / "ends_itself.py").write_text("import sys\n\nsys.exit(0)\n")
    (tmp_path / "torn.py").write_text("import sys\nx = (\n")
    path = tmp_path / "orders.py"
    path.write_text(dedent(MODULE))
    return path


@pytest.fixture
def graph(module, tabard, root):
    """Runs ``tabard fsm graph`` with the module's folder and the tests to be found."""

    def run(*arguments: str):
        return tabard("fsm", "graph", *arguments, PYTHONPATH=f"{module.parent}:{root}")

    return run


@pytest.mark.parametrize("target", ["orders:machine", "orders:made", "orders", "{}:machine", "{}"])
def test_a_machine_is_found(graph, module, target) -> None:
    """By module or file, by name or because there is only one, also where a function makes it."""
    done = graph(target.format(module))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == svg(seed())
    assert ET.fromstring(done.stdout).tag.endswith("svg")


@pytest.mark.parametrize("target", ["talks:machine", "talks:make"])
def test_what_a_module_prints_is_not_in_the_picture(graph, target) -> None:
    """It stands on standard error."""
    done = graph(target)
    assert (done.returncode, done.stdout) == (0, svg(seed()))
    assert done.stderr.splitlines()[0] == "loading"


def test_forms(graph) -> None:
    """For graphviz, and for a program."""
    assert graph("orders:machine", "-o", "dot").stdout == dot(seed())
    data = json.loads(graph("orders:machine", "-o", "json").stdout)
    assert list(data) == described("tabard fsm graph")
    assert {tuple(state) for state in data["states"]} == {tuple(described("A state"))}
    assert {tuple(edge) for edge in data["edges"]} == {tuple(described("A way between states"))}
    assert [state["name"] for state in data["states"]] == ["START", "STATE1", "ERROR", "FINAL"]
    assert data["edges"][1] == {"source": "START", "target": "ERROR", "kind": "default", "input": ""}


def test_a_file_is_written_only_when_all_is_right(graph, tmp_path) -> None:
    """An old picture stays when the new one fails."""
    picture = tmp_path / "machine.svg"
    assert graph("orders:machine", "--to", str(picture)).stdout == ""
    assert picture.read_text(encoding="utf-8") == svg(seed())
    assert graph("orders:breaks", "--to", str(picture)).returncode == 1
    assert picture.read_text(encoding="utf-8") == svg(seed())


@pytest.mark.parametrize(("name", "begins"), [("m.dot", "digraph"), ("m.DOT", "digraph"), ("m.svg", "<svg"), ("m.json", "{"), ("m.txt", "<svg"), ("dot", "<svg")])  # fmt: skip
def test_the_ending_of_the_file_says_the_form(graph, tmp_path, name, begins) -> None:
    """Where no form is given by name: an SVG in m.dot would be nothing for graphviz."""
    picture = tmp_path / name
    assert graph("orders:machine", "--to", str(picture)).returncode == 0
    assert picture.read_text(encoding="utf-8").startswith(begins)


@pytest.mark.parametrize(("form", "name"), [("svg", "m.dot"), ("dot", "m.svg"), ("json", "m.svg")])
def test_a_form_that_contradicts_the_file_is_refused(graph, tmp_path, form, name) -> None:
    """It is wrong use, and an old file stays."""
    picture = tmp_path / name
    picture.write_text("old")
    done = graph("orders:machine", "-o", form, "--to", str(picture))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"a file that ends with .{form}" in done.stderr
    assert picture.read_text() == "old"
    fitting = tmp_path / f"other.{form}"
    assert graph("orders:machine", "-o", form, "--to", str(fitting)).returncode == 0
    assert graph("orders:machine", "-o", form, "--to", str(tmp_path / "any.txt")).returncode == 0
    assert (tmp_path / "any.txt").read_text() == fitting.read_text()


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        (
            "orders:missing",
            2,
            "expected a Machine, or a function that returns one, found nothing of that name",
        ),
        ("orders:number", 2, "found int"),
        ("orders:breaks", 1, "found OSError: no network"),
        ("no_such_module:x", 1, "No module named 'no_such_module'"),
        ("./missing.py:x", 2, "no such module"),
        ("helper_beside_it", 2, "found 0 machines"),
        (
            "ends_itself:machine",
            1,
            "ends_itself.py, line 3: ends_itself cannot be imported: found SystemExit: 0",
        ),
        ("torn:machine", 1, "torn.py, line 2: torn cannot be imported: found SyntaxError"),
        ("orders:ends", 1, "orders:ends cannot be called: found SystemExit"),
    ],
)
def test_what_is_wrong_is_told(graph, target, code, says) -> None:
    """One sentence with the place, no trace."""
    done = graph(target)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "fsm_graph.py" not in done.stderr, "the place is theirs, not ours"


def test_an_error_in_the_module_names_its_line(graph, module) -> None:
    """The line of the application that raised, not one of ours."""
    module.write_text("x = 1\ny = x.missing\n")
    done = graph("orders:machine")
    assert f"{module}, line 2" in done.stderr


def test_a_machine_that_is_wrong_is_told_as_such(graph, module) -> None:
    """All findings of its definition."""
    module.write_text("from tabard.fsm import Machine\nmachine = Machine('m', [])\n")
    done = graph("orders:machine")
    assert "machine m: expected one initial state, found none; no state is final" in done.stderr
