"""The layout that the rest relies on: role folders at the top, linked into one import package."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.unit.house.text import tracked

ROLES: Final = ("agents", "brokers", "consumers", "ops", "web")
LINES: Final = 400


@pytest.mark.parametrize("role", ROLES)
def test_a_role_folder_is_linked_relatively_into_the_package(root: Path, role: str) -> None:
    """src/tabard/ROLE is a relative link to the folder at the top, which is a package that says what it is."""
    link = root / "src/tabard" / role
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{role}"
    assert ast.get_docstring(ast.parse((root / role / "__init__.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_imports_from_the_linked_place_only(root: Path, role: str) -> None:
    """tabard.ROLE comes from src/tabard, so that no class exists twice."""
    module = importlib.import_module(f"tabard.{role}")
    assert Path(str(module.__file__)).parent == root / "src/tabard" / role
    assert role not in sys.modules


def test_the_package_says_that_it_is_typed(root: Path) -> None:
    """Type checkers of other projects read our annotations."""
    assert (root / "src/tabard/py.typed").is_file()


def test_modules_stay_small(root: Path) -> None:
    """No module outgrows what can be read in one sitting."""
    long = {
        str(path): lines
        for path in tracked(root)
        if path.suffix == ".py" and path.parts[0] in (*ROLES, "src")
        if (lines := (root / path).read_text(encoding="utf-8").count("\n")) > LINES
    }
    assert long == {}


def test_every_module_says_what_it_is_for(root: Path) -> None:
    """Each module of the package opens with a docstring."""
    silent = [
        str(path)
        for path in tracked(root)
        if path.suffix == ".py" and path.parts[0] in (*ROLES, "src", "tests")
        if (text := (root / path).read_text(encoding="utf-8")).strip()
        if not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []
