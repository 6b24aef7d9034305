"""What is installed is pinned, hashed and says nothing of where it came from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

FILES: Final = ("run", "dev")
_PIN: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([\w.!+]+)(?: ; [^\\]+)? \\$")
_HASH: Final = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def _lines(root: Path, name: str) -> list[str]:
    return (root / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def _pins(root: Path, name: str) -> dict[str, str]:
    return {match[1]: match[2] for line in _lines(root, name) if (match := _PIN.match(line))}


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=~! ;\[]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.threat("changed-package")
@pytest.mark.parametrize("name", FILES)
def test_a_lock_holds_pins_hashes_and_nothing_else(root: Path, name: str) -> None:
    """No index, no link, no host: each line is a pin, a hash or the one comment that says who wrote it."""
    comment, *rest = _lines(root, name)
    assert comment.startswith("# ")
    assert "://" not in comment
    assert [line for line in rest if not (_PIN.match(line) or _HASH.match(line))] == []


@pytest.mark.threat("changed-package")
@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_a_hash(root: Path, name: str) -> None:
    """A pin is followed by at least one hash, so pip refuses a file that was changed."""
    lines = _lines(root, name)
    naked = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if _PIN.match(line) and not _HASH.match(after)
    ]
    assert naked == []


def test_the_locks_agree(root: Path) -> None:
    """What stands in both files stands there in one version."""
    run, dev = _pins(root, "run"), _pins(root, "dev")
    assert {name: (run[name], dev[name]) for name in run.keys() & dev.keys() if run[name] != dev[name]} == {}


def test_the_locks_hold_what_the_project_asks_for(root: Path, project: dict[str, Any]) -> None:
    """Each direct requirement of pyproject.toml is locked: the lock was written anew after the last change."""
    run = project["project"]["dependencies"] + project["dependency-groups"]["build"]
    for extra in project["project"]["optional-dependencies"].values():
        run += extra
    assert _names(run) <= _pins(root, "run").keys()
    assert _names(project["dependency-groups"]["dev"]) <= _pins(root, "dev").keys()


def test_the_build_tool_is_the_locked_one(project: dict[str, Any]) -> None:
    """Installing without build isolation takes the locked setuptools; both places must ask for the same."""
    assert project["build-system"]["requires"] == project["dependency-groups"]["build"]
