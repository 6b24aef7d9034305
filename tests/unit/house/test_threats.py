"""docs/security.md and the tests hold each other to their word: a threat on the page has tests that carry its id, and no other id is carried.

A threat stands in the first column of a table whose head is "threat". A test carries it by `@pytest.mark.threat("its-id")`, or as a
mark of one of its parameters. `pytest -m threat` runs all of them.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.unit.house.text import tracked

ID: Final = re.compile(r"[a-z]+(-[a-z]+)*")
_CELL: Final = re.compile(r"`([^`]+)`")
_SAID: Final = re.compile(r"\bthreats? `", re.IGNORECASE)
_NOT_RUN: Final = ("skip", "skipif", "xfail", "long")


class Carried(NamedTuple):
    """A test, and the threats that it carries."""

    where: str
    ids: tuple[str, ...]
    is_test: bool
    runs: bool
    """Whether nothing keeps `make test` from running it."""


def listed(page: str) -> Iterator[str]:
    """The ids of a page, in its order."""
    inside = False
    for line in page.splitlines():
        first = line.split("|")[1].strip() if line.startswith("|") else ""
        inside = first == "threat" or (inside and bool(first))
        if inside and set(first) - set("-: ") and first != "threat":
            yield from _CELL.findall(first) or [first]


def _is_mark(node: ast.AST, names: tuple[str, ...]) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in names
        and ast.unparse(node.value) in {"pytest.mark", "mark"}
    )


def _ids(tree: ast.AST) -> list[str]:
    marks = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_mark(node.func, ("threat",))
    ]
    return [
        str(each.value) if isinstance(each, ast.Constant) else ast.unparse(each)
        for mark in marks
        for each in mark.args
    ]


def carried(source: str, where: str) -> Iterator[Carried]:
    """The tests of a file that carry a threat, and whatever else does."""
    tree = ast.parse(source)
    elsewhere = Counter(_ids(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            ids = [name for each in node.decorator_list for name in _ids(each)]
            elsewhere -= Counter(ids)
            if ids:
                marks = [part for each in node.decorator_list for part in ast.walk(each)]
                runs = not any(_is_mark(part, _NOT_RUN) for part in marks)
                yield Carried(f"{where}::{node.name}", tuple(ids), node.name.startswith("test_"), runs)
    if elsewhere:
        yield Carried(where, tuple(elsewhere), False, False)


@pytest.fixture(scope="module")
def page(root: Path) -> list[str]:
    return list(listed((root / "docs/security.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def sources(root: Path) -> dict[str, str]:
    found = [each for each in tracked(root) if each.parts[0] == "tests" and each.suffix == ".py"]
    return {str(each): (root / each).read_text(encoding="utf-8") for each in found}


@pytest.fixture(scope="module")
def tests(sources: dict[str, str]) -> list[Carried]:
    return [each for where, source in sources.items() for each in carried(source, where)]


def test_every_threat_of_the_page_has_a_test(page: list[str], tests: list[Carried]) -> None:
    """One at least that `make test` runs."""
    assert page
    have = {name for each in tests if each.runs for name in each.ids}
    assert [name for name in page if name not in have] == [], (
        'docs/security.md names threats without a test: mark the negative one with @pytest.mark.threat("ID")'
    )


def test_every_test_of_a_threat_is_of_one_on_the_page(page: list[str], tests: list[Carried]) -> None:
    """A test that carries an id promises something to the reader of the page."""
    lost = {f"{each.where}: {name}" for each in tests for name in each.ids if name not in page}
    assert lost == set(), "these are in no table of docs/security.md whose first column is called threat"


def test_a_threat_is_carried_by_a_test(tests: list[Carried]) -> None:
    """Not by a helper or a whole file, where nobody sees which test fails when the promise is broken."""
    assert [each for each in tests if not each.is_test] == []


def test_ids_are_words_and_stand_once(page: list[str]) -> None:
    """So that a search for one finds its promise."""
    assert [name for name in page if not ID.fullmatch(name)] == []
    assert [name for name, times in Counter(page).items() if times > 1] == []


def test_a_threat_is_named_by_a_mark_and_not_in_a_docstring(sources: dict[str, str]) -> None:
    """One way for all, or this test would not find half of them."""
    functions = [
        (where, node)
        for where, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    ]
    said = [
        f"{where}::{node.name}" for where, node in functions if _SAID.search(ast.get_docstring(node) or "")
    ]
    assert said == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('@pytest.mark.threat("a", "b")\ndef test_it(): pass', [("test_it", ("a", "b"), True, True)]),
        (
            '@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.threat("a"))])\ndef test_it(x): pass',
            [("test_it", ("a",), True, True)],
        ),
        ('class T:\n @pytest.mark.threat("a")\n def test_it(self): pass', [("test_it", ("a",), True, True)]),
        (
            '@pytest.mark.long\n@pytest.mark.threat("a")\ndef test_it(): pass',
            [("test_it", ("a",), True, False)],
        ),
        (
            '@pytest.mark.threat("a")\n@pytest.mark.skipif(True, reason="")\ndef test_it(): pass',
            [("test_it", ("a",), True, False)],
        ),
        ("@pytest.mark.threat(ID)\ndef test_it(): pass", [("test_it", ("ID",), True, True)]),
        ('@pytest.mark.threat("a")\ndef helper(): pass', [("helper", ("a",), False, True)]),
        ('pytestmark = pytest.mark.threat("a")', [("", ("a",), False, False)]),
        ('@pytest.mark.parametrize("x", [1])\ndef test_it(x): pass', []),
    ],
)
def test_marks_are_found_wherever_they_are(source: str, expected: list[Any]) -> None:
    """Of tests, of their parameters, of what is no test, and those that nothing runs."""
    found = [(each.where.removeprefix("f").removeprefix("::"), *each[1:]) for each in carried(source, "f")]
    assert found == expected


def test_ids_are_found_in_tables_of_threats_only() -> None:
    """Other tables of the page have other first columns."""
    text = "| threat | promise |\n|---|---|\n| `a-b`, `c` | `x` |\n| d e | y |\n\n| else | x |\n|---|---|\n| `z` | |\n"
    assert list(listed(text)) == ["a-b", "c", "d e"]
