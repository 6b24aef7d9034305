"""What a bench runs in: an environment without traces of this user's own Tabard, a directory that goes away."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

_FORGOTTEN: Final = ("DEV_STAGE", "PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC")


def environment() -> dict[str, str]:
    """The variables for everything a bench starts, so that it runs as an installation does.

    Settings of this user and what slows Python down are left out; bytecode is cached as usual.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _FORGOTTEN and not name.startswith("TABARD_")
    }


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A directory of this user alone that is removed at the end, also when the bench is told to end."""
    with _ending_in_order(), tempfile.TemporaryDirectory(prefix="tabard-bench-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM and a closed terminal end the bench as Ctrl-C does: everything it started is ended first."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
