"""A home, and handlers that log into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.applog import LogHandler
from tabard.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that is not there yet."""
    return Home(tmp_path / "h")


@pytest.fixture
def handlers(home: Home) -> Iterator[Any]:
    """Makes handlers of that home, and closes them."""
    made: list[LogHandler] = []

    def make(**given: Any) -> LogHandler:
        made.append(LogHandler("shop", home=home, exit_wait=0.2, **given))
        return made[-1]

    yield make
    for handler in made:
        handler.close()
