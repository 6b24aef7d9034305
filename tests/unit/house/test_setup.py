"""Setting up says clearly what is wrong, and does nothing twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A folder with a space in its name that holds what the set-up script reads."""
    place = tmp_path / "a place"
    shutil.copytree(root / "requirements", place / "requirements")
    shutil.copy(root / "pyproject.toml", place)
    return place


def _install(checkout: Path, *arguments: str, python: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "requirements/install.sh", *arguments],
        cwd=checkout,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **({"PYTHON": python} if python else {})},
        capture_output=True,
        text=True,
    )


def test_a_python_that_will_not_do_is_named(checkout: Path) -> None:
    """The error says what was expected, what was found and what to do, and makes no environment."""
    done = _install(checkout, "run", python="/nowhere/python3")
    assert done.returncode == 1
    assert "expected Python >= 3.11" in done.stderr
    assert "PYTHON=/nowhere/python3" in done.stderr
    assert "name another" in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_unknown_group_is_refused(checkout: Path) -> None:
    """Only run and dev can be set up."""
    done = _install(checkout, "everything")
    assert done.returncode == 1
    assert "expected run or dev, found everything" in done.stderr


def test_an_up_to_date_environment_is_left_alone(checkout: Path) -> None:
    """With the state of this very content written down, nothing is installed: pip would fail here."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    state = subprocess.run(
        [
            "sh",
            "-c",
            "{ pwd; cat requirements/install.sh pyproject.toml requirements/run.txt; } | git hash-object --stdin",
        ],
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (checkout / ".venv/run.state").write_text(state)
    done = _install(checkout, "run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_changed_lock_is_installed_again(checkout: Path) -> None:
    """One byte more in a requirement file, and the environment is no longer taken as it is."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (checkout / ".venv/run.state").write_text("0000\n")
    done = _install(checkout, "run")
    assert "setup: installing requirements/run.txt" in done.stdout
    assert done.returncode != 0, "there is no pip in this environment"
    assert not (checkout / ".venv/run.state").exists()


@pytest.mark.parametrize("script", ["requirements/install.sh", "requirements/lock.sh"])
def test_a_script_is_portable_shell(root: Path, script: str) -> None:
    """The scripts parse, and say which shell they are for."""
    assert (root / script).read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", root / script]).returncode == 0


def test_the_ci_script_parses_and_may_be_run(root: Path) -> None:
    """.ci/run is an executable bash script without a syntax error, and calls the targets it is there for."""
    script = root / ".ci/run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert "make check" in text
    assert text.rstrip().endswith("make test"), "the tests come last: their closing line is the run's"
