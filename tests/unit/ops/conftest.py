"""What the tests of the command line share: a way to run it as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tabard(tmp_path: Path) -> Run:
    """Run ``tabard ...`` in a process of its own, with an empty home and none of this machine's variables."""

    def run(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "tabard.ops.main", *arguments],
            env={**kept, "HOME": str(tmp_path), "TABARD_HOME": str(tmp_path / "home"), **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
