"""What the chaos tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def coverage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which every process notes the fail-points that it passes for the first time."""
    return tmp_path_factory.mktemp("coverage") / "fail-points"
